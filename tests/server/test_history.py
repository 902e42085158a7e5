"""Events over HTTP: pages, filters, streams, snapshots."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.snapshot_files import snapshot_path
from maskgate.events.store import Store
from maskgate.events.types import SCHEMA
from maskgate.server.settings import SnapshotFolder
from maskgate.types import Label

Make = Callable[..., Event]


@pytest.fixture
def running(serving: Callable[..., Any], store: Store, address: Address) -> Iterator[Any]:
    with serving(store=address, heartbeat_seconds=0.3) as running:
        yield running


def varied(make: Make) -> list[Event]:
    """All kinds, from two cameras, in order of time."""
    first = make()
    made = [
        first,
        make(label=Label.MASK, camera="Ω|'\"%&=+"),
        make(type=EventType.TRACK_CHANGED, zone="queue"),
        Event.of_camera(EventType.CAMERA_OFFLINE, time=first.time + timedelta(seconds=5), camera="door"),
        make(time=first.time + timedelta(seconds=6), label=Label.INCORRECT, track="t"),
        make(time=first.time + timedelta(seconds=7), type=EventType.TRACK_ENDED, violation=False),
    ]
    return made


QUERIES: list[tuple[dict[str, Any], Callable[[Event], bool]]] = [
    ({}, lambda e: True),
    ({"camera": "door"}, lambda e: e.camera == "door"),
    ({"camera": ["door", "Ω|'\"%&=+"]}, lambda e: True),
    ({"camera": "none"}, lambda e: False),
    ({"type": "camera.offline"}, lambda e: e.type == "camera.offline"),
    ({"type": ["track.changed", "track.ended"]}, lambda e: e.type in ("track.changed", "track.ended")),
    ({"label": "mask"}, lambda e: e.label == "mask"),
    ({"zone": "queue"}, lambda e: e.zone == "queue"),
    ({"track": "t"}, lambda e: e.track == "t"),
    ({"violation": "true"}, lambda e: e.violation is True),
    ({"violation": "false"}, lambda e: e.violation is False),
    ({"since": "2026-01-01T00:00:02Z"}, lambda e: e.time.second >= 2),
    ({"until": "2026-01-01T01:00:02+01:00"}, lambda e: e.time.second < 2),
    ({"camera": "door", "violation": "true", "label": "no_mask"}, lambda e: e.camera == "door"
     and e.violation is True and e.label == "no_mask"),
]  # fmt: skip


def test_events_are_listed_as_they_are(running: Any, store: Store, track_event: Make) -> None:
    events = varied(track_event)
    store.append(events)
    with running.client() as client:
        for query, keeps in QUERIES:
            wanted = [event.to_json() for event in events if keeps(event)]
            answer = client.get("/v1/events", params=query | {"order": "oldest"})
            assert answer.json() == {"events": wanted, "next": None}, query
            assert client.get("/v1/events", params=query).json()["events"] == wanted[::-1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_follow_each_other(running: Any, store: Store, track_event: Make, order: str) -> None:
    events = [track_event(camera=f"c{i % 3}") for i in range(25)]
    store.append(events)
    found: list[str] = []
    query: dict[str, Any] = {"limit": 4, "order": order, "camera": ["c0", "c1"]}
    with running.client() as client:
        while True:
            page = client.get("/v1/events", params=query).json()
            found += [event["id"] for event in page["events"]]
            if page["next"] is None:
                break
            assert len(page["events"]) == 4
            query["after"] = page["next"]
    wanted = [event.id for event in events if event.camera != "c2"]
    assert found == (wanted if order == "oldest" else wanted[::-1])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"limit": "x"}, "limit"),
        ({"after": "x"}, "after"), ({"after": ""}, "after"),
        ({"type": "track.lost"}, "type.0"), ({"label": "scarf"}, "label.0"),
        ({"camera": "\0"}, "camera.0"), ({"camera": ""}, "camera.0"), ({"camera": "x" * 201}, "camera.0"),
        ({"camera": ["x"] * 101}, "camera"), ({"violation": "maybe"}, "violation"),
        ({"since": "today"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"), ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"until": "9999-12-31T23:59:59-14:00"}, "until"), ({"order": "random"}, "order"),
    ],
)  # fmt: skip
def test_queries_that_make_no_sense_are_told(
    running: Any, problem: Callable[..., Any], query: dict[str, Any], field: str
) -> None:
    with running.client() as client:
        document = problem(client.get("/v1/events", params=query), 422, "invalid")
    assert [error["field"] for error in document["errors"]] == [field]


def test_without_a_store_there_is_nothing_to_see(plain: Any) -> None:
    with plain.client() as client:
        assert client.get("/v1/events").json() == {"events": [], "next": None}
        assert client.get("/v1/statistics").json()["intervals"] == []
        assert client.get("/v1/cameras").json() == {"cameras": []}


def test_a_store_that_is_away_is_told_and_comes_back(
    serving: Callable[..., Any], folder: Path, track_event: Make, problem: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    path = folder / "events.db"
    path.write_bytes(b"this is no database" * 100)
    with serving(store=Address(f"sqlite:///{path}")) as running, running.client() as client:
        assert client.get("/health/live").status_code == 200
        for path_of in ("/v1/events", "/v1/statistics", "/v1/cameras", "/v1/events/stream"):
            answer = client.get(path_of)
            problem(answer, 503, "store-away")
            assert answer.headers["retry-after"] == "5"
            assert str(folder) not in answer.text
        assert problem(client.get("/health/ready"), 503, "not-ready")["detail"] == "not ready: store"
        assert caplog.text.count("is damaged; move it away") == 1  # not for every request
        path.unlink()
        with Store(Address(f"sqlite:///{path}")) as store:
            store.upgrade()
            store.append([track_event()])
        assert len(client.get("/v1/events").json()["events"]) == 1
        assert client.get("/health/ready").status_code == 200
        assert "can be read again" in caplog.text


class Listener:
    """A stream of events, read in a thread."""

    def __init__(self, running: Any, query: str = "", last: str | None = None) -> None:
        self.lines: Queue[str | None] = Queue()
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self._running, self._query = running, query
        self._headers = {} if last is None else {"Last-Event-ID": last}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self.lines.get(timeout=10) == "retry: 3000"

    def _read(self) -> None:
        with (
            self._running.client() as client,
            client.stream("GET", f"/v1/events/stream{self._query}", headers=self._headers) as answer,
        ):
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            for line in answer.iter_lines():
                if self._stop.is_set():
                    return
                self._take(line)
        self.lines.put(None)

    def _take(self, line: str) -> None:
        if line.startswith("id: "):
            self.ids.append(line[4:])
        elif line.startswith("data: "):
            self.events.append(json.loads(line[6:]))
        elif line:
            self.lines.put(line)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def ended(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def start(*arguments: Any, **options: Any) -> Listener:
        opened.append(Listener(*arguments, **options))
        return opened[-1]

    yield start
    for listener in opened:
        listener.close()


def test_streams_tell_what_happens(
    running: Any,
    store: Store,
    track_event: Make,
    listen: Callable[..., Listener],
    eventually: Callable[..., Any],
) -> None:
    store.append([track_event()])  # before anybody listens
    everything = listen(running)
    violations = listen(running, "?violation=true&camera=hall")
    events = [track_event(camera="hall"), track_event(camera="hall", label=Label.MASK), track_event()]
    for event in events:
        store.append([event])
    assert eventually(lambda: len(everything.events) == 3)
    assert everything.events == [event.to_json() for event in events]
    assert everything.ids == [event.id for event in events]
    assert eventually(lambda: violations.ids == [events[0].id])
    assert everything.events[0]["schema"] == SCHEMA
    # nothing happens, and that is told too
    assert everything.lines.get(timeout=5) == ": still here"


def test_what_was_missed_is_told_afterwards(
    running: Any,
    store: Store,
    track_event: Make,
    listen: Callable[..., Listener],
    eventually: Callable[..., Any],
) -> None:
    events = [track_event() for _ in range(5)]
    first = listen(running)
    store.append(events[:2])
    assert eventually(lambda: len(first.ids) == 2)
    first.close()
    store.append(events[2:4])
    second = listen(running, last=events[1].id)
    assert eventually(lambda: len(second.ids) == 2)
    store.append(events[4:])
    assert eventually(lambda: second.ids == [event.id for event in events[2:]])
    unknown = listen(running, last="unknown")
    time.sleep(0.2)
    assert unknown.ids == []


def test_what_was_missed_over_a_restart_is_told_too(
    serving: Callable[..., Any], store: Store, address: Address, track_event: Make,
    listen: Callable[..., Listener], eventually: Callable[..., Any],
) -> None:  # fmt: skip
    events = [track_event() for _ in range(5)]
    store.append(events[:2])
    time.sleep(0.01)
    store.append(events[2:4])
    with serving(store=address, heartbeat_seconds=0.3) as running:
        listener = listen(running, "?violation=true", last=events[1].id)
        # the first may come again, as it came within the time by which others may be late
        assert eventually(lambda: set(listener.ids) >= {e.id for e in events[2:4]})
        store.append(events[4:])
        assert eventually(lambda: events[4].id in listener.ids)
        assert len(listener.ids) == len(set(listener.ids))
        assert events[1].id not in listener.ids
        listener.close()


def test_streams_end_with_the_session(
    serving: Callable[..., Any], address: Address, store: Store, tokens: Any, eventually: Callable[..., Any]
) -> None:
    with (
        serving(store=address, heartbeat_seconds=0.2, tokens=tokens.book) as running,
        running.client() as client,
    ):
        client.post("/v1/session", json={"token": tokens.texts["read"]})
        with client.stream("GET", "/v1/events/stream") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 3000"
            with running.client(cookies=client.cookies) as other:
                assert other.delete("/v1/session", headers={"Origin": running.url}).status_code == 204
            assert list(lines)[:1] == [""]  # and then the end


def test_there_is_an_end_to_streams(
    serving: Callable[..., Any], address: Address, store: Store, problem: Callable[..., Any],
    listen: Callable[..., Listener], eventually: Callable[..., Any],
) -> None:  # fmt: skip
    with serving(store=address, most_streams=2, heartbeat_seconds=0.1) as running, running.client() as client:
        one, two = listen(running), listen(running)
        answer = client.get("/v1/events/stream")
        problem(answer, 503, "busy")
        one.close()
        assert eventually(lambda: running.application.state.service.metrics.open_streams == 1)
        three = listen(running)
        for listener in (two, three):
            listener.close()


def test_stopping_ends_streams(
    serving: Callable[..., Any], address: Address, store: Store, listen: Callable[..., Listener]
) -> None:
    with serving(store=address, heartbeat_seconds=30) as running:
        listener = listen(running)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert listener.lines.get(timeout=2) is None


def test_snapshots_are_for_tokens_only(
    serving: Callable[..., Any], folder: Path, tokens: Any, problem: Callable[..., Any], jpeg: bytes
) -> None:
    pictures = folder / "snapshots"
    pictures.mkdir()
    for id in ("kept", "old"):
        snapshot_path(pictures, id).write_bytes(jpeg)
    long_ago = time.time() - 3 * 3600
    os.utime(snapshot_path(pictures, "old"), (long_ago, long_ago))
    snapshot_path(pictures, "link").symlink_to("/etc/passwd")
    (folder / "secret.maskgate.jpg").write_bytes(b"s3cret")
    kept = SnapshotFolder(pictures, keep_hours=2)
    with serving(snapshots=kept) as running, running.client() as client:
        problem(client.get("/v1/snapshots/kept"), 403, "not-allowed")
    with serving(snapshots=kept, tokens=tokens.book) as running:
        with running.client() as client:
            problem(client.get("/v1/snapshots/kept"), 401, "unauthenticated")
        with running.client(headers=tokens.header("read")) as client:
            answer = client.get("/v1/snapshots/kept")
            assert (answer.content, answer.headers["content-type"]) == (jpeg, "image/jpeg")
            assert answer.headers["cache-control"] == "no-store"
            for id in ("old", "link", "none"):
                problem(client.get(f"/v1/snapshots/{id}"), 404, "not-found")
            for id in ("..%2Fsecret", "%2Fetc%2Fpasswd", "..", "a%00"):
                assert client.get(f"/v1/snapshots/{id}").status_code in (404, 422)
    with serving(tokens=tokens.book) as running, running.client(headers=tokens.header("admin")) as client:
        problem(client.get("/v1/snapshots/kept"), 404, "not-found")
