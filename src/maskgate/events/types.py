"""What other systems receive: events, made to JSON and from it.

Boxes are ``(x1, y1, x2, y2)`` in pixels of the camera's frame, origin at the top left corner.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Real
from typing import Any, Self, TypeVar

from maskgate.errors import EventError
from maskgate.events.ids import new_id
from maskgate.events.times import milliseconds_of, time_from, time_text
from maskgate.types import Label

SCHEMA = 1
"""Version of the fields; it rises when one goes or changes its meaning, not when one is added."""

Box = tuple[float, float, float, float]

_Kind = TypeVar("_Kind", bound=StrEnum)
_LONGEST_NAME = 200
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def is_id(text: str) -> bool:
    """Whether ``text`` can be an event's id: up to 64 letters, digits, ``.``, ``_``, ``:`` and ``-``."""
    return _ID.fullmatch(text) is not None


class EventType(StrEnum):
    """What happened."""

    TRACK_CONFIRMED = "track.confirmed"
    TRACK_CHANGED = "track.changed"
    TRACK_ENDED = "track.ended"
    CAMERA_ONLINE = "camera.online"
    CAMERA_OFFLINE = "camera.offline"

    @property
    def of_track(self) -> bool:
        """Whether it is about a face, and not about a camera."""
        return self.value.startswith("track.")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        id: unique and the same for ever; a receiver drops repeats by it.
        type: what happened.
        schema: version of the fields, :data:`SCHEMA`.
        time: when, in UTC, with milliseconds; finer parts are cut off.
        camera: name of the camera or file, never with a password.
        track: name of the followed face within its camera.
        zone: name of the zone where the face is; None outside all, or where there are none.
        label: the voted verdict.
        violation: whether the verdict breaks a rule.
        confidence: of the verdict, in [0, 1], to four decimals.
        votes: number of frames that the verdict was voted over, at least 1.
        box: of the face, in pixels, to one decimal.
        media_seconds: position in a file, at least 0, to three decimals; None for what is live.

    Events of cameras have None from ``track`` to ``box``; events of tracks have all of these but ``zone``.
    Raises :class:`~maskgate.errors.EventError`, naming the field, where one is missing or wrong.
    """

    id: str
    type: EventType
    schema: int
    time: datetime
    camera: str
    track: str | None = None
    zone: str | None = None
    label: Label | None = None
    violation: bool | None = None
    confidence: float | None = None
    votes: int | None = None
    box: Box | None = None
    media_seconds: float | None = None

    def __post_init__(self) -> None:
        self._set("type", _one_of(EventType, "type", self.type))
        if self.schema != SCHEMA or isinstance(self.schema, bool):
            raise _wrong("schema", self.schema, f"{SCHEMA}, the version that this maskgate knows")
        if not isinstance(self.id, str) or not is_id(self.id):
            raise _wrong("id", self.id, "up to 64 letters, digits, '.', '_', ':' and '-'")
        self._set("time", _utc(self.time))
        _check_name("camera", self.camera)
        if self.media_seconds is not None:
            self._set("media_seconds", _number("media_seconds", self.media_seconds, 0, math.inf, 3))
        (self._check_track if self.type.of_track else self._check_camera)()

    def _check_track(self) -> None:
        _check_name("track", self.track)
        if self.zone is not None:
            _check_name("zone", self.zone)
        self._set("label", _one_of(Label, "label", self.label))
        if not isinstance(self.violation, bool):
            raise _wrong("violation", self.violation, "true or false")
        self._set("confidence", _number("confidence", self.confidence, 0, 1, 4))
        if not isinstance(self.votes, int) or isinstance(self.votes, bool) or self.votes < 1:
            raise _wrong("votes", self.votes, "a whole number above 0")
        if not isinstance(self.box, Sequence) or isinstance(self.box, str) or len(self.box) != 4:
            raise _wrong("box", self.box, "four numbers: x1, y1, x2, y2")
        self._set("box", tuple(_number("box", v, -math.inf, math.inf, 1) for v in self.box))

    def _check_camera(self) -> None:
        for name in ("track", "zone", "label", "violation", "confidence", "votes", "box"):
            if getattr(self, name) is not None:
                raise _wrong(name, getattr(self, name), "nothing, as the event is about a camera")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def of_track(
        cls,
        type: EventType,
        *,
        time: datetime,
        camera: str,
        track: str,
        label: Label,
        confidence: float,
        votes: int,
        box: Sequence[float],
        zone: str | None = None,
        violation: bool | None = None,
        media_seconds: float | None = None,
        id: str | None = None,
    ) -> Self:
        """An event of a followed face.

        ``violation`` is the label's where None; ``id`` is a new one where None. Raises what the class does.
        """
        return cls(
            id=new_id() if id is None else id,
            type=type,
            schema=SCHEMA,
            time=time,
            camera=camera,
            track=track,
            zone=zone,
            label=label,
            violation=label.violation if violation is None else violation,
            confidence=confidence,
            votes=votes,
            box=tuple(box),  # type: ignore[arg-type]  # checked above
            media_seconds=media_seconds,
        )

    @classmethod
    def of_camera(
        cls,
        type: EventType,
        *,
        time: datetime,
        camera: str,
        media_seconds: float | None = None,
        id: str | None = None,
    ) -> Self:
        """An event of a camera; ``id`` is a new one where None. Raises what the class does."""
        given = new_id() if id is None else id
        return cls(given, type, SCHEMA, time, camera, media_seconds=media_seconds)

    @property
    def milliseconds(self) -> int:
        """The time as milliseconds since 1970 in UTC."""
        return milliseconds_of(self.time)

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        content: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        content["type"] = str(self.type)
        content["time"] = time_text(self.time)
        content["label"] = None if self.label is None else str(self.label)
        content["box"] = None if self.box is None else list(self.box)
        return content

    def to_text(self) -> str:
        """JSON in one line of ASCII, without a line feed."""
        return json.dumps(self.to_json(), allow_nan=False)

    @classmethod
    def from_json(cls, content: object) -> Self:
        """An event from what :meth:`to_json` gives. Fields that this version does not know are left out.

        Raises :class:`~maskgate.errors.EventError`, naming the field, where one is missing or wrong.
        """
        if not isinstance(content, Mapping):
            raise EventError("an event is a JSON object")
        known = {f.name for f in fields(cls)}
        missing = [name for name in ("id", "type", "schema", "time", "camera") if name not in content]
        if missing:
            raise EventError(f"the event lacks the field '{missing[0]}'")
        given = {name: value for name, value in content.items() if name in known}
        return cls(**(given | {"time": _time(given["time"])}))

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """An event from its line of JSON. Raises :class:`~maskgate.errors.EventError`."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EventError(f"the event is not JSON: {error}") from error
        return cls.from_json(content)


