"""Events: what they take, and that JSON gives them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.errors import EventError
from maskgate.events import Event, EventType
from maskgate.events.ids import IdMaker, id_of, new_id
from maskgate.types import Label

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
NUMBERS = st.floats(-1e6, 1e6)


@st.composite
def events(draw: st.DrawFn) -> Event:
    type = draw(st.sampled_from(list(EventType)))
    shared: dict[str, Any] = {
        "time": draw(TIMES),
        "camera": draw(NAMES),
        "media_seconds": draw(st.none() | st.floats(0, 1e6)),
    }
    if not type.of_track:
        return Event.of_camera(type, **shared)
    return Event.of_track(
        type,
        **shared,
        track=draw(NAMES),
        zone=draw(st.none() | NAMES),
        label=draw(st.sampled_from(list(Label))),
        confidence=draw(st.floats(0, 1)),
        votes=draw(st.integers(1, 10_000)),
        box=draw(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)),
    )


@settings(max_examples=50, deadline=None)
@given(events())
def test_json_gives_the_same_event_back(event: Event) -> None:
    assert Event.from_text(event.to_text()) == event
    assert "\n" not in event.to_text()


def test_json_is_the_contracts(track_event: Callable[..., Event]) -> None:
    # the line printed in the command line's contract, field by field, in its order
    event = track_event(
        id="x", time=datetime(2026, 1, 1, 0, 0, 0, 40_999, UTC), label=Label.MASK, camera="a", track="1",
        confidence=0.97, media_seconds=0.96,
    )  # fmt: skip
    assert event.to_text() == (
        '{"id": "x", "type": "track.confirmed", "schema": 1, "time": "2026-01-01T00:00:00.040Z", '
        '"camera": "a", "track": "1", "zone": null, "label": "mask", "violation": false, '
        '"confidence": 0.97, "votes": 7, "box": [1.5, 2.0, 30.0, 40.0], "media_seconds": 0.96}'
    )


def test_events_of_cameras_have_no_face() -> None:
    event = Event.of_camera(EventType.CAMERA_OFFLINE, time=datetime(2026, 1, 1, tzinfo=UTC), camera="a")
    content = event.to_json()
    nothing = {name for name, value in content.items() if value is None}
    face = {"track", "zone", "label", "violation", "confidence", "votes", "box"}
    assert nothing == {*face, "media_seconds"}


def test_what_numpy_gives_is_taken(track_event: Callable[..., Event]) -> None:
    event = track_event(confidence=np.float32(0.97), box=np.array([0.04, -0.04, 1.26, 3], np.float32))
    assert (event.confidence, event.box) == (0.97, (0.0, 0.0, 1.3, 3.0))
    json.dumps(event.to_json(), allow_nan=False)


def test_times_of_other_zones_are_converted(track_event: Callable[..., Event]) -> None:
    event = track_event(time=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert event.to_json()["time"] == "2026-01-01T00:00:00.000Z"
    assert event.milliseconds == 1_767_225_600_000  # date -u -d 2026-01-01 +%s


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a b"),
        ("time", datetime(2026, 1, 1)),
        ("camera", ""),
        ("camera", "two\nlines"),
        ("camera", "x" * 201),
        ("track", None),
        ("zone", ""),
        ("label", "beard"),
        ("violation", 1),
        ("confidence", 1.01),
        ("confidence", float("nan")),
        ("confidence", True),
        ("votes", 0),
        ("votes", 2.0),
        ("box", (1, 2, 3)),
        ("box", (1, 2, 3, float("inf"))),
        ("box", "1234"),
        ("media_seconds", -0.1),
    ],
)
def test_wrong_fields_are_named(track_event: Callable[..., Event], field: str, value: object) -> None:
    fields = track_event().to_json() | {"time": datetime(2026, 1, 1, tzinfo=UTC)}
    with pytest.raises(EventError, match=f"in the field '{field}'; wanted: "):
        Event(**(fields | {field: value}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "an event is a JSON object"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"id": "x"}', "lacks the field 'type'"),
        ('{"id": "x", "type": "camera.online", "schema": 2, "time": "2026-01-01T00:00:00Z", "camera": "a"}',
         "'schema'"),
        ('{"id": "x", "type": "camera.online", "schema": 1, "time": "2026-02-30T00:00:00Z", "camera": "a"}',
         "'time'"),
        ('{"id": "x", "type": "camera.online", "schema": 1, "time": "2026-01-01", "camera": "a"}', "'time'"),
        ('{"id": "x", "type": "camera.gone", "schema": 1, "time": "2026-01-01T00:00:00Z", "camera": "a"}',
         "'type'"),
        ('{"id": "x", "type": "camera.online", "schema": 1, "time": "2026-01-01T00:00:00Z", "camera": "a",'
         ' "votes": 1}', "'votes'"),
    ],
)  # fmt: skip
def test_wrong_json_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(EventError, match=words):
        Event.from_text(text)


def test_fields_of_the_future_are_left_out(track_event: Callable[..., Event]) -> None:
    event = track_event()
    assert Event.from_json(event.to_json() | {"age": 7}) == event


def test_ids_are_uuids_of_version_7_that_rise() -> None:
    before = datetime.now(UTC)
    ids = [new_id() for _ in range(2000)]
    assert ids == sorted(set(ids))
    for text in (ids[0], ids[-1]):
        uuid = UUID(text)
        assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
        made = datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC)
        assert abs(made - before) < timedelta(seconds=30)


def test_ids_rise_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    make = IdMaker()
    clock = iter([10**18, 10**18 - 10**12, 10**18 - 2 * 10**12, 10**18 + 10**9])
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    ids = [make() for _ in range(4)]
    assert ids == sorted(set(ids))


def test_ids_of_files_are_the_same_each_time() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    id = id_of(time, "a.mp4", "1", "track.confirmed")
    assert id == id_of(time, "a.mp4", "1", "track.confirmed")
    assert (
        len({id, id_of(time, "a.mp4", "1", "track.ended"), id_of(time, "a.mp41", "", "track.confirmed")}) == 3
    )
    assert UUID(id).version == 7
    assert UUID(id).int >> 80 == 1_767_225_600_000
