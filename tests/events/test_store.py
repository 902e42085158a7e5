"""The store, on SQLite and on a real PostgreSQL: the same tests for both."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from maskgate.errors import InputError, StoreError
from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.ids import id_of
from maskgate.events.queries import Arrival, Cursor, Filter
from maskgate.events.store import Store
from maskgate.types import Label

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(address: Address) -> Any:
    with Store(address) as opened:
        opened.upgrade()
        yield opened


def varied(number: int, seed: int = 0) -> list[Event]:
    """Events of all kinds over five hours, some at the same millisecond, in no order."""
    r = random.Random(seed)
    made = []
    for i in range(number):
        type = r.choice(list(EventType))
        at = START + timedelta(milliseconds=r.choice([0, 1, r.randrange(5 * 3_600_000)]))
        camera, id = r.choice(["door", "hall", "Ω|'\"%"]), id_of(at, seed, i)
        if not type.of_track:
            made.append(Event.of_camera(type, time=at, camera=camera, id=id))
            continue
        made.append(
            Event.of_track(
                type, time=at, camera=camera, id=id, track=str(r.randrange(9)), votes=r.randrange(1, 9),
                zone=r.choice([None, "queue", "gate"]), label=r.choice(list(Label)), confidence=r.random(),
                box=[r.uniform(0, 640) for _ in range(4)], media_seconds=r.choice([None, 1.25]),
                violation=r.choice([None, False]),
            )
        )  # fmt: skip
    return made


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda e: (e.time, e.id))


def all_pages(store: Store, wanted: Filter, **options: Any) -> list[Event]:
    found, cursor = [], None
    while True:
        page = store.page(wanted, cursor=cursor, **options)
        found += page.events
        if page.next is None:
            return found
        assert len(page.events) == options["limit"]
        cursor = page.next


def test_events_come_back_as_they_were(store: Store) -> None:
    events = varied(60)
    store.append(events)
    assert [store.get(event.id) for event in events] == events
    assert store.get("nothing") is None


def test_an_event_is_kept_once(store: Store, track_event: Callable[..., Event]) -> None:
    event, other = track_event(), track_event()
    store.append([event, event])
    store.append([other, event])
    store.append([])
    assert store.page().events == (other, event)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 40])
def test_pages_hold_every_event_once(store: Store, limit: int, newest_first: bool) -> None:
    events = varied(40)
    store.append(events)
    wanted = in_order(events)[:: -1 if newest_first else 1]
    assert all_pages(store, Filter(), limit=limit, newest_first=newest_first) == wanted


def test_pages_are_not_disturbed_by_new_events(store: Store) -> None:
    old, new = varied(20), varied(20, seed=1)
    store.append(old)
    page = store.page(limit=10)
    store.append(new)
    rest = store.page(cursor=page.next, limit=1000)
    place = (page.events[-1].time, page.events[-1].id)
    assert list(rest.events) == [e for e in in_order(old + new)[::-1] if (e.time, e.id) < place]


FILTERS: dict[str, tuple[Filter, Callable[[Event], bool]]] = {
    "since": (Filter(since=START + timedelta(hours=2)), lambda e: e.time >= START + timedelta(hours=2)),
    "until": (Filter(until=START + timedelta(hours=2)), lambda e: e.time < START + timedelta(hours=2)),
    "instant": (
        Filter(since=START, until=START + timedelta(milliseconds=1)),
        lambda e: e.time == START,
    ),
    "cameras": (Filter(cameras=frozenset({"Ω|'\"%", "hall"})), lambda e: e.camera != "door"),
    "types": (
        Filter(types=frozenset({EventType.TRACK_ENDED, EventType.CAMERA_ONLINE})),
        lambda e: e.type in ("track.ended", "camera.online"),
    ),
    "labels": (Filter(labels=frozenset({Label.INCORRECT})), lambda e: e.label == "incorrect"),
    "zones": (Filter(zones=frozenset({"queue"})), lambda e: e.zone == "queue"),
    "track": (Filter(track="3"), lambda e: e.track == "3"),
    "violation": (Filter(violation=True), lambda e: e.violation is True),
    "no violation": (Filter(violation=False), lambda e: e.violation is False),
    "all": (
        Filter(START, None, frozenset({"door"}), violation=True, labels=frozenset({Label.NO_MASK})),
        lambda e: e.camera == "door" and e.violation is True and e.label == "no_mask",
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_what_they_say(store: Store, name: str) -> None:
    wanted, keeps = FILTERS[name]
    events = varied(80)
    store.append(events)
    expected = [e for e in in_order(events) if keeps(e)]
    assert 0 < len(expected) < len(events)
    assert all_pages(store, wanted, limit=9, newest_first=False) == expected


@pytest.mark.parametrize("limit", [0, 1001])
def test_another_limit_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(InputError, match="1 to 1000"):
        store.page(limit=limit)


@pytest.mark.parametrize(
    "text",
    ["", "x", "é", "W10", "WzEsMiwzXQ", "bnVsbA", str(Cursor(True, 1, "a"))[:-3], "=" * 9, "WzE" * 9999],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="the cursor is none that a page gave"):
        Cursor.parse(text)


@pytest.mark.parametrize("seconds", [60, 3600, 86_400])
def test_statistics_are_the_events_counted(store: Store, seconds: int) -> None:
    events = varied(80)
    store.append(events)
    expected = Counter(
        (datetime.fromtimestamp(e.time.timestamp() // seconds * seconds, UTC), e.camera, e.type, e.zone,
         e.label, e.violation)
        for e in events
    )  # fmt: skip
    found = store.statistics(interval_seconds=seconds)
    assert {(c.start, c.camera, c.type, c.zone, c.label, c.violation): c.count for c in found} == expected
    assert all(a.start <= b.start for a, b in pairwise(found))
    assert sum(c.count for c in store.statistics(Filter(cameras=frozenset({"door"})), seconds)) == sum(
        e.camera == "door" for e in events
    )


def test_one_event_is_judged_as_the_database_judges(store: Store) -> None:
    events = varied(80)
    store.append(events)
    for wanted, _ in FILTERS.values():
        found = all_pages(store, wanted, limit=1000, newest_first=False)
        assert [event for event in in_order(events) if wanted.matches(event)] == found
    assert all(Filter().matches(event) for event in events)


def test_events_are_given_in_the_order_in_which_they_came(store: Store) -> None:
    old, new = varied(10), varied(10, seed=1)
    assert store.arrival() is None
    assert store.arrived(Arrival(0, "")) == []
    store.append(old)
    time.sleep(0.02)
    between = store.arrival()
    assert between is not None
    assert between.id == max(event.id for event in old)
    store.append(new)
    rows = store.arrived(Arrival(0, ""))
    ids = [event.id for _, event in rows]
    assert ids == sorted(e.id for e in old) + sorted(e.id for e in new)
    assert [arrival.id for arrival, _ in rows] == ids
    assert [arrival for arrival, _ in rows] == sorted(arrival for arrival, _ in rows)
    assert {event for _, event in store.arrived(between)} == set(new)
    assert store.arrival(ids[3]) == rows[3][0]
    assert store.arrival("nothing") is None
    # page by page, and filtered
    found, place = [], Arrival(0, "")
    while page := store.arrived(place, limit=3):
        found += page
        place = page[-1][0]
    assert found == rows
    some = store.arrived(rows[4][0], Filter(cameras=frozenset({"door"})), limit=1000)
    assert some == [row for row in rows[5:] if row[1].camera == "door"]


def test_short_intervals_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match="at least 60"):
        store.statistics(interval_seconds=59)


def row(hour: int, count: int, **fields: Any) -> dict[str, Any]:
    given = {
        "start_ms": int((START + timedelta(hours=hour)).timestamp() * 1000), "camera": "door", "zone": "",
        "type": "track.confirmed", "label": "mask", "violation": False, "count": count,
    }  # fmt: skip
    return given | fields


def test_counts_are_set_and_summed(store: Store) -> None:
    store.set_counts("a", [row(0, 3), row(1, 5), row(1, 2, type="camera.online", label="")])
    store.set_counts("a", [row(1, 6)])  # all of the interval, not one more
    store.set_counts("b", [row(1, 10)])
    store.set_counts("b", [])
    hours = [(c.start.hour, c.type, c.label, c.violation, c.zone, c.count) for c in store.statistics()]
    assert hours == [
        (0, "track.confirmed", "mask", False, None, 3),
        (1, "camera.online", None, None, None, 2),
        (1, "track.confirmed", "mask", False, None, 16),
    ]
    assert [c.count for c in store.statistics(interval_seconds=86_400)] == [2, 19]
    assert store.statistics(Filter(track="1")) == []
    assert store.page().events == ()


def test_cameras_are_as_they_were_last(store: Store, track_event: Callable[..., Event]) -> None:
    def said(camera: str, type: str, second: int) -> Event:
        return Event.of_camera(EventType(type), time=START + timedelta(seconds=second), camera=camera)

    store.append(
        [said("a", "camera.online", 1), said("a", "camera.offline", 5), said("a", "camera.online", 3)]
    )
    store.append([said("b", "camera.online", 2), track_event(camera="b", time=START + timedelta(seconds=9))])
    store.append([track_event(camera="c", time=START)])
    states = [(s.camera, s.online, s.since and s.since.second, s.last.second) for s in store.cameras()]
    assert states == [("a", False, 5, 5), ("b", True, 2, 9), ("c", None, None, 0)]


def test_retention_deletes_what_came_earlier(store: Store) -> None:
    old, new = varied(20), varied(20, seed=1)
    store.append(old)
    store.set_counts("a", [row(0, 3)])
    time.sleep(0.02)
    between = datetime.now(UTC)
    time.sleep(0.02)
    store.append(new)
    store.append(old[:3])  # a repeat makes nothing younger
    store.set_counts("b", [row(0, 4)])
    assert store.delete_before(between) == len(old) + 1
    assert all_pages(store, Filter(), limit=100, newest_first=False) == in_order(new)
    assert sum(c.count for c in store.statistics()) == len(new) + 4
    assert store.delete_before(between) == 0


def test_deleted_events_are_gone_from_the_file(tmp_path: Any, track_event: Callable[..., Event]) -> None:
    path = tmp_path / "events.db"
    with Store(Address(f"sqlite:///{path}")) as store:
        store.upgrade()
        store.append([track_event(zone="a-zone-that-is-easy-to-find")])
        store.delete_before(datetime.now(UTC) + timedelta(days=1))
    assert b"easy-to-find" not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_a_postgresql_that_goes_away_and_comes_back(
    postgresql: Any, postgresql_address: Address, track_event: Callable[..., Event]
) -> None:
    before, after = track_event(), track_event()
    with Store(postgresql_address) as store:
        store.upgrade()
        store.append([before])
        postgresql.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreError, match="cannot be reached") as caught:
                    store.append([after])
                assert postgresql.password not in str(caught.value)
        finally:
            postgresql.start()
        store.append([after])
        assert store.page().events == (after, before)


def test_a_wrong_password_is_told_and_not_shown(postgresql: Any) -> None:
    wrong = Address(f"postgresql+psycopg://gate:hunter22@127.0.0.1:{postgresql.port}/postgres")
    with Store(wrong) as store, pytest.raises(StoreError, match="password authentication failed") as caught:
        store.upgrade()
    assert "hunter22" not in str(caught.value)
    assert "hunter22" not in repr(store.__dict__) + repr(wrong)
    assert caught.value.__cause__ is None
