"""The file of JSON lines: every line whole, whatever happens to the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskgate.errors import DeliveryError
from maskgate.events import Event
from maskgate.events.settings import JsonLinesSettings
from maskgate.events.sinks.jsonl import JsonLines

Make = Callable[..., Event]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "events.jsonl"


@pytest.fixture
def sink(path: Path) -> Iterator[JsonLines]:
    opened = JsonLines(JsonLinesSettings("file", path=path))
    opened.open()
    yield opened
    opened.close()


def lines(path: Path) -> list[Event]:
    text = path.read_text("utf-8")
    assert text == "" or text.endswith("\n")
    return [Event.from_text(line) for line in text.splitlines()]


@pytest.mark.parametrize("fsync", ["always", "never"])
def test_events_are_lines(path: Path, track_event: Make, fsync: str) -> None:
    events = [track_event() for _ in range(4)]
    sink = JsonLines(JsonLinesSettings("file", path=path, fsync=fsync))  # type: ignore[arg-type]
    sink.deliver(events[:3])
    sink.deliver(events[3:])
    assert lines(path) == events
    sink.close()


def test_with_fsync_the_file_is_synced(
    sink: JsonLines, track_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    sink.deliver([track_event(), track_event()])
    assert len(synced) == 1
    monkeypatch.undo()


@pytest.mark.parametrize("torn", ['{"id": "01', "x"])
def test_a_torn_line_is_cut_off(path: Path, sink: JsonLines, track_event: Make, torn: str) -> None:
    events = [track_event(), track_event()]
    sink.deliver(events[:1])
    sink.close()
    with path.open("a") as file:
        file.write(torn)
    sink.deliver(events[1:])
    assert lines(path) == events


def test_a_file_of_a_torn_line_alone(path: Path, sink: JsonLines, track_event: Make) -> None:
    sink.close()
    path.write_text('{"id": "01')
    event = track_event()
    sink.deliver([event])
    assert lines(path) == [event]


@pytest.mark.parametrize("gone", ["moved", "deleted"])
def test_a_file_that_is_rotated(path: Path, sink: JsonLines, track_event: Make, gone: str) -> None:
    events = [track_event(), track_event()]
    sink.deliver(events[:1])
    if gone == "moved":
        path.rename(path.with_suffix(".1"))
    else:
        path.unlink()
    sink.deliver(events[1:])
    assert lines(path) == events[1:]
    if gone == "moved":
        assert lines(path.with_suffix(".1")) == events[:1]


def test_a_full_disk(tmp_path: Path, track_event: Make) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    path = tmp_path / "events.jsonl"
    path.symlink_to("/dev/full")
    sink = JsonLines(JsonLinesSettings("file", path=path, fsync="never"))
    event = track_event()
    with pytest.raises(DeliveryError, match=rf"{path} cannot be written: No space left on device"):
        sink.deliver([event])
    path.unlink()  # room is made
    sink.deliver([event])
    assert lines(path) == [event]
    sink.close()


def test_a_disk_that_fills_within_a_line(
    path: Path, sink: JsonLines, track_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [track_event(), track_event()]
    sink.deliver(events[:1])
    write = os.write

    def short(file: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(file, data[:-50])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(DeliveryError, match="No space left"):
        sink.deliver(events[1:])
    monkeypatch.undo()
    assert lines(path) == events[:1]
    sink.deliver(events[1:])
    assert lines(path) == events


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    sink = JsonLines(JsonLinesSettings("file", path=tmp_path))
    with pytest.raises(DeliveryError, match=f"{tmp_path} cannot be written: Is a directory"):
        sink.open()
