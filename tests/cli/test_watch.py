"""``maskgate watch`` from the outside: events, files, faults and signals."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.images import encode_image, write_image

av = pytest.importorskip("av")
pytest.importorskip("sqlalchemy")

from maskgate.events.recorder import Recorder  # noqa: E402
from maskgate.events.settings import read_settings  # noqa: E402
from maskgate.events.store import Store  # noqa: E402

GREEN, RED, BLUE = (40, 220, 40), (220, 40, 40), (40, 40, 220)
Call = Callable[..., Any]
Spawn = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.usefixtures("toys")


def draw(*squares: tuple[int, int, tuple[int, int, int]], size: tuple[int, int] = (240, 128)) -> np.ndarray:
    """A black picture with chequered squares (x, y, colour) of 88 pixels: faces to the toy models."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    chequers = (np.indices((88, 88)) // 8).sum(0) % 2
    for x, y, colour in squares:
        image[y : y + 88, x : x + 88] = colour * (1 - 0.3 * chequers[..., None])
    return image


def film(path: Path, images: list[np.ndarray], rate: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=Fraction(rate))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj444p"
        stream.codec_context.thread_count = 1
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody with a mask takes it down after two seconds; the test runs in its folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    images = [draw((10 + i // 4, 20, GREEN if i < 20 else BLUE)) for i in range(40)]
    return film(Path("scene.avi"), images)


EXPECTED = [
    ("track.confirmed", "mask", False),
    ("track.changed", "incorrect", True),
    ("track.ended", "incorrect", True),
]


def told(lines: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(line["type"], line["label"], line["violation"]) for line in lines]


def test_events_of_a_video(call: Call, scene: Path) -> None:
    result = call("watch", "scene.avi", "--start", "2026-01-01T09:00:00+01:00")
    assert (result.status, result.err) == (0, "")
    assert told(result.lines) == EXPECTED
    first, second, _ = result.lines
    assert list(first) == [
        "id", "type", "schema", "time", "camera", "track", "zone", "label", "violation", "confidence",
        "votes", "box", "media_seconds",
    ]  # fmt: skip
    assert first["camera"] == "scene.avi"
    assert first["time"] == "2026-01-01T08:00:00.600Z"
    assert (first["media_seconds"], second["media_seconds"]) == (0.6, 2.5)
    assert first["track"] == second["track"]
    assert first["box"] == pytest.approx([11, 20, 99, 108], abs=2)
    assert call("watch", "scene.avi", "--start", "2026-01-01T08:00:00Z").out == result.out


def test_a_file_for_the_events(call: Call, scene: Path) -> None:
    Path("out.jsonl").write_text("old")
    assert call("watch", "scene.avi", "--output", "out.jsonl").out == ""
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert told(lines) == EXPECTED
    assert {path.name for path in Path().iterdir()} == {"scene.avi", "out.jsonl"}


def test_a_row_for_people(call: Call, scene: Path) -> None:
    rows = call("watch", "scene.avi", "--format", "table").out.splitlines()
    assert len(rows) == 3
    assert "scene.avi  changed    incorrect" in rows[1]


def test_a_folder_and_several_sources(call: Call, scene: Path) -> None:
    Path("pictures").mkdir()
    for i in range(20):
        write_image(Path("pictures", f"{i:02}.png"), draw((10, 20, RED)))
    result = call("watch", "pictures", "scene.avi", "--picture-rate", "5", "--start", "2026-01-01T08:00:00Z")
    assert result.status == 0
    times = [line["time"] for line in result.lines]
    assert times == sorted(times)
    assert {line["camera"] for line in result.lines} == {"pictures", "scene.avi"}
    (confirmed,) = [e for e in result.lines if e["camera"] == "pictures" and e["type"] == "track.confirmed"]
    assert (confirmed["label"], confirmed["media_seconds"]) == ("no_mask", 1.2)


def test_the_drawn_video(call: Call, scene: Path) -> None:
    assert call("watch", "scene.avi", "--save", "drawn/out.mp4").status == 0
    with av.open("drawn/out.mp4") as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(frames) == 40
    assert frames[0].shape == (128, 240, 3)
    plain = draw((10, 20, GREEN))
    assert np.abs(frames[0].astype(int) - plain)[:20].max() > 60, "there is a tag above the face"
    film(Path("b.avi"), [draw((10, 20, RED))] * 3)
    assert call("watch", "scene.avi", "b.avi", "--save", "two.mp4").status == 0
    assert {path.name for path in Path().glob("two*")} == {"two-1.mp4", "two-2.mp4"}


def test_rules(call: Call, scene: Path) -> None:
    rules = """
[zones.left]
camera = "scene.avi"
polygon = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
[rules.one]
zones = ["left"]
report = "violations"
confirm_seconds = 1
"""
    Path("rules.toml").write_text(rules)
    result = call("watch", "scene.avi", "--rules", "rules.toml")
    assert [(e["type"], e["zone"], e["media_seconds"]) for e in result.lines] == [
        ("track.confirmed", "left", 3.0),
        ("track.ended", "left", 3.9),
    ]


def test_cameras_of_the_rule_file(call: Call, scene: Path) -> None:
    Path("rules.toml").write_text(
        '[cameras.hall]\nsource = "scene.avi"\n[cameras.gate]\nsource = "gone.avi"\n'
    )
    both = call("watch", "--rules", "rules.toml")
    assert both.status == 1
    assert "gone.avi does not exist" in both.err
    assert {line["camera"] for line in both.lines} == {"hall"}
    one = call("watch", "hall", "--rules", "rules.toml")
    assert (one.status, told(one.lines)) == (0, EXPECTED)


def test_store_and_snapshots(call: Call, scene: Path) -> None:
    text = '[store]\nfolder = "state"\n[[sinks]]\ntype = "jsonl"\npath = "sink.jsonl"\n'
    Path("rules.toml").write_text(text + '[snapshots]\nfolder = "seen"\nshow = "face"\n')
    result = call("watch", "scene.avi", "--rules", "rules.toml")
    assert result.status == 0, result.err
    assert Path("sink.jsonl").read_text() == result.out
    changed = result.lines[1]
    assert [path.name for path in Path("seen").iterdir()] == [f"{changed['id']}.maskgate.jpg"]


def test_without_being_asked_nothing_is_kept(call: Call, scene: Path) -> None:
    call("watch", "scene.avi")
    assert list(Path().iterdir()) == [scene]


def test_counts_and_nothing_else(call: Call, scene: Path) -> None:
    Path("rules.toml").write_text('[store]\nfolder = "state"\nkeep = "counts"\n')
    result = call("watch", "scene.avi", "--rules", "rules.toml")
    assert (result.status, result.out) == (0, "")
    stored = b"".join(path.read_bytes() for path in Path("state").iterdir() if path.is_file())
    assert b"scene.avi" in stored
    assert b'"box"' not in stored
    for words in (["--save", "a.mp4"], ["--output", "a.jsonl"]):
        refused = call("watch", "scene.avi", "--rules", "rules.toml", *words)
        assert refused.status == 2
        assert "counts" in refused.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "there is nothing to watch"),
        (["scene.avi", "0"], "cameras and recordings cannot be watched together"),
        (["scene.avi", "./scene.avi", "scene.avi"], "named twice"),
        (["scene.avi", "--save", "a.gif"], "ends in one of"),
        (["scene.avi", "--output", "scene.avi"], "is one of the pictures to read"),
        (["scene.avi", "--seconds", "3"], "--seconds is for cameras"),
        (["0", "--start", "2026-01-01T00:00:00Z"], "--start is for recordings"),
        (["scene.avi", "--start", "2026-01-01"], "lacks its time zone"),
        (["scene.avi", "--start", "2026-02-30T00:00:00Z"], "is no time"),
        (["scene.avi", "--seconds", "nan"], "above 0"),
        (["scene.avi", "--rules", "gone.toml"], "gone.toml is not a file"),
        (["gopher://u:s3cret@h/"], "gopher:// is no address"),
        (["0", "--rules", "rtsp://u:s3cret@h/"], "rtsp://h/ is not a file"),
        (["0", "--transport", "rtsp://u:s3cret@h/"], "invalid choice: 'rtsp://h/'"),
        (["0", "--rate", "0"], "rate of webcam-0"),
        (["scene.avi", "--track-score", "2"], "between 0 and 1"),
        (["scene.avi", "--detector", "nobody"], "nobody"),
    ],
)
def test_calls_that_are_wrong(call: Call, scene: Path, words: list[str], sentence: str) -> None:
    result = call("watch", *words)
    assert (result.status, result.out) == (2, "")
    assert sentence in result.err
    assert "s3cret" not in result.err
    assert result.err.count("\n") == 1
    assert list(Path().iterdir()) == [scene]


