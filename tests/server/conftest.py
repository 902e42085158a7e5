"""A real service on loopback, asked with httpx and over plain sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from maskgate import Faces, MaskGate
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.images import encode_image

pytest.importorskip("fastapi")

from maskgate.server.application import create_application
from maskgate.server.running import Server, open_socket
from maskgate.server.settings import ServerSettings
from maskgate.server.tokens import Role, TokenBook, new_token


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    application: Any
    settings: ServerSettings
    server: Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        # reading the system's certificates takes longer than most tests
        return httpx.Client(base_url=self.url, verify=False, trust_env=False, **({"timeout": 20} | options))

    def post(self, data: bytes, **options: Any) -> httpx.Response:
        """Has one picture looked at."""
        with self.client() as client:
            return client.post("/v1/detect", files={"image": ("a", data)}, **options)

    def connect(self, seconds: float = 10.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def exchange(self, *pieces: bytes, pause: float = 0.0, seconds: float = 10.0) -> Answer | None:
        """What is answered to pieces of a request, sent over a plain connection; None: nothing is."""
        with self.connect(seconds) as connection:
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:
                    break
                time.sleep(pause)
            return read_answer(connection)


@dataclass(frozen=True)
class Answer:
    """An answer read from a plain connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """Of the problem that it is."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert document["status"] == self.status
        return str(document["type"]).rpartition(":")[2]


def read_answer(connection: socket.socket) -> Answer | None:
    """The next answer; None where the other side closes without one. Fails after the timeout."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        body = answer.read()
    except (ConnectionError, http.client.BadStatusLine):
        return None
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


@pytest.fixture(name="read_answer", scope="session")
def _read_answer() -> Callable[..., Answer | None]:
    return read_answer


@contextlib.contextmanager
def _serving(settings: ServerSettings, **parts: Any) -> Iterator[Running]:
    application = create_application(settings, **parts)
    bound = open_socket(settings)
    started = threading.Event()
    server = Server(application, settings, started.set)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        assert started.wait(20)
        yield Running(application, settings, server, bound.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def gate() -> MaskGate:
    """The pipeline that ships."""
    return MaskGate(threads=1)


@pytest.fixture(scope="session")
def serving(gate: MaskGate) -> Callable[..., contextlib.AbstractContextManager[Running]]:
    """Runs a service in a ``with`` statement: fields of its settings, or ``gate`` and ``watch``."""

    def run(
        base: ServerSettings | None = None, *, watch: Any = None, own: MaskGate | None = None, **fields: Any
    ) -> contextlib.AbstractContextManager[Running]:
        settings = base or ServerSettings(port=0, pages=False)
        return _serving(replace(settings, **fields), gate=own or gate, watch=watch)

    return run


@pytest.fixture(scope="session")
def plain(serving: Callable[..., Any]) -> Iterator[Running]:
    """A service with the usual settings; tests leave it as it is."""
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def jpeg(astronaut: np.ndarray) -> bytes:
    """One face without a mask."""
    return bytes(encode_image(astronaut, "JPEG"))


@dataclass(frozen=True)
class Tokens:
    """A token of each role, and the book that knows them."""

    book: TokenBook
    texts: dict[str, str]

    def header(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.texts[role]}"}


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    made = {str(role): new_token(f"a-{role}", [role]) for role in Role}
    return Tokens(TokenBook(tuple(token for _, token in made.values())), {n: t for n, (t, _) in made.items()})


class Held:
    """A detector that finds nothing, and waits until it is let go. Notes how many pictures came together."""

    name = "held"

    def __init__(self) -> None:
        self.release = threading.Event()
        self.batches: list[int] = []
        self.entered = threading.Event()

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        self.batches.append(len(images))
        self.entered.set()
        assert self.release.wait(20)
        return [Faces.empty()] * len(images)


@pytest.fixture
def held() -> Iterator[Held]:
    detector = Held()
    yield detector
    detector.release.set()


@pytest.fixture
def held_gate(held: Held, gate: MaskGate) -> MaskGate:
    """A pipeline around :class:`Held`."""
    return MaskGate(held, gate.classifier)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder where the many small writes of a database are quick."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="maskgate-", dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(Address(f"sqlite:///{folder / 'events.db'}")) as opened:
        opened.upgrade()
        yield opened


@pytest.fixture
def address(folder: Path) -> Address:
    """Of ``store``."""
    return Address(f"sqlite:///{folder / 'events.db'}")


def multipart(*pictures: bytes, name: str = "image", boundary: str = "b0undary", end: bool = True) -> bytes:
    """A multipart body with the pictures."""
    body = b""
    for i, picture in enumerate(pictures):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{i}.jpg"\r\n\r\n'
        body += head.encode() + picture + b"\r\n"
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


@pytest.fixture(name="multipart", scope="session")
def _multipart() -> Callable[..., bytes]:
    return multipart


def request(body: bytes, *, length: int | None = None, path: str = "/v1/detect", extra: str = "") -> bytes:
    """A whole HTTP request with a multipart body; ``length`` is what it claims."""
    claimed = len(body) if length is None else length
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {claimed}\r\n"
        f"Content-Type: multipart/form-data; boundary=b0undary\r\n{extra}\r\n"
    )
    return head.encode() + body


@pytest.fixture(name="http_request", scope="session")
def _http_request() -> Callable[..., bytes]:
    return request


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Asserts that an answer is a whole problem document of a kind, and gives it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:maskgate:problem:{kind}", document
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert set(document) <= {"type", "title", "status", "detail", "errors"}
    return document


@pytest.fixture(name="problem", scope="session")
def _problem() -> Callable[..., dict[str, Any]]:
    return problem
