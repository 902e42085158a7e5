"""When rules hold: days of the week and times of day, in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from maskgate.errors import InputError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MINUTES: Final = 24 * 60


@dataclass(frozen=True)
class Schedule:
    """The same hours on some days of the week.

    Attributes:
        name: of the schedule.
        zone: time zone.
        days: of :data:`DAYS`.
        start, end: minutes after midnight, ``start`` included, ``end`` not. Where ``end`` is before
            ``start``, the span goes over midnight and belongs to the day on which it starts.

    Times are those that clocks show: where clocks change, a span is longer or shorter by it. Raises
    :class:`~maskgate.errors.InputError` for no day, or a span without length.
    """

    name: str
    zone: ZoneInfo
    days: tuple[str, ...] = DAYS
    start: int = 0
    end: int = _MINUTES

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(DAYS):
            raise InputError(f"the schedule {self.name!r} needs at least one day of {', '.join(DAYS)}")
        if not (0 <= self.start < _MINUTES and 0 < self.end <= _MINUTES) or self.start == self.end:
            raise InputError(f"the schedule {self.name!r} starts and ends at the same time, or is no day's")

    def holds(self, time: datetime) -> bool:
        """Whether ``time`` (with its zone) lies in it."""
        local = time.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today = DAYS[local.weekday()] in self.days
        if self.start < self.end:
            return today and self.start <= minute < self.end
        yesterday = DAYS[(local.date() - timedelta(days=1)).weekday()] in self.days
        return (today and minute >= self.start) or (yesterday and minute < self.end)
