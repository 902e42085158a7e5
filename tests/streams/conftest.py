"""Small videos made on the spot, a server that sends them badly, and verdicts made by hand."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from maskgate.types import Faces, Verdicts


def _encode_video(
    path: Path | str, images: Sequence[np.ndarray], *, rate: float = 10, codec: str = "mjpeg", **options: Any
) -> None:
    """A video of ``(H, W, 3)`` uint8 RGB pictures of one size."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", **options) as file:
        stream = file.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 5
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        file.mux(stream.encode(None))


@pytest.fixture
def encode_video() -> Callable[..., None]:
    """Writes pictures to a path as a video; ``rate``, ``codec`` and PyAV's options."""
    return _encode_video


@pytest.fixture
def pace() -> Callable[..., None]:
    """Writes bytes in pieces over some seconds: the function that writes, the bytes, the seconds."""
    return _pace


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video of grey pictures that tell their number: picture i is 10 * i bright."""

    def make(name: str, count: int = 20, *, size: tuple[int, int] = (64, 48), **options: Any) -> Path:
        images = [np.full((size[1], size[0], 3), 10 * (i % 25), np.uint8) for i in range(count)]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _encode_video(path, images, **options)
        return path

    return make


@pytest.fixture(scope="session")
def mpegts() -> Callable[..., bytes]:
    """The bytes of an MPEG transport stream of noise, so that pictures are of some size."""

    def make(count: int, size: tuple[int, int] = (160, 120), rate: float = 10) -> bytes:
        import tempfile

        random = np.random.default_rng(count)
        images = [random.integers(0, 255, (size[1], size[0], 3), np.uint8) for _ in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.ts")
            _encode_video(path, images, rate=rate, codec="libx264", format="mpegts")
            return path.read_bytes()

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts an HTTP server on loopback whose answer is what ``send`` does with each connection.

    ``send`` takes a function that writes bytes and the number of the connection, from 0. Gives the
    address; it holds a user and a password.
    """
    servers = []

    def start(send: Callable[[Callable[[bytes], Any], int], None], kind: str = "video/mp2t") -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = server.answered
                server.answered += 1
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                with contextlib.suppress(OSError):
                    send(self.wfile.write, number)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            answered = 0
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://guard:s3cret@127.0.0.1:{server.server_address[1]}/live?token=t0ken"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _pace(write: Callable[[bytes], Any], data: bytes, seconds: float, steps: int = 50) -> None:
    """Writes ``data`` in pieces over ``seconds``."""
    size = -(-len(data) // steps)
    for i in range(0, len(data), size):
        write(data[i : i + size])
        time.sleep(seconds / steps)


@pytest.fixture
def verdicts_of() -> Callable[..., Verdicts]:
    """Verdicts on a 640×480 picture from rows (box, probabilities) with a score, and uncertain or not."""

    def make(*rows: Any, score: float = 1.0, uncertain: bool = False, threshold: float = 0.5) -> Verdicts:
        n = len(rows)
        faces = Faces(
            np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
            np.full(n, score, np.float32),
            np.zeros((n, 5, 2), np.float32),
        )
        probabilities = np.array([row[1] for row in rows], np.float32).reshape(-1, 3)
        return Verdicts(640, 480, faces, probabilities, np.full(n, uncertain), threshold)

    return make
