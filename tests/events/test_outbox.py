"""The outbox: order, once for each receiver, nothing lost, nothing kept that is delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from maskgate.errors import StoreError
from maskgate.events import Event
from maskgate.events.database import reading, writing
from maskgate.events.outbox import Backlog, Outbox

Make = Callable[..., Event]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


def rows(outbox: Outbox, table: str) -> int:
    with reading(outbox._engine) as connection:
        number: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return number


def ids(outbox: Outbox, receiver: str, limit: int = 100) -> list[str]:
    return [event.id for _, event in outbox.waiting(receiver, limit)]


def test_each_receiver_gets_its_events_in_order(outbox: Outbox, track_event: Make) -> None:
    a, b, c = (track_event() for _ in range(3))
    outbox.append([(b, ["x", "y"]), (a, ["x"])])
    outbox.append([(c, ["y"])])
    assert [event for _, event in outbox.waiting("x", 9)] == [b, a]
    assert [event for _, event in outbox.waiting("y", 9)] == [b, c]
    assert [event for _, event in outbox.waiting("y", 1)] == [b]
    assert outbox.waiting("z", 9) == []


def test_what_all_have_got_is_gone(outbox: Outbox, track_event: Make) -> None:
    events = [track_event() for _ in range(3)]
    outbox.append([(event, ["x", "y"]) for event in events])
    positions = [position for position, _ in outbox.waiting("x", 9)]
    outbox.delivered("x", positions)
    assert (ids(outbox, "x"), rows(outbox, "waiting")) == ([], 3)
    outbox.delivered("y", positions[:2])
    assert (ids(outbox, "y"), rows(outbox, "waiting")) == ([events[2].id], 1)
    outbox.delivered("y", positions[2:])
    assert rows(outbox, "waiting") == rows(outbox, "deliveries") == 0


def test_an_event_waits_once(outbox: Outbox, track_event: Make) -> None:
    event = track_event()
    for _ in range(2):
        outbox.append([(event, ["x"]), (event, ["x"])])
    assert ids(outbox, "x") == [event.id]
    outbox.append([(track_event(), [])])  # nobody wants it
    assert rows(outbox, "waiting") == 1


def test_everything_survives_another_opening(tmp_path: Path, track_event: Make) -> None:
    path, event = tmp_path / "outbox.db", track_event()
    with Outbox(path) as outbox:
        outbox.append([(event, ["x"])])
        outbox.failed("x", outbox.waiting("x", 1)[0][0], "why")
        first, _ = outbox.unsent_counts(1)
    with Outbox(path) as outbox:
        assert [e for _, e in outbox.waiting("x", 9)] == [event]
        assert outbox.backlogs() == {"x": Backlog(1, 0, 1, "why")}
        assert outbox.unsent_counts(1)[0] == first


def test_positions_never_come_again(outbox: Outbox, track_event: Make) -> None:
    seen = []
    for _ in range(3):
        outbox.append([(track_event(), ["x"])])
        ((position, _),) = outbox.waiting("x", 9)
        outbox.delivered("x", [position])
        seen.append(position)
    assert seen == sorted(set(seen))


def test_refused_events_block_nobody_and_can_be_tried_again(outbox: Outbox, track_event: Make) -> None:
    a, b = track_event(), track_event()
    outbox.append([(a, ["x", "y"]), (b, ["x", "y"])])
    position = outbox.waiting("x", 1)[0][0]
    outbox.refused("x", [position], "no")
    assert (ids(outbox, "x"), ids(outbox, "y")) == ([b.id], [a.id, b.id])
    assert outbox.backlogs()["x"] == Backlog(1, 1, 0, None)
    assert outbox.retry_refused("x") == 1
    assert ids(outbox, "x") == [a.id, b.id]


def test_what_cannot_be_read_is_set_aside(outbox: Outbox, track_event: Make) -> None:
    events = [track_event() for _ in range(3)]
    outbox.append([(event, ["x"]) for event in events])
    with writing(outbox._engine) as connection:
        connection.execute(text("UPDATE waiting SET event = '{}' WHERE position < 3"))
    assert ids(outbox, "x", 2) == [events[2].id]
    assert outbox.backlogs()["x"].refused == 2


def test_the_oldest_are_given_up_beyond_a_limit(outbox: Outbox, track_event: Make) -> None:
    events = [track_event() for _ in range(5)]
    outbox.append([(event, ["x", "y"]) for event in events])
    assert outbox.give_up_oldest("x", 5) == 0
    assert outbox.give_up_oldest("x", 2) == 3
    assert ids(outbox, "x") == [e.id for e in events[3:]]
    assert len(ids(outbox, "y")) == 5
    assert outbox.give_up_oldest("y", 3) == 2
    assert rows(outbox, "waiting") == 3


def test_retention_takes_what_is_old(outbox: Outbox, track_event: Make) -> None:
    old, new = track_event(), track_event()
    outbox.append([(old, ["x", "y"])])
    with writing(outbox._engine) as connection:
        connection.execute(text("UPDATE waiting SET made_ms = made_ms - 100000"))
    outbox.append([(new, ["x"])])
    assert outbox.purge(datetime.now(UTC) - timedelta(seconds=50)) == 2
    assert (ids(outbox, "x"), ids(outbox, "y")) == ([new.id], [])
    assert rows(outbox, "deliveries") == 1


def test_counts_are_kept_and_nothing_else(outbox: Outbox, track_event: Make) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start, start + timedelta(seconds=59), start + timedelta(seconds=60)]
    for time in times:
        outbox.count(track_event(time=time, zone="gate"), 60)
    writer, counts = outbox.unsent_counts(9)
    assert [(row["start_ms"] - 1_767_225_600_000, row["zone"], row["count"]) for row in counts] == [
        (0, "gate", 2),
        (60_000, "gate", 1),
    ]
    outbox.counts_sent(counts)
    assert outbox.unsent_counts(9) == (writer, [])
    outbox.count(track_event(time=times[0], zone="gate"), 60)
    assert [row["count"] for row in outbox.unsent_counts(9)[1]] == [3]
    outbox.renew_counts()  # not yet: one is unsent
    assert outbox.unsent_counts(9)[0] == writer
    outbox.counts_sent(outbox.unsent_counts(9)[1])
    outbox.renew_counts()
    assert outbox.unsent_counts(9)[0] != writer
    assert rows(outbox, "waiting") == rows(outbox, "tallies") == 0


def test_a_full_disk_loses_nothing_confirmed(outbox: Outbox, track_event: Make) -> None:
    """SQLite's own limit on its pages gives the very error that a full disk gives."""
    for engine in (outbox._engine, outbox._relaxed):  # their pools have a connection each, which keeps it
        limit(engine, 60)
    kept: list[str] = []
    sentence = ""
    while not sentence:
        event = track_event(zone="z" * 200)
        try:
            outbox.append([(event, ["x"])])
            kept.append(event.id)
        except StoreError as error:
            sentence = str(error)
    assert sentence.endswith("outbox.db cannot be written: the disk is full; make room there")
    assert len(kept) > 10
    assert ids(outbox, "x", 10_000) == kept
    limit(outbox._engine, 1_000_000)
    outbox.append([(event, ["x"])])
    assert ids(outbox, "x", 10_000) == [*kept, event.id]


