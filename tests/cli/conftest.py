"""Toy models for the command line, as another distribution's, and ways to run it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.cli import main
from maskgate.images import write_image
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR

TOYS = '''
"""Faces are squares in bright colours on black: green wears a mask, red none, blue wears it wrongly."""
import os, time
import cv2
import numpy as np
from maskgate import Faces
from maskgate.alignment import CropSpec

PLACES = np.array([[0.3, 0.38], [0.7, 0.38], [0.5, 0.58], [0.34, 0.77], [0.66, 0.77]])

class Squares:
    """The score is the side's share of 100 pixels, cut to 0.95."""
    name = "squares"
    def __init__(self, options, score=None):
        self.least = 0.1 if score is None else score
    def detect(self, images):
        time.sleep(float(os.environ.get("TOY_SECONDS", 0)))
        return [self.find(image) for image in images]
    def find(self, image):
        bright = (image.max(2) > 100).astype(np.uint8)
        parts = cv2.connectedComponentsWithStats(bright)[2][1:, :4].astype(float)
        parts = parts[np.argsort(-parts[:, 2], kind="stable")]
        scores = np.minimum(parts[:, 2] / 100, 0.95)
        parts, scores = parts[scores >= self.least], scores[scores >= self.least]
        corners, sides = parts[:, :2], parts[:, 2:]
        points = corners[:, None] + PLACES * sides[:, None]
        return Faces(np.hstack([corners, corners + sides]), scores, points.reshape(-1, 5, 2))

class Colours:
    """P is the softmax of the mean green, red and blue over 50."""
    name = "colours"
    crop = CropSpec("rotate", 16, 1.0)
    threshold = 0.5
    def __init__(self, options):
        pass
    def classify(self, crops):
        powers = np.exp(crops.mean((1, 2))[:, [1, 0, 2]] / 50)
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)
'''
POINTS = f"""
[maskgate.detectors]
{DEFAULT_DETECTOR} = toy_models:Squares
squares = toy_models:Squares
[maskgate.classifiers]
{DEFAULT_CLASSIFIER} = toy_models:Colours
colours = toy_models:Colours
"""
GREEN, RED, BLUE = (40, 220, 40), (220, 40, 40), (40, 40, 220)


@pytest.fixture
def toys(
    install: Callable[[str, str, str], None],
    tmp_path: Path,
    own_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Makes the toy models the default ones, here and in processes that a test starts."""
    install("toy-models", TOYS, POINTS)
    folders = [str(tmp_path / "site-toy-models"), str(Path(__file__).resolve().parents[2] / "src")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def paint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a black picture with chequered squares (x, y, side, colour); the test runs in its folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(
        name: str, *squares: tuple[int, int, int, tuple[int, int, int]], size: tuple[int, int] = (160, 120)
    ) -> Path:
        image = np.zeros((size[1], size[0], 3), np.uint8)
        for x, y, side, colour in squares:
            chequers = (np.indices((side, side)) // 5).sum(0) % 2  # a plain square would be called blurred
            image[y : y + side, x : x + side] = colour * (1 - 0.3 * chequers[..., None])
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)
        return path

    return write


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of standard output."""
        return parse(self.out)


def parse(text: str) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process."""

    def run(*words: str | Path) -> Outcome:
        status = main([str(word) for word in words])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def spawn() -> Callable[..., subprocess.Popen[str]]:
    """Starts the command line in a process of its own."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # so it is in the background of a shell, and processes would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: str | Path, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "maskgate", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, text=True, **streams)

    return start


@pytest.fixture
def send_pictures() -> Iterator[Callable[[bytes], str]]:
    """Starts a camera that sends a JPEG for half a minute, as Motion JPEG; gives its address, in which there
    are a user, a password and a token."""
    servers = []

    def start(jpeg: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for _ in range(600):
                        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg + b"\r\n")
                        time.sleep(0.05)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://guard:s3cret@127.0.0.1:{server.server_address[1]}/video?token=t0ken"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
