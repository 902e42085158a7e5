"""Statistics, cameras, receivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from maskgate.errors import StoreError
from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.server.watch import CameraReport, Judge, ReceiverReport
from maskgate.types import Label

Make = Callable[..., Event]
START = datetime(2026, 1, 1, 8, tzinfo=UTC)


def fill(store: Store, make: Make) -> None:
    """Two hours at the door, one in the hall."""

    def at(minute: int, label: Label, camera: str = "door", **fields: Any) -> Event:
        return make(time=START + timedelta(minutes=minute), label=label, camera=camera, **fields)

    store.append(
        [
            at(0, Label.MASK), at(10, Label.MASK), at(20, Label.NO_MASK), at(59, Label.INCORRECT),
            at(30, Label.NO_MASK, type=EventType.TRACK_CHANGED),  # who wore one before
            at(31, Label.MASK, type=EventType.TRACK_CHANGED),
            at(40, Label.NO_MASK, type=EventType.TRACK_ENDED),
            at(60, Label.MASK), at(61, Label.NO_MASK, violation=False),  # where no rule holds
            at(5, Label.NO_MASK, camera="hall", type=EventType.TRACK_CHANGED),
            Event.of_camera(EventType.CAMERA_ONLINE, time=START, camera="door"),
        ]
    )  # fmt: skip


FIRST = {
    "start": "2026-01-01T08:00:00.000Z", "camera": "door",
    "tracks": {"mask": 2, "no_mask": 1, "incorrect": 1}, "violations": 3, "compliance": 0.5,
}  # fmt: skip
HALL = {
    "start": "2026-01-01T08:00:00.000Z", "camera": "hall",
    "tracks": {"mask": 0, "no_mask": 0, "incorrect": 0}, "violations": 1, "compliance": None,
}  # fmt: skip
SECOND = {
    "start": "2026-01-01T09:00:00.000Z", "camera": "door",
    "tracks": {"mask": 1, "no_mask": 1, "incorrect": 0}, "violations": 0, "compliance": 1.0,
}  # fmt: skip
DAY = {
    "start": "2026-01-01T00:00:00.000Z", "camera": "door",
    "tracks": {"mask": 3, "no_mask": 2, "incorrect": 1}, "violations": 3, "compliance": 0.6667,
}  # fmt: skip


def test_statistics_are_as_counted_by_hand(
    serving: Callable[..., Any], store: Store, address: Address, track_event: Make
) -> None:
    fill(store, track_event)
    asked: dict[str, Any] = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    with serving(store=address) as running, running.client() as client:

        def intervals(**query: Any) -> Any:
            return client.get("/v1/statistics", params=asked | query).json()["intervals"]

        answer = client.get("/v1/statistics", params=asked).json()
        assert answer == {
            "interval": "hour",
            "since": "2026-01-01T00:00:00.000Z",
            "until": "2026-01-02T00:00:00.000Z",
            "intervals": [FIRST, HALL, SECOND],
        }
        assert intervals(camera="door") == [FIRST, SECOND]
        assert intervals(camera="door", interval="day") == [DAY]
        assert intervals(since="2026-01-01T09:00:00Z") == [SECOND]
        assert intervals(until="2026-01-01T09:00:00+00:00") == [FIRST, HALL]
        assert client.get("/v1/statistics").json()["intervals"] == []  # of the last day


def test_counts_without_events_are_counted_too(
    serving: Callable[..., Any], store: Store, address: Address
) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    row = {
        "start_ms": int(now.timestamp() * 1000), "camera": "door", "zone": "", "type": "track.confirmed",
        "label": "mask", "violation": False, "count": 3,
    }  # fmt: skip
    store.set_counts("a", [row, row | {"label": "no_mask", "violation": True, "count": 1}])
    with serving(store=address) as running, running.client() as client:
        (interval,) = client.get("/v1/statistics").json()["intervals"]
    assert interval["tracks"] == {"mask": 3, "no_mask": 1, "incorrect": 0}
    assert (interval["violations"], interval["compliance"]) == (1, 0.75)


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "1970-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2015-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "interval": "day"},
        {"interval": "minute"},
    ],
)
def test_spans_that_make_no_sense_are_told(
    plain: Any, problem: Callable[..., Any], query: dict[str, str]
) -> None:
    with plain.client() as client:
        problem(client.get("/v1/statistics", params=query), 422, "invalid")


class Watched:
    """Cameras as a watch in this process would report them."""

    running = False
    judge: Judge | None = None

    def start(self, judge: Judge) -> None:
        self.running, self.judge = True, judge

    def stop(self) -> None:
        self.running = False

    def cameras(self) -> list[CameraReport]:
        return [
            CameraReport("door", "rtsp://10.0.0.7", True, START, 100, 70, 20, 9),
            CameraReport("new", "http://cam.example:81", None),
        ]

    def events(self) -> Mapping[EventType, int]:
        return {EventType.TRACK_CONFIRMED: 5}

    def receivers(self) -> list[ReceiverReport]:
        return [ReceiverReport("store", 0, 0, None), ReceiverReport("siem", 7, 1, "it is away")]


def test_cameras_are_those_of_here_and_of_the_store(
    serving: Callable[..., Any], store: Store, address: Address, track_event: Make
) -> None:
    store.append(
        [
            Event.of_camera(EventType.CAMERA_OFFLINE, time=START, camera="door"),
            track_event(camera="door", time=START + timedelta(seconds=1)),
            Event.of_camera(EventType.CAMERA_ONLINE, time=START, camera="elsewhere"),
            track_event(camera="film", time=START),
        ]
    )
    watched = Watched()
    with serving(store=address, watch=watched) as running, running.client() as client:
        cameras = client.get("/v1/cameras").json()["cameras"]
        at = "2026-01-01T08:00:00.000Z"
        assert cameras == [
            {"name": "door", "address": "rtsp://10.0.0.7", "state": "online", "since": at,
             "last_event": "2026-01-01T08:00:01.000Z",
             "frames": {"received": 100, "processed": 70, "skipped": 20, "passed": 9}},
            {"name": "elsewhere", "address": None, "state": "online", "since": at, "last_event": at,
             "frames": None},
            {"name": "film", "address": None, "state": "never", "since": None, "last_event": at,
             "frames": None},
            {"name": "new", "address": "http://cam.example:81", "state": "never", "since": None,
             "last_event": None, "frames": {"received": 0, "processed": 0, "skipped": 0, "passed": 0}},
        ]  # fmt: skip
        assert client.get("/v1/receivers").json() == {
            "receivers": [
                {"name": "store", "waiting": 0, "refused": 0, "trouble": None},
                {"name": "siem", "waiting": 7, "refused": 1, "trouble": "it is away"},
            ]
        }
        assert watched.running
    assert not watched.running


def test_an_outbox_that_cannot_be_read_is_told(
    serving: Callable[..., Any], problem: Callable[..., Any]
) -> None:
    class Away(Watched):
        def receivers(self) -> list[ReceiverReport]:
            raise StoreError("the database /srv/state/outbox.db is damaged")

    with serving(watch=Away()) as running, running.client() as client:
        answer = client.get("/v1/receivers")
    problem(answer, 503, "store-away")
    assert "/srv" not in answer.text
