"""A client of the HTTP service: recognition, events, statistics and cameras from another machine."""

from maskgate.client.client import Client, Picture
from maskgate.client.errors import (
    AccessError,
    AnswerError,
    BusyError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from maskgate.client.results import (
    Camera,
    EventPage,
    Frames,
    Health,
    Interval,
    Recognition,
    Statistics,
)

__all__ = [
    "AccessError",
    "AnswerError",
    "BusyError",
    "Camera",
    "Client",
    "EventPage",
    "Frames",
    "Health",
    "Interval",
    "Picture",
    "Recognition",
    "RequestError",
    "ServiceError",
    "Statistics",
    "UnreachableError",
]
