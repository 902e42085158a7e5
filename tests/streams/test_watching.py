"""From verdicts to events: what is told of a face, where, when, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from maskgate.events.types import Event
from maskgate.streams.frames import Frame
from maskgate.streams.rules import Rule, Rules
from maskgate.streams.schedules import Schedule
from maskgate.streams.watching import CameraWatch
from maskgate.streams.zones import Zone
from maskgate.types import Verdicts

START = datetime(2026, 1, 1, 8, tzinfo=UTC)  # a Thursday
IMAGE = np.zeros((480, 640, 3), np.uint8)
LEFT, RIGHT = (100, 100, 180, 200), (450, 100, 530, 200)
MASK, BARE, NOSE = (0.98, 0.01, 0.01), (0.01, 0.97, 0.02), (0.02, 0.02, 0.96)

VerdictsOf = Callable[..., Verdicts]
Watch = Callable[..., list[Event]]


@pytest.fixture
def watch(verdicts_of: VerdictsOf) -> Watch:
    """Events of a file at 10 frames a second; each frame is a list of rows (box, probabilities)."""

    def run(
        frames: Iterable[Sequence[Any]], *rules: Rule, zones: Sequence[Zone] = (), close: bool = True
    ) -> list[Event]:
        one = CameraWatch("a.avi", Rules(rules or (Rule(),), tuple(zones)), recorded=True)
        events = []
        for i, rows in enumerate(frames):
            seconds = i / 10
            frame = Frame(IMAGE, START + timedelta(seconds=seconds), i, seconds, 0.0)
            events += one.see(frame, verdicts_of(*rows))
        return events + (one.close() if close else [])

    return run


def told(events: Iterable[Event]) -> list[tuple[str, str | None, str, float]]:
    return [(e.type.value.split(".")[1], e.track, str(e.label), e.media_seconds or 0.0) for e in events]


def test_a_face_that_takes_its_mask_off_and_leaves(watch: Watch) -> None:
    events = watch([[(LEFT, MASK)]] * 20 + [[(LEFT, NOSE)]] * 20 + [[]] * 40)
    # its first frame does not count yet; then six frames are half a second
    assert told(events) == [
        ("confirmed", "1", "mask", 0.6),
        ("changed", "1", "incorrect", 2.5),
        ("ended", "1", "incorrect", 6.9),  # three seconds after 3.9
    ]
    confirmed, changed, ended = events
    assert (confirmed.violation, changed.violation, confirmed.votes) == (False, True, 6)
    assert confirmed.time == START + timedelta(seconds=0.6)
    assert confirmed.confidence == pytest.approx(0.98, abs=1e-4)
    assert ended.votes == 20
    assert ended.box == LEFT
    assert {event.camera for event in events} == {"a.avi"}
    assert {event.zone for event in events} == {None}


def test_ids_and_all_else_are_the_same_in_each_run(watch: Watch) -> None:
    frames = [[(LEFT, MASK), (RIGHT, BARE)]] * 20 + [[(LEFT, NOSE)]] * 60
    first, second = watch(frames), watch(frames)
    assert first == second
    assert len({event.id for event in first}) == len(first) == 5


def test_single_bad_frames_change_nothing(watch: Watch) -> None:
    frames = [[(LEFT, BARE if i % 4 == 3 else MASK)] for i in range(200)]
    assert told(watch(frames)) == [("confirmed", "1", "mask", 0.9), ("ended", "1", "mask", 19.9)]


def test_a_face_that_is_hidden_for_a_while_is_the_same(watch: Watch) -> None:
    events = watch([[(LEFT, BARE)]] * 10 + [[]] * 25 + [[(LEFT, BARE)]] * 10)
    assert [(kind, track) for kind, track, _, _ in told(events)] == [("confirmed", "1"), ("ended", "1")]


def test_alerts_come_once_per_cooldown(watch: Watch) -> None:
    # on and off every two seconds, for a minute
    frames = [[(LEFT, BARE if i // 20 % 2 == 0 else MASK)] for i in range(600)]
    alerts = [e.media_seconds for e in watch(frames, Rule(cooldown=20), close=False) if e.violation]
    assert len(alerts) == 3
    assert alerts[0] == 0.6
    assert all(b - a >= 20 for a, b in pairwise(alerts))
    often = [e for e in watch(frames, Rule(cooldown=0), close=False) if e.violation]
    assert len(often) == 15


def test_an_alert_that_was_held_back_comes_when_it_still_holds(watch: Watch) -> None:
    frames = [[(LEFT, BARE)]] * 10 + [[(LEFT, MASK)]] * 10 + [[(LEFT, BARE)]] * 100
    assert told(watch(frames, Rule(cooldown=5), close=False)) == [
        ("confirmed", "1", "no_mask", 0.6),
        ("changed", "1", "mask", 1.5),
        ("changed", "1", "no_mask", 5.6),
    ]


def test_only_violations(watch: Watch) -> None:
    frames = [[(LEFT, MASK), (RIGHT, MASK)]] * 20 + [[(LEFT, MASK), (RIGHT, BARE)]] * 20
    frames += [[(LEFT, MASK), (RIGHT, MASK)]] * 20
    events = watch(frames, Rule(report="violations"))
    assert [(e.type.value, e.violation) for e in events] == [
        ("track.confirmed", True),
        ("track.changed", False),
        ("track.ended", False),
    ]


def test_small_faces_are_not_judged(watch: Watch) -> None:
    small = (100, 100, 139, 160)
    assert watch([[(small, BARE)]] * 30, Rule(min_face=40)) == []
    assert len(watch([[(small, BARE)]] * 30, Rule(min_face=39))) == 2


class TestZones:
    door = Zone("door", "a.avi", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    elsewhere = Zone("elsewhere", "b.avi", ((0, 0), (1, 0), (1, 1), (0, 1)))

    def test_a_rule_holds_in_its_zone(self, watch: Watch) -> None:
        frames = [[(LEFT, BARE), (RIGHT, BARE)]] * 20
        rule = Rule(zones=frozenset({"door", "elsewhere"}))
        events = watch(frames, rule, zones=[self.elsewhere, self.door])
        assert [(e.type.value, e.zone, e.box) for e in events] == [
            ("track.confirmed", "door", RIGHT),
            ("track.ended", "door", RIGHT),
        ]

    def test_a_rule_for_the_rest(self, watch: Watch) -> None:
        rules = Rule("d", zones=frozenset({"door"}), confirm_seconds=0.2), Rule("rest", confirm_seconds=1)
        events = watch([[(LEFT, BARE), (RIGHT, BARE)]] * 20, *rules, zones=[self.door], close=False)
        assert [(e.zone, e.media_seconds) for e in events] == [("door", 0.5), (None, 1.1)]

    def test_who_leaves_the_zone_ends_there(self, watch: Watch) -> None:
        inside = [[(RIGHT, BARE)]] * 20
        walk = [[((450 - 12 * i, 100, 530 - 12 * i, 200), BARE)] for i in range(30)]
        stay = [[((102, 100, 182, 200), BARE)]] * 30
        events = watch(inside + walk + stay, Rule(zones=frozenset({"door"})), zones=[self.door])
        assert [e.type.value for e in events] == ["track.confirmed", "track.ended"]
        assert 5.8 < (events[1].media_seconds or 0) < 6.5, "three seconds after the border, at frame 34"


def test_schedules(watch: Watch) -> None:
    frames = [[(LEFT, BARE)]] * 100
    closed = Schedule("night", ZoneInfo("UTC"), start=20 * 60, end=6 * 60)
    assert watch(frames, Rule(schedules=(closed,))) == []
    opens = Schedule("later", ZoneInfo("Europe/Berlin"), ("thu",), 9 * 60, 17 * 60)
    assert len(watch(frames, Rule(schedules=(closed, opens)))) == 2


def test_a_rule_of_other_cameras(watch: Watch) -> None:
    assert watch([[(LEFT, BARE)]] * 30, Rule(cameras=frozenset({"b.avi"}))) == []


def test_doubtful_faces_take_longer(verdicts_of: VerdictsOf) -> None:
    def confirmed_at(**fields: Any) -> float | None:
        one = CameraWatch("a.avi", Rules(), recorded=True)
        for i in range(300):
            frame = Frame(IMAGE, START + timedelta(seconds=i / 10), i, i / 10, 0.0)
            for event in one.see(frame, verdicts_of((LEFT, BARE), **fields)):
                return event.media_seconds
        return None

    assert confirmed_at() == 0.6
    assert confirmed_at(uncertain=True) == 2.0
    assert confirmed_at(score=0.75) == 0.7


class TestLive:
    def test_events_have_no_position_and_new_ids(self, verdicts_of: VerdictsOf) -> None:
        ids, tracks = set(), set()
        for _ in range(2):
            one = CameraWatch("door", Rules(), recorded=False)
            events = []
            for i in range(10):
                frame = Frame(IMAGE, START + timedelta(seconds=i / 10), i, None, 0.0)
                events += one.see(frame, verdicts_of((LEFT, BARE)))
            (event,) = events
            assert event.media_seconds is None
            ids.add(event.id)
            tracks.add(event.track)
        assert len(ids) == len(tracks) == 2, "a restart must not continue other people's tracks"

    def test_time_passes_without_frames(self, verdicts_of: VerdictsOf) -> None:
        one = CameraWatch("door", Rules(), recorded=False)
        for i in range(10):
            one.see(Frame(IMAGE, START + timedelta(seconds=i / 10), i, None, 0.0), verdicts_of((LEFT, BARE)))
        assert one.pass_time(START + timedelta(seconds=3.8)) == []
        (event,) = one.pass_time(START + timedelta(seconds=4))
        assert event.type == "track.ended"
        assert event.time == START + timedelta(seconds=4)

    def test_clocks_that_go_back_do_no_harm(self, verdicts_of: VerdictsOf) -> None:
        one = CameraWatch("door", Rules(), recorded=False)
        events = []
        for i in range(30):
            moment = START + timedelta(seconds=i / 10 - (3600 if i > 10 else 0))
            events += one.see(Frame(IMAGE, moment, i, None, 0.0), verdicts_of((LEFT, BARE)))
        times = [event.time for event in events]
        assert times == sorted(times)


def test_memory_does_not_grow(verdicts_of: VerdictsOf) -> None:
    """A hundred people go by; nothing is kept of them."""
    one = CameraWatch("a.avi", Rules((Rule(absence=0.5),)), recorded=True)
    told_of = 0
    for i in range(2000):
        frame = Frame(IMAGE, START + timedelta(seconds=i / 10), i, i / 10, 0.0)
        rows = [(LEFT, BARE)] if i % 20 < 10 else []
        told_of += len(one.see(frame, verdicts_of(*rows)))
    assert told_of == 200
    sizes = [len(value) for value in vars(one).values() if isinstance(value, dict)]
    assert len(sizes) == 2
    assert max(sizes) <= 1