def test_what_cannot_be_read_is_told_and_the_others_go_on(call: Call, scene: Path) -> None:
    Path("text.avi").write_text("these are words\n" * 50)
    data = scene.read_bytes()
    Path("cut.avi").write_bytes(data[: int(len(data) * 0.8)])
    result = call("watch", "gone.avi", "text.avi", "cut.avi", "scene.avi")
    assert result.status == 1
    assert [line.split(": ")[1].split()[0] for line in result.err.splitlines()] == [
        "gone.avi",
        "text.avi",
        "cut.avi",
    ]
    assert told([line for line in result.lines if line["camera"] == "scene.avi"]) == EXPECTED
    assert told([line for line in result.lines if line["camera"] == "cut.avi"]) == EXPECTED


def test_a_missing_package(scene: Path) -> None:
    program = (
        "import sys; sys.modules['av'] = None; from maskgate.cli import main; "
        "sys.exit(main(['watch', 'scene.avi']))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 2
    assert "pip install 'maskgate[watch]'" in run.stderr
    assert "Traceback" not in run.stderr


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_recording_that_is_broken_off(
    spawn: Spawn, scene: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    Path("out.jsonl").write_text("old")
    process = spawn("watch", "scene.avi", "--output", "out.jsonl", "--save", "out.mp4")
    wait_for(lambda: any(path.name.startswith(".out.mp4") for path in Path().iterdir()))
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "maskgate: stopped\n")
    assert process.returncode == status
    assert Path("out.jsonl").read_text() == "old"
    assert {path.name for path in Path().iterdir()} == {"scene.avi", "out.jsonl"}


def test_a_full_disk(scene: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    command = [sys.executable, "-B", "-m", "maskgate", "watch", "scene.avi", "--save", "out.mp4"]
    run = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert run.returncode == 2
    assert "out.mp4: File too large" in run.stderr
    assert {path.name for path in Path().iterdir()} == {"scene.avi"}


class TestLive:
    @pytest.fixture
    def camera(self, scene: Path, send_pictures: Callable[[bytes], str]) -> str:
        """An address that sends a bare face for ever; user and password are in it."""
        return send_pictures(bytes(encode_image(draw((10, 20, RED)), "JPEG")))

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_it_cleanly(
        self, spawn: Spawn, camera: str, number: signal.Signals, status: int
    ) -> None:
        Path("out.jsonl").write_text('{"id": "earlier"}\n{"torn')
        process = spawn("watch", camera, "--output", "out.jsonl", "--save", "out.mp4", "--rate", "20")
        wait_for(lambda: "track.confirmed" in Path("out.jsonl").read_text())
        process.send_signal(number)
        printed, errors = process.communicate(timeout=20)
        assert (process.returncode, printed) == (status, "")
        lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
        assert lines[0] == {"id": "earlier"}, "what is in the file stays"
        assert [line["type"] for line in lines[1:]] == ["camera.online", "track.confirmed", "track.ended"]
        assert lines[2]["media_seconds"] is None
        with av.open("out.mp4") as file:
            assert sum(1 for _ in file.decode(video=0)) > 5
        assert "pictures received" in errors
        for text in (errors, Path("out.jsonl").read_text()):
            assert all(secret not in text for secret in ("guard", "s3cret", "t0ken"))

    def test_a_hangup_has_rotated_files_opened_anew(self, spawn: Spawn, camera: str) -> None:
        Path("rules.toml").write_text(
            '[store]\nfolder = "state"\n[[sinks]]\ntype = "jsonl"\nname = "log"\npath = "log/events.jsonl"\n'
        )
        process = spawn("watch", camera, "--rules", "rules.toml", "--rate", "20")
        log = Path("log/events.jsonl")
        wait_for(lambda: log.is_file() and "track.confirmed" in log.read_text())
        log.rename("log/events.1")
        process.send_signal(signal.SIGHUP)
        wait_for(log.is_file)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 143, "it went on until it was told to stop"
        kinds = [[json.loads(line)["type"] for line in path.read_text().splitlines()] for path in
                 (Path("log/events.1"), log)]  # fmt: skip
        assert kinds == [["camera.online", "track.confirmed"], ["track.ended"]]

    def test_what_was_printed_before_a_kill_is_in_the_store(self, spawn: Spawn, camera: str) -> None:
        Path("rules.toml").write_text('[store]\nfolder = "state"\n')
        process = spawn("watch", camera, "--rules", "rules.toml", "--rate", "20", "--format", "jsonl")
        assert process.stdout is not None
        printed = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.kill()
        process.communicate(timeout=20)
        assert [line["type"] for line in printed] == ["camera.online", "track.confirmed"]
        settings = read_settings({"store": {"folder": "state"}})
        with Recorder(settings):
            pass  # delivers what the killed process had left
        with Store(settings.store.address) as store:
            kept = store.page(newest_first=False).events
        assert [event.to_json() for event in kept] == printed

    def test_it_stops_after_some_seconds(self, call: Call, camera: str) -> None:
        result = call("watch", camera, "--seconds", "2.5", "--rate", "20")
        assert result.status == 0
        assert [line["type"] for line in result.lines] == ["camera.online", "track.confirmed", "track.ended"]

    def test_a_camera_that_is_not_there(self, call: Call, scene: Path) -> None:
        result = call("watch", "rtsp://guard:s3cret@127.0.0.1:9/x", "--seconds", "1")
        assert result.status == 1
        assert [line["type"] for line in result.lines] == ["camera.offline"]
        assert "rtsp://127.0.0.1:9 cannot be opened" in result.err
        assert "s3cret" not in result.out + result.err
