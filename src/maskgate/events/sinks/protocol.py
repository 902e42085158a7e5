"""What a sink is, and how it says that a delivery failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from maskgate.errors import DeliveryError
from maskgate.events.types import Event


class RefusedError(DeliveryError):
    """The receiver will not have this event, however often it is sent."""


class NotNowError(DeliveryError):
    """The receiver asked to wait.

    Attributes:
        seconds: how long at least.
    """

    def __init__(self, sentence: str, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Sink(Protocol):
    """Delivers events to one receiver. Used by one thread at a time.

    Attributes:
        name: of the sink, unique.
        batch: most events that :meth:`deliver` takes at once.
    """

    name: str
    batch: int

    def open(self) -> None:
        """Gets ready; may be called again after an error. Raises :class:`~maskgate.errors.DeliveryError`."""

    def deliver(self, events: Sequence[Event]) -> None:
        """Returns when the receiver has got all the events, in their order.

        Raises :class:`~maskgate.errors.DeliveryError` where it has not, or where nobody knows: all of
        them will be sent again. :class:`RefusedError` and :class:`NotNowError` say more. No sentence holds a
        credential.
        """

    def tend(self) -> None:
        """Called about once a second while there is nothing to deliver: a lost connection comes back.

        Raises :class:`~maskgate.errors.DeliveryError` where it cannot.
        """

    def close(self) -> None:
        """Lets go of connections and files; :meth:`open` may follow. Raises nothing."""


def reason(error: BaseException) -> str:
    """Why the network or the disk failed, in words that hold no address and no credential."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
