"""Cameras on loopback: streams that are quick, end, break, go silent or are none, and come back."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.images import encode_image
from maskgate.streams.frames import Frame
from maskgate.streams.live import CameraState, LiveCamera, LiveLimits
from maskgate.streams.sources import parse_source

QUICK = LiveLimits(open=4.0, silent=1.0, hung=0.3, first_wait=0.05, longest_wait=0.2)
Serve = Callable[..., str]
Pace = Callable[..., None]
MpegTs = Callable[..., bytes]


class Watched:
    """A camera that is running, and what has become of it."""

    def __init__(self, address: str, **options: Any) -> None:
        fields = {"rate": 1000.0} | {key: options.pop(key) for key in ("rate", "transport") if key in options}
        self.woken = threading.Event()
        options = {"limits": QUICK} | options
        self.camera = LiveCamera(parse_source(address, "door", **fields), self.woken.set, **options)
        self.states: list[CameraState] = []
        self.frames: list[Frame] = []

    def until(self, condition: Callable[[], bool], *, take: bool = True) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < deadline, f"{self.states} {self.camera.counts}"
            self.woken.wait(0.02)
            self.woken.clear()
            self.states += self.camera.states()
            self.camera.check()
            if take and (frame := self.camera.take()) is not None:
                self.frames.append(frame)
        self.states += self.camera.states()

    def until_states(self, *online: bool) -> None:
        self.until(lambda: len(self.states) >= len(online))
        assert [state.online for state in self.states[: len(online)]] == list(online)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    running = []

    def start(address: str, **options: Any) -> Watched:
        watched = Watched(address, **options)
        running.append(watched)
        watched.camera.start()
        return watched

    yield start
    for watched in running:
        watched.camera.stop(wait=0.05)
        for state in watched.states:
            for secret in ("guard", "s3cret", "t0ken"):
                assert secret not in repr(state)


def test_only_the_newest_picture_is_kept(watch: Any, serve: Serve, pace: Pace, mpegts: MpegTs) -> None:
    data = mpegts(60, rate=25)
    watched = watch(serve(lambda write, _: pace(write, data, 2.4)))
    watched.until(lambda: watched.camera.counts.received >= 40, take=False)
    first = watched.camera.take()
    assert first is not None
    assert first.index >= 39
    counts = watched.camera.counts
    assert counts.skipped >= 39
    assert counts.passed == 0
    assert watched.camera.take() is None or watched.camera.counts.received > counts.received


def test_the_rate_is_kept(watch: Any, serve: Serve, pace: Pace, mpegts: MpegTs) -> None:
    data = mpegts(75, rate=25)
    watched = watch(
        serve(lambda write, number: pace(write, data, 3.0) if not number else time.sleep(9)), rate=5
    )
    watched.until_states(True, False)
    counts = watched.camera.counts
    assert counts.received >= 70
    # what was read to find out about the stream comes at once
    assert 8 <= counts.received - counts.passed <= 18, "five a second of three seconds"


def test_times_are_of_the_stream_and_in_utc(watch: Any, serve: Serve, pace: Pace, mpegts: MpegTs) -> None:
    data = mpegts(50, rate=25)
    # everything comes in two bursts; the steps are those of the pictures nevertheless
    watched = watch(serve(lambda write, _: pace(write, data, 1.0, 2)))
    watched.until(lambda: len(watched.frames) >= 3)
    for frame in watched.frames:
        assert abs(frame.time.timestamp() - time.time()) < 30
        assert frame.media_seconds is None
        assert frame.time.utcoffset() is not None
    times = [frame.time for frame in watched.frames]
    assert times == sorted(set(times))


def test_a_stream_that_ends_is_opened_again(watch: Any, serve: Serve, mpegts: MpegTs) -> None:
    data = mpegts(10)
    watched = watch(serve(lambda write, _: write(data)))
    watched.until_states(True, False, True, False)
    assert watched.states[1].reason == f"{watched.camera.source} has ended the stream"
    assert watched.camera.counts.opened >= 2


def test_a_stream_that_ends_in_the_middle_of_a_frame(watch: Any, serve: Serve, mpegts: MpegTs) -> None:
    data = mpegts(10)
    watched = watch(serve(lambda write, _: write(data[: int(0.7 * len(data)) + 77])))
    watched.until_states(True, False, True)
    assert len(watched.frames) >= 1


def test_a_stream_that_goes_silent_without_closing(watch: Any, serve: Serve, mpegts: MpegTs) -> None:
    data = mpegts(10)
    quiet = threading.Event()
    watched = watch(serve(lambda write, _: (write(data), quiet.wait(30))))
    began = time.monotonic()
    watched.until_states(True, False)
    assert "has sent no picture for 1 seconds" in str(watched.states[1].reason)
    assert time.monotonic() - began < 15
    quiet.set()


def test_a_server_that_never_answers(watch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for scheme in ("http", "rtsp"):
            limits = LiveLimits(open=0.5, silent=0.5, first_wait=0.05)
            watched = watch(f"{scheme}://guard:s3cret@127.0.0.1:{port}/x", limits=limits)
            watched.until_states(False)
            assert "does not answer within 0.5 seconds" in str(watched.states[0].reason)


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_nobody_there(watch: Any, scheme: str) -> None:
    watched = watch(f"{scheme}://guard:s3cret@127.0.0.1:9/x?token=t0ken")
    watched.until(lambda: watched.camera.counts.opened >= 3)
    assert [state.online for state in watched.states] == [False], "it is told once"
    assert str(watched.states[0].reason).startswith(f"{scheme}://127.0.0.1:9 cannot be opened: ")


def test_what_is_no_video(watch: Any, serve: Serve) -> None:
    watched = watch(serve(lambda write, _: write(b"<html>sign in, please</html>\n" * 200), "text/html"))
    watched.until_states(False)
    assert re.search("(is|sends) no video", str(watched.states[0].reason))


def test_a_device_that_is_none(watch: Any) -> None:
    watched = watch("63")
    watched.until_states(False)
    assert str(watched.states[0].reason).startswith("webcam 63 cannot be opened: ")


def test_pictures_that_change_their_size(watch: Any, serve: Serve) -> None:
    def send(write: Callable[[bytes], Any], _: int) -> None:
        for i in range(80):
            size = (48, 64) if i % 20 < 10 else (64, 96)
            jpeg = encode_image(np.full((*size, 3), i, np.uint8), "JPEG")
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            write(head.encode() + jpeg + b"\r\n")
            time.sleep(0.03)

    watched = watch(serve(send, "multipart/x-mixed-replace; boundary=next"))
    sizes: set[tuple[int, ...]] = set()

    def both() -> bool:
        sizes.update(frame.image.shape for frame in watched.frames)
        return len(sizes) == 2

    watched.until(both)
    assert sizes == {(48, 64, 3), (64, 96, 3)}


class TestHanging:
    """A driver that does not let go, which no server on loopback can be: its place is taken by a lock."""

    def test_the_thread_is_left_behind(self, watch: Any) -> None:
        release, tries = threading.Event(), []

        @contextmanager
        def opener() -> Iterator[Any]:
            tries.append(threading.current_thread())
            release.wait(60)
            yield type("Opened", (), {"has_clock": False, "pictures": lambda self: iter(())})()

        limits = LiveLimits(open=0.1, silent=0.1, hung=0.1, first_wait=0.01, longest_wait=0.02)
        watched = watch("0", limits=limits, opener=opener)
        watched.until(lambda: len(tries) == 3)
        assert "webcam 0 hangs" in str(watched.states[0].reason)
        end = time.monotonic() + 1
        watched.until(lambda: time.monotonic() > end)
        assert len(tries) == 3, "threads that hang do not add up"
        release.set()
        watched.until(lambda: len(tries) > 3)
        assert all(not thread.is_alive() for thread in tries[:2])

    def test_an_error_that_nobody_thought_of(self, watch: Any) -> None:
        def opener() -> Any:
            raise RuntimeError("rtsp://guard:s3cret@host")

        watched = watch("rtsp://guard:s3cret@127.0.0.1/x", opener=opener)
        watched.until(lambda: watched.camera.counts.opened >= 3)
        assert watched.states[0].reason == "rtsp://127.0.0.1 cannot be read: RuntimeError"


@pytest.fixture
def rtsp_server(tmp_path: Path, encode_video: Callable[..., None]) -> Iterator[Callable[..., Any]]:
    """Starts a real RTSP server that plays six seconds; gives the process and the port."""
    python = Path("/usr/bin/python3")
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not python.exists() or subprocess.run([python, "-c", probe], capture_output=True).returncode:
        pytest.skip("needs Debian's gir1.2-gst-rtsp-server-1.0")
    video = tmp_path / "a.mkv"
    images = [np.full((96, 128, 3), i, np.uint8) for i in range(150)]
    encode_video(video, images, rate=25, codec="libx264", options={})
    running = []

    def start(port: int = 0) -> tuple[subprocess.Popen[str], int]:
        script = Path(__file__).with_name("rtsp_server.py")
        process = subprocess.Popen(
            [python, script, video, "guard", "s3cret", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdecimal():
            pytest.skip(f"the RTSP server does not start: {process.communicate()[1].strip()[-200:]}")
        return process, int(line)

    yield start
    for process in running:
        process.kill()
        process.communicate()


class TestRtsp:
    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    def test_a_camera_that_goes_away_and_comes_back(
        self, watch: Any, rtsp_server: Any, transport: str
    ) -> None:
        server, port = rtsp_server()
        watched = watch(f"rtsp://guard:s3cret@127.0.0.1:{port}/live", transport=transport)
        watched.until(lambda: len(watched.frames) >= 25)
        gaps = np.diff([frame.time.timestamp() for frame in watched.frames[5:]])
        assert np.median(gaps) == pytest.approx(0.04, abs=0.01), "the stream's own steps"
        if transport == "udp":
            return
        server.kill()
        server.wait()
        watched.until_states(True, False)
        rtsp_server(port)
        before = len(watched.frames)
        watched.until(lambda: len(watched.frames) > before)
        assert [state.online for state in watched.states] == [True, False, True]

    def test_a_wrong_password(self, watch: Any, rtsp_server: Any) -> None:
        _, port = rtsp_server()
        watched = watch(f"rtsp://guard:wr0ng@127.0.0.1:{port}/live")
        watched.until_states(False)
        assert "user or password are wrong" in str(watched.states[0].reason)
        assert "wr0ng" not in repr(watched.states)


def test_ffmpeg_as_the_sender(watch: Any, make_video: Callable[..., Path]) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs Debian's ffmpeg")
    video = make_video("a.mkv", 60, size=(128, 96), codec="libx264")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/live.ts"
    command = [
        ffmpeg,
        "-loglevel",
        "error",
        "-re",
        "-i",
        video,
        "-c",
        "copy",
        "-f",
        "mpegts",
        "-listen",
        "1",
        address,
    ]
    sender = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        watched = watch(address)
        watched.until(lambda: len(watched.frames) >= 20)
        assert [state.online for state in watched.states if state.online] == [True]
        assert watched.frames[-1].image.shape == (96, 128, 3)
    finally:
        sender.kill()
        sender.communicate()
