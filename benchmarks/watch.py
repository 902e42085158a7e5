"""Several cameras at once: how late verdicts and events come, what is skipped, and whether memory grows.

    python benchmarks/watch.py                      # four 640x480 cameras at 10 frames a second, one minute
    python benchmarks/watch.py --minutes 20         # the soak

A process of its own sends H.264 over HTTP on loopback, from the pictures in examples/: a face that puts its
mask on and takes it off. It runs on the same machine and takes its share of it. Each picture carries the
time at which it was made in its upper rows, as black and white fields; the latency is from there to the
verdict, with encoding, sending, decoding, waiting and both networks in it. That of events is from the frame
that brought them about to the moment when they come out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from maskgate import MaskGate
from maskgate.images import read_image
from maskgate.streams.rules import Rule, Rules
from maskgate.streams.running import LiveWatch
from maskgate.streams.sources import parse_source

WIDTH, HEIGHT = 640, 480
BITS, FIELD = 40, 16
SECONDS_A_FACE = 6.0
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def stamp(image: np.ndarray, milliseconds: int) -> None:
    """Writes a number into the upper rows."""
    for i in range(BITS):
        image[:FIELD, FIELD * i : FIELD * (i + 1)] = 255 * (milliseconds >> i & 1)


def read_stamp(image: np.ndarray) -> int:
    """What :func:`stamp` has written."""
    row = image[FIELD // 2, FIELD // 2 :: FIELD].mean(1)[:BITS]
    return sum(int(value > 128) << i for i, value in enumerate(row))


def scenes() -> list[np.ndarray]:
    """The example pictures in the cameras' size."""
    pictures = []
    for name in ("astronaut-mask.jpg", "astronaut.jpg"):
        scene = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
        side = HEIGHT - 2 * FIELD
        face = cv2.resize(read_image(EXAMPLES / name), (side, side), interpolation=cv2.INTER_AREA)
        scene[FIELD : FIELD + side, 90 : 90 + side] = face
        pictures.append(scene)
    return pictures


def send(write: Callable[[bytes], Any], fps: float, pictures: list[np.ndarray], seconds: float) -> None:
    """One camera, until the receiver goes; each picture stays for ``seconds``."""

    class Pipe:
        def write(self, data: bytes) -> int:
            write(data)
            return len(data)

    with contextlib.suppress(OSError, av.FFmpegError), av.open(Pipe(), "w", format="mpegts") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = int(2 * fps)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        began = time.monotonic()
        for i in range(10**9):
            time.sleep(max(began + i / fps - time.monotonic(), 0))
            image = pictures[int(i / fps / seconds) % 2].copy()
            stamp(image, time.time_ns() // 1_000_000)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))


def serve(fps: float, port: Any, seconds: float = SECONDS_A_FACE) -> None:
    """The sending process; its port goes into ``port``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pictures = scenes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            send(self.wfile.write, fps, pictures, seconds)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.value = server.server_address[1]
    server.serve_forever()


def resident() -> float:
    """Megabytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def share(values: list[float], percent: float) -> float:
    """A percentile, NaN of nothing."""
    return float(np.percentile(values, percent)) if values else float("nan")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    gate = MaskGate(threads=arguments.threads)
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    sender = context.Process(target=serve, args=(arguments.fps, port), daemon=True)
    sender.start()
    while not port.value:
        time.sleep(0.05)
    sources = [
        parse_source(f"http://127.0.0.1:{port.value}/{i}", f"camera-{i}", rate=1000.0)
        for i in range(arguments.cameras)
    ]
    # mask on and off every few seconds, and each time an event
    watch = LiveWatch(sources, gate.batch, Rules((Rule(cooldown=0),)), seconds=60 * arguments.minutes)
    began = reported = time.monotonic()
    warm = began + min(10.0, 20 * arguments.minutes)
    verdicts: list[float] = []
    events: list[float] = []
    memory: list[tuple[float, float]] = []
    for one in watch:
        now = time.monotonic()
        if one.frame is not None and now > warm:
            late = (time.time() * 1000 - read_stamp(one.frame.image)) % 2**BITS
            verdicts.append(late)
            events += [late for _ in one.events]
        if now - reported > 10:
            reported = now
            memory.append((now - began, resident()))
            counts = watch.counts.values()
            print(
                f"{now - began:6.0f} s   {len(verdicts):7} verdicts   p50 {share(verdicts, 50):5.0f} ms   "
                f"p95 {share(verdicts, 95):5.0f} ms   skipped {sum(c.skipped for c in counts):5}   "
                f"{memory[-1][1]:6.0f} MB",
                flush=True,
            )
    sender.terminate()
    settled = [mb for seconds, mb in memory if seconds > 60] or [mb for _, mb in memory]
    figures = {
        "cameras": arguments.cameras,
        "fps": arguments.fps,
        "minutes": arguments.minutes,
        "threads": arguments.threads,
        "verdicts": len(verdicts),
        "verdict_ms": {"p50": share(verdicts, 50), "p95": share(verdicts, 95), "p99": share(verdicts, 99)},
        "events": len(events),
        "event_ms": {"p50": share(events, 50), "p95": share(events, 95)},
        "received": sum(c.received for c in watch.counts.values()),
        "skipped": sum(c.skipped for c in watch.counts.values()),
        "memory_mb": {"first": settled[0], "last": settled[-1], "most": max(settled)} if settled else None,
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
