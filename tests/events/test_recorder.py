"""The recorder: confirmed is confirmed, whoever is away, and whatever kills the process."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import StoreError
from maskgate.events import Event
from maskgate.events.database import reading
from maskgate.events.queries import Filter
from maskgate.events.recorder import Recorder
from maskgate.events.settings import EventSettings, read_settings
from maskgate.events.store import Store

Make = Callable[..., Event]


def configured(folder: Path, *sinks: dict[str, Any], **store: Any) -> EventSettings:
    return read_settings({"store": {"folder": str(folder)} | store, "sinks": list(sinks)})


def webhook(receiver: Any, **fields: Any) -> dict[str, Any]:
    return {
        "type": "webhook",
        "url": receiver.url,
        "timeout_seconds": 1,
        "longest_wait_seconds": 0.1,
    } | fields


def lines(path: Path) -> list[Event]:
    return [Event.from_text(line) for line in path.read_text().splitlines()] if path.exists() else []


def stored(settings: EventSettings) -> list[Event]:
    with Store(settings.store.address) as store:
        store.upgrade()
        return list(store.page(Filter(), limit=1000, newest_first=False).events)


def test_events_reach_the_store_and_who_wants_them(tmp_path: Path, receiver: Any, track_event: Make) -> None:
    file = tmp_path / "events.jsonl"
    settings = configured(
        tmp_path / "state", {"type": "jsonl", "path": str(file)}, webhook(receiver, cameras=["hall"])
    )
    events = [track_event(), track_event(camera="hall"), track_event()]
    with Recorder(settings) as recorder:
        assert all(recorder.record(event) for event in events)
    assert stored(settings) == lines(file) == events
    assert [json.loads(body)["id"] for _, _, body in receiver.requests] == [events[1].id]


def test_submitted_events_are_recorded_in_order(tmp_path: Path, track_event: Make, eventually: Any) -> None:
    file = tmp_path / "events.jsonl"
    events = [track_event() for _ in range(30)]
    with Recorder(configured(tmp_path / "state", {"type": "jsonl", "path": str(file)})) as recorder:
        for event in events[:20]:
            recorder.submit(event)
        eventually(lambda: lines(file) == events[:20])
        for event in events[20:]:
            recorder.submit(event)
    assert lines(file) == events


def test_what_was_left_is_delivered_at_the_next_start(
    tmp_path: Path, receivers: Any, free_port: Any, track_event: Make, eventually: Any
) -> None:
    port = free_port()
    sink = webhook(type("R", (), {"url": f"http://127.0.0.1:{port}/"}))
    settings = configured(tmp_path, sink)
    events = [track_event(), track_event()]
    with Recorder(settings) as recorder:
        for event in events:
            recorder.record(event)
        eventually(lambda: any(r.trouble and r.backlog.waiting == 2 for r in recorder.receivers()))
    receiver = receivers(port)
    with Recorder(settings) as recorder:
        eventually(lambda: not any(r.backlog.waiting for r in recorder.receivers()))
    assert [json.loads(body)["id"] for _, _, body in receiver.requests] == [e.id for e in events]


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    with Recorder(settings), pytest.raises(StoreError, match="is used by another maskgate"):
        Recorder(settings)
    with Recorder(settings):
        pass


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used: "):
        Recorder(configured(tmp_path / "file"))


def test_a_damaged_outbox_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"rubbish, and enough of it " * 100)
    with pytest.raises(StoreError, match=r"outbox\.db is damaged; move it away"):
        Recorder(configured(tmp_path))
    assert (tmp_path / "outbox.db").read_bytes().startswith(b"rubbish")


def test_a_full_disk_holds_events_and_writes_them_later(
    tmp_path: Path, free_port: Any, track_event: Make, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "events.jsonl"
    dead = {"type": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}  # so that the outbox grows
    settings = configured(tmp_path / "state", {"type": "jsonl", "path": str(file)}, dead)
    with Recorder(settings) as recorder:
        # SQLite's own limit on its pages gives the very error that a full disk gives
        engine = recorder._outbox._engine
        limit(engine, 60)
        events = [track_event(zone="z" * 200)]
        while recorder.record(events[-1]):
            events.append(track_event(zone="z" * 200))
        assert len(events) > 10
        assert recorder.trouble
        assert recorder.trouble.endswith("cannot be written: the disk is full; make room there")
        confirmed = len(events) - 1
        for _ in range(3):
            events.append(track_event())
            recorder.submit(events[-1])
        eventually(lambda: len(lines(file)) >= confirmed)  # what was confirmed is delivered meanwhile
        # deliveries may make room for some; it is said once each time that it gets full
        full = sum(r.levelno == logging.ERROR for r in caplog.records)
        again = sum("can be written again" in r.message for r in caplog.records)
        assert 1 <= full <= again + 1
        limit(engine, 1_000_000)
        eventually(lambda: recorder.trouble is None)
        events.append(track_event())
        assert recorder.record(events[-1])
    assert lines(file) == events
    assert recorder.lost == 0


def test_events_that_were_never_written_are_told_at_the_end(tmp_path: Path, track_event: Make) -> None:
    recorder = Recorder(configured(tmp_path))
    limit(recorder._outbox._engine, 1)
    for _ in range(300):
        if not recorder.record(track_event(zone="z" * 200)):
            break
    with pytest.raises(StoreError, match=r"1 events were not kept: .* the disk is full"):
        recorder.close()


def limit(engine: Any, pages: int) -> None:
    with reading(engine) as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_postgresql_that_is_away_loses_nothing(
    tmp_path: Path, postgresql: Any, postgresql_address: Any, track_event: Make, eventually: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "events.jsonl"
    url = postgresql_address.reveal()
    settings = configured(tmp_path, {"type": "jsonl", "path": str(file)}, url=url)
    events = [track_event() for _ in range(6)]
    postgresql.stop()  # from the start on, before any table is made
    running = False
    try:
        with Recorder(settings) as recorder:
            assert all(recorder.record(event) for event in events[:3])
            eventually(lambda: lines(file) == events[:3])  # the others are served
            eventually(lambda: recorder.receivers()[0].trouble)
            postgresql.start()
            running = True
            eventually(lambda: stored(settings) == events[:3], 30)
            postgresql.stop()
            running = False
            assert all(recorder.record(event) for event in events[3:])
            eventually(lambda: recorder.receivers()[0].trouble)
            postgresql.start()
            running = True
            eventually(lambda: stored(settings) == events, 30)
    finally:
        if not running:
            postgresql.start()
    assert postgresql.password not in caplog.text + repr(settings)
    assert "cannot be reached" in caplog.text


def test_counts_only_keeps_no_event_anywhere(tmp_path: Path, track_event: Make) -> None:
    settings = configured(tmp_path, keep="counts", interval_seconds=60)
    events = [track_event(track="a-track-easy-to-find") for _ in range(61)]
    with Recorder(settings) as recorder:
        for event in events[:60]:
            recorder.record(event)
    with Recorder(settings) as recorder:
        recorder.record(events[60])
        recorder.record(track_event(time=events[0].time))
    with Store(settings.store.address) as store:
        assert [(c.start.minute, c.count) for c in store.statistics(interval_seconds=60)] == [(0, 61), (1, 1)]
        assert store.page().events == ()
    for path in tmp_path.iterdir():
        assert b"easy-to-find" not in path.read_bytes()
        assert all(event.id.encode() not in path.read_bytes() for event in events)


def test_retention_reaches_store_and_outbox(tmp_path: Path, track_event: Make, eventually: Any) -> None:
    settings = configured(tmp_path, retention_days=1)
    event = track_event()
    with Recorder(settings) as recorder:
        recorder.record(event)
        recorder.purge()
    assert stored(settings) == [event]
    dead = configured(tmp_path, webhook(type("R", (), {"url": "http://127.0.0.1:9/"})), retention_days=1e-9)
    with Recorder(dead) as recorder:
        recorder.record(track_event())
        eventually(lambda: recorder.receivers()[0].backlog.waiting == 0)  # the store has it
        time.sleep(0.01)
        recorder.purge()
        assert [r.backlog.waiting for r in recorder.receivers()] == [0, 0]
    assert stored(settings) == []


WRITER = """
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from maskgate.events import Event, EventType
from maskgate.events.recorder import Recorder
from maskgate.events.settings import read_settings
from maskgate.types import Label