def limit(engine: Any, pages: int) -> None:
    with reading(engine) as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sets(st.sampled_from("xyz"))),
        st.tuples(st.just("deliver"), st.sampled_from("xyz"), st.integers(1, 4)),
        st.tuples(st.just("refuse"), st.sampled_from("xyz"), st.integers(1, 4)),
        st.tuples(st.just("retry"), st.sampled_from("xyz")),
        st.tuples(st.just("give up"), st.sampled_from("xyz"), st.integers(0, 3)),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_it_does_what_a_plain_list_does(tmp_path: Path, track_event: Make, operations: Any) -> None:
    path = tmp_path / "model.db"
    path.unlink(missing_ok=True)
    model: dict[str, list[list[Any]]] = {name: [] for name in "xyz"}  # [id, refused], in order of appending
    order: list[str] = []
    with Outbox(path) as outbox:
        for operation, *words in operations:
            if operation == "append":
                event = track_event()
                order.append(event.id)
                outbox.append([(event, sorted(words[0]))])
                for name in words[0]:
                    model[name].append([event.id, False])
                continue
            name = words[0]
            open_ones = [item for item in model[name] if not item[1]]
            if operation == "retry":
                assert outbox.retry_refused(name) == len(model[name]) - len(open_ones)
                for item in model[name]:
                    item[1] = False
            elif operation == "give up":
                dropped = open_ones[: max(len(open_ones) - words[1], 0)]
                assert outbox.give_up_oldest(name, words[1]) == len(dropped)
                model[name] = [item for item in model[name] if item not in dropped]
            else:
                found = outbox.waiting(name, words[1])
                assert [event.id for _, event in found] == [item[0] for item in open_ones[: words[1]]]
                positions = [position for position, _ in found]
                if operation == "deliver":
                    outbox.delivered(name, positions)
                    model[name] = [item for item in model[name] if item not in open_ones[: words[1]]]
                else:
                    outbox.refused(name, positions, "no")
                    for item in open_ones[: words[1]]:
                        item[1] = True
        left = {item[0] for items in model.values() for item in items}
        assert rows(outbox, "waiting") == len(left)
        for name, items in model.items():
            assert ids(outbox, name) == [id for id, refused in items if not refused]
