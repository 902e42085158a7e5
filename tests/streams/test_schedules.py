"""Days, times and time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maskgate.errors import InputError
from maskgate.streams.schedules import DAYS, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def test_office_hours_through_a_week_minute_by_minute() -> None:
    schedule = Schedule("office", BERLIN, DAYS[:5], 8 * 60 + 30, 18 * 60)
    moment = datetime(2026, 6, 1, tzinfo=BERLIN)  # a Monday
    open_minutes = []
    for minute in range(7 * 24 * 60):
        if schedule.holds(moment + timedelta(minutes=minute)):
            open_minutes.append(minute)
    assert open_minutes == [24 * 60 * day + m for day in range(5) for m in range(510, 1080)]


@pytest.mark.parametrize(
    ("local", "holds"),
    [
        ((2026, 6, 5, 21, 59), False),
        ((2026, 6, 5, 22, 0), True),  # Friday
        ((2026, 6, 6, 5, 59), True),  # of Friday's night
        ((2026, 6, 6, 6, 0), False),
        ((2026, 6, 6, 22, 0), False),  # Saturday
        ((2026, 6, 5, 3, 0), False),  # of Thursday's night
    ],
)
def test_over_midnight(local: Any, holds: bool) -> None:
    schedule = Schedule("night", BERLIN, ("fri",), 22 * 60, 6 * 60)
    assert schedule.holds(datetime(*local, tzinfo=BERLIN)) is holds
    assert schedule.holds(datetime(*local, tzinfo=BERLIN).astimezone(UTC)) is holds


def test_clocks_that_change() -> None:
    schedule = Schedule("early", BERLIN, DAYS, 2 * 60, 3 * 60)
    # in spring there is no such hour, in autumn there are two
    spring = [datetime(2026, 3, 29, tzinfo=UTC) + timedelta(minutes=m) for m in range(240)]
    autumn = [datetime(2026, 10, 24, 23, tzinfo=UTC) + timedelta(minutes=m) for m in range(240)]
    assert sum(map(schedule.holds, spring)) == 0
    assert sum(map(schedule.holds, autumn)) == 120


def test_all_day_goes_to_midnight() -> None:
    schedule = Schedule("sunday", BERLIN, ("sun",))
    assert schedule.holds(datetime(2026, 6, 7, 23, 59, 59, tzinfo=BERLIN))
    assert not schedule.holds(datetime(2026, 6, 8, tzinfo=BERLIN))


@pytest.mark.parametrize(
    "wrong", [{"days": ()}, {"days": ("tues",)}, {"start": 60, "end": 60}, {"end": 1500}]
)
def test_what_is_no_schedule(wrong: Any) -> None:
    with pytest.raises(InputError):
        Schedule("x", BERLIN, **wrong)
