"""What a service answers, as frozen dataclasses.

Faces and times are those of :mod:`maskgate.types`, events those of :mod:`maskgate.events.types`. Fields that
this version does not know are left out, as the service may add some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from maskgate.client.errors import AnswerError
from maskgate.errors import MaskGateError
from maskgate.events.times import time_from
from maskgate.events.types import Event
from maskgate.types import LABELS, Label, Milliseconds, Verdict

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Recognition:
    """What was found in one picture; iterating gives its faces.

    Attributes:
        width, height: of the picture in pixels, upright; None where it could not be read.
        faces: best detector score first.
        milliseconds: time spent; None where it could not be read.
        error: why one picture of several could not be read; None: it was.
    """

    width: int | None
    height: int | None
    faces: tuple[Verdict, ...]
    milliseconds: Milliseconds | None
    error: str | None

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.faces)


@dataclass(frozen=True)
class EventPage:
    """Some events, newest first.

    Attributes:
        events: of this page.
        next: cursor of the page after it; None where this is the last one.
    """

    events: tuple[Event, ...]
    next: str | None


@dataclass(frozen=True)
class Interval:
    """One hour or day of one camera.

    Attributes:
        start: in UTC.
        camera: its name.
        tracks: followed faces by the verdict that was confirmed.
        violations: verdicts that break a rule, confirmed or changed to.
        compliance: share of the confirmed faces that break no rule, in [0, 1]; None without any.
    """

    start: datetime
    camera: str
    tracks: Mapping[Label, int]
    violations: int
    compliance: float | None


@dataclass(frozen=True)
class Statistics:
    """Intervals in order of time; those in which nothing happened are left out.

    Attributes:
        interval: how long each of them is.
        since, until: the span that was looked at, in UTC.
        intervals: one for each start and camera.
    """

    interval: Literal["hour", "day"]
    since: datetime
    until: datetime
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Frames:
    """What has become of a camera's pictures since the service was started.

    Attributes:
        received: all of them.
        processed: looked at.
        skipped: a newer one came before they were looked at.
        passed: passed over for the rate that was asked for.
    """

    received: int
    processed: int
    skipped: int
    passed: int


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        name: as in events.
        address: without user, password and path; None where the service does not know it.
        state: ``"never"`` where it was never online.
        since: of the state.
        last_event: time of its latest event.
        frames: None where another process watches the camera.
    """

    name: str
    address: str | None
    state: Literal["online", "offline", "never"]
    since: datetime | None
    last_event: datetime | None
    frames: Frames | None


@dataclass(frozen=True)
class Health:
    """Whether the service can do its work.

    Attributes:
        ready: it can.
        checks: a word for each part of it.
        detail: what is amiss; None where it is ready.
    """

    ready: bool
    checks: Mapping[str, str]
    detail: str | None = None


def _checked(read: Callable[P, T]) -> Callable[P, T]:
    """Turns what goes wrong with the content of an answer into an :class:`AnswerError`."""

    @wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, MaskGateError) as error:
            raise AnswerError(
                f"the answer is none of a service that this client knows ({type(error).__name__}: {error}); "
                "do both have the same version?"
            ) from error

    return reading


@_checked
def recognition_from(content: Mapping[str, Any]) -> Recognition:
    """From the object of one picture. All of these raise :class:`~maskgate.client.errors.AnswerError`."""
    milliseconds = content["milliseconds"]
    return Recognition(
        width=content["width"],
        height=content["height"],
        faces=tuple(map(_verdict, content["faces"])),
        milliseconds=None
        if milliseconds is None
        else Milliseconds(**{step: float(milliseconds[step]) for step in Milliseconds.__dataclass_fields__}),
        error=content["error"],
    )


@_checked
def recognitions_from(content: Mapping[str, Any]) -> list[Recognition]:
    """From the object of several pictures."""
    return [recognition_from(picture) for picture in content["pictures"]]


@_checked
def event_from(content: Mapping[str, Any]) -> Event:
    """From one event's object."""
    return Event.from_json(content)


@_checked
def event_page_from(content: Mapping[str, Any]) -> EventPage:
    """From a page of events."""
    return EventPage(tuple(map(Event.from_json, content["events"])), content["next"])


@_checked
def statistics_from(content: Mapping[str, Any]) -> Statistics:
    """From the object of the statistics."""
    return Statistics(
        interval=content["interval"],
        since=time_from(content["since"]),
        until=time_from(content["until"]),
        intervals=tuple(
            Interval(
                start=time_from(interval["start"]),
                camera=interval["camera"],
                tracks={label: int(interval["tracks"][label]) for label in LABELS},
                violations=int(interval["violations"]),
                compliance=interval["compliance"],
            )
            for interval in content["intervals"]
        ),
    )


@_checked
def cameras_from(content: Mapping[str, Any]) -> list[Camera]:
    """From the object of the cameras."""
    return [
        Camera(
            name=camera["name"],
            address=camera["address"],
            state=camera["state"],
            since=_time(camera["since"]),
            last_event=_time(camera["last_event"]),
            frames=None
            if camera["frames"] is None
            else Frames(**{name: int(camera["frames"][name]) for name in Frames.__dataclass_fields__}),
        )
        for camera in content["cameras"]
    ]


def _time(text: str | None) -> datetime | None:
    return None if text is None else time_from(text)


def _verdict(face: Mapping[str, Any]) -> Verdict:
    return Verdict(
        box=_numbers(face["box"]),
        score=float(face["score"]),
        landmarks=_numbers(face["landmarks"]),
        roll=float("nan") if face["roll"] is None else float(face["roll"]),
        label=Label(face["label"]),
        probabilities={label: float(face["probabilities"][label]) for label in LABELS},
        uncertain=bool(face["uncertain"]),
    )


def _numbers(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    array = np.array(values, np.float32)  # None becomes NaN
    array.flags.writeable = False
    return array
