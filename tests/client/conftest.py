"""A real service in a process of its own, and an HTTP server that answers as it is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from maskgate.client import Client
from maskgate.events import Event, EventType
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.types import Label

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-tests-" + "t" * 24
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Serving:
    """``maskgate serve``, its store, and what is in it, oldest first."""

    url: str
    store: Store
    events: tuple[Event, ...]


def _events() -> Iterator[Event]:
    yield Event.of_camera(EventType.CAMERA_ONLINE, time=NOW - timedelta(hours=3), camera="entrance")
    labels = (Label.MASK, Label.NO_MASK, Label.INCORRECT)
    for number in range(12):
        yield Event.of_track(
            EventType.TRACK_CONFIRMED,
            time=NOW - timedelta(hours=2) + timedelta(seconds=number),
            camera=("entrance", "canteen")[number % 2],
            track=str(number),
            label=labels[number % 3],
            confidence=0.9,
            votes=5,
            box=(1, 2, 30, 40),
        )


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serving")
    (folder / "rules.toml").write_text('[store]\nfolder = "state"\n')
    store = Store(Address(f"sqlite:///{folder / 'state' / 'events.db'}"))
    store.upgrade()
    events = tuple(_events())
    store.append(events)
    command = [
        sys.executable,
        "-m",
        "maskgate",
        "serve",
        "--port",
        "0",
        "--rules",
        str(folder / "rules.toml"),
    ]
    environment = os.environ | {"MASKGATE_TOKEN": TOKEN}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if found := re.search(r"http://\S+:\d+", line):
                    break
            else:
                pytest.fail(said)
            yield Serving(found[0], store, events)
        finally:
            process.terminate()
            process.communicate(timeout=30)
            store.close()


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    with Client(serving.url, TOKEN) as client:
        yield client


class Scripted:
    """Answers requests one after the other: a status, headers, and a body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                scripted.requests.append((self.path, headers))
                status, extra, body = scripted.answers.pop(0)
                if status == 0:  # hangs up
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=lambda: self.server.serve_forever(0.02), daemon=True).start()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited between tries; nothing is waited really."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


@pytest.fixture
def asking(scripted: Scripted) -> Iterator[Callable[..., Any]]:
    """A client of the scripted server."""
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(scripted.url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
