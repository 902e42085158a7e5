"""What is asked of the store, and what it answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, or_

from maskgate.errors import InputError
from maskgate.events.times import milliseconds_of
from maskgate.events.types import Event, EventType
from maskgate.types import Label


@dataclass(frozen=True)
class Filter:
    """Which events: those that fulfil all that is given. None, and an empty set, ask for nothing.

    Attributes:
        since, until: from the first time on, and before the second; aware times.
        cameras, types, labels, zones: the event's is one of them.
        track: name of the track.
        violation: whether the verdict breaks a rule.
    """

    since: datetime | None = None
    until: datetime | None = None
    cameras: frozenset[str] = frozenset()
    types: frozenset[EventType] = frozenset()
    labels: frozenset[Label] = frozenset()
    zones: frozenset[str] = frozenset()
    track: str | None = None
    violation: bool | None = None

    def conditions(self, table: FromClause, time: str) -> Iterator[ColumnElement[bool]]:
        """As conditions on the columns of ``table``; ``time`` is the one with milliseconds."""
        column = table.c
        if self.since is not None:
            yield column[time] >= milliseconds_of(self.since)
        if self.until is not None:
            yield column[time] < milliseconds_of(self.until)
        for name, values in (
            ("camera", self.cameras),
            ("type", self.types),
            ("label", self.labels),
            ("zone", self.zones),
        ):
            if values:
                yield column[name].in_(sorted(map(str, values)))
        if self.track is not None:
            yield column["track"] == self.track
        if self.violation is not None:
            yield column["violation"].is_(self.violation)

    def matches(self, event: Event) -> bool:
        """Whether ``event`` is one of them: what :meth:`conditions` ask a database, asked of one event."""
        return (
            (self.since is None or event.milliseconds >= milliseconds_of(self.since))
            and (self.until is None or event.milliseconds < milliseconds_of(self.until))
            and (not self.cameras or event.camera in self.cameras)
            and (not self.types or event.type in self.types)
            and (not self.labels or event.label in self.labels)
            and (not self.zones or event.zone in self.zones)
            and (self.track is None or event.track == self.track)
            and (self.violation is None or event.violation is self.violation)
        )


EVERYTHING = Filter()
"""Leaves no event out."""


@dataclass(frozen=True, order=True)
class Arrival:
    """When an event came into the store, which may be long after it happened.

    Attributes:
        kept_ms: milliseconds since 1970, by the clock of whoever put it there.
        id: of the event.
    """

    kept_ms: int
    id: str


@dataclass(frozen=True)
class Page:
    """Some events, in order of time and id.

    Attributes:
        events: of this page.
        next: cursor of the page after it; None where this is the last one.
    """

    events: tuple[Event, ...]
    next: str | None


@dataclass(frozen=True)
class Count:
    """How many events of one kind there were in one interval.

    Attributes:
        start: of the interval, in UTC.
        camera, type: of the events.
        zone, label, violation: of the events; None where they have none.
        count: above 0.
    """

    start: datetime
    camera: str
    type: EventType
    zone: str | None
    label: Label | None
    violation: bool | None
    count: int


@dataclass(frozen=True)
class CameraState:
    """What is known of a camera.

    Attributes:
        camera: its name.
        online: None where it was never said.
        since: when it was last said.
        last: time of its latest event of any type.
    """

    camera: str
    online: bool | None
    since: datetime | None
    last: datetime


@dataclass(frozen=True)
class Cursor:
    """The place between two events in order of time and id."""

    newest_first: bool
    time_ms: int
    id: str

    def __str__(self) -> str:
        text = json.dumps([self.newest_first, self.time_ms, self.id])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of :attr:`Page.next`. Raises :class:`~maskgate.errors.InputError` for anything else."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            content: Any = json.loads(base64.b64decode(padded, b"-_", validate=True))
            newest_first, time_ms, id = content
            if not (type(newest_first) is bool and type(time_ms) is int and type(id) is str):
                raise ValueError
            if abs(time_ms) >= 1 << 62 or not id.isprintable():
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            raise InputError("the cursor is none that a page gave; leave it out to start anew") from None
        return cls(newest_first, time_ms, id)

    def condition(self, table: FromClause) -> ColumnElement[bool]:
        """Events after the cursor, in its direction."""
        time, id = table.c["time_ms"], table.c["id"]
        if self.newest_first:
            return or_(time < self.time_ms, and_(time == self.time_ms, id < self.id))
        return or_(time > self.time_ms, and_(time == self.time_ms, id > self.id))