def _time(text: object) -> datetime:
    try:
        return time_from(str(text))
    except ValueError:  # a 30th of February, too
        raise _wrong("time", text, "a time in UTC such as 2026-01-01T00:00:00.040Z") from None


def _utc(time: object) -> datetime:
    if not isinstance(time, datetime) or time.utcoffset() is None:
        raise _wrong("time", time, "a time with its zone")
    time = time.astimezone(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _one_of(kind: type[_Kind], name: str, value: object) -> _Kind:
    try:
        return kind(str(value))
    except ValueError:
        raise _wrong(name, value, " or ".join(repr(str(v)) for v in kind)) from None


def _check_name(name: str, value: object) -> None:
    good = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
    if not good:
        raise _wrong(name, value, f"1 to {_LONGEST_NAME} printable characters")


def _number(name: str, value: object, least: float, most: float, digits: int) -> float:
    # NumPy's floats are numbers, True is none
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and least <= number <= most:
            return round(number, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    span = "a number" if math.isinf(-least) else f"a number of at least {least}"
    raise _wrong(name, value, span + ("" if math.isinf(most) else f" and at most {most}"))


def _wrong(name: str, value: object, wanted: str) -> EventError:
    return EventError(f"the event has {reprlib.repr(value)} in the field '{name}'; wanted: {wanted}")