folder, url = sys.argv[1:]
sinks = [{"type": "webhook", "url": url, "longest_wait_seconds": 0.2},
         {"type": "jsonl", "path": folder + "/events.jsonl"}]
with Recorder(read_settings({"store": {"folder": folder}, "sinks": sinks})) as recorder:
    for i in count():
        event = Event.of_track(EventType.TRACK_CONFIRMED, time=datetime.now(UTC), camera="door", track=str(i),
                               label=Label.MASK, confidence=1, votes=1, box=(0, 0, 1, 1))
        if recorder.record(event):
            print(event.id, event.track, flush=True)
"""


def test_kill_9_loses_no_confirmed_event(
    tmp_path: Path, receiver: Any, track_event: Make, eventually: Any
) -> None:
    """Two kills here; ``benchmarks/events.py`` makes fifty."""
    confirmed: dict[str, str] = {}
    for number in range(2):
        command = [sys.executable, "-c", WRITER, str(tmp_path), receiver.url]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.1 + 0.2 * number)
        os.kill(writer.pid, signal.SIGKILL)
        text = first + writer.stdout.read()
        writer.wait()
        writer.stdout.close()
        # the kill may have cut the last line short
        confirmed |= dict(line.split() for line in text.splitlines(keepends=True) if line.endswith("\n"))
    sinks = [webhook(receiver), {"type": "jsonl", "path": str(tmp_path / "events.jsonl")}]
    settings = configured(tmp_path, *sinks)
    with Recorder(settings) as recorder:
        eventually(lambda: not any(r.backlog.waiting for r in recorder.receivers()), 30)
    assert len(confirmed) >= 2
    posted = [json.loads(body) for _, _, body in receiver.requests]
    for got in (
        {e.id: e.track for e in stored(settings)},
        {e.id: e.track for e in lines(tmp_path / "events.jsonl")},
        {content["id"]: content["data"]["track"] for content in posted},
    ):
        assert confirmed.items() <= got.items()
    assert all(content["id"] == content["data"]["id"] for content in posted)
