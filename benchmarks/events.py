"""Whether events get lost. Run ``python benchmarks/events.py --help``.

Three parts, with real processes, sockets and disks:

1. **Kills** (``--kills``): a process records events as fast as it can and is killed with SIGKILL at a
   random moment, again and again. Every event that it was told is confirmed must be in the store, in a file
   of JSON lines and with a webhook receiver afterwards, under the id that it had. That receiver answers 500
   now and then.
2. **Dead receiver** (``--down``): a receiver is away for so many seconds while events go on, and must get
   all of them afterwards, in their order.
3. **Latency**: from the call that records an event to the webhook's arrival at its receiver, and how long
   the call itself takes, at ten events a second.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from maskgate.events import Event, EventType
from maskgate.events.recorder import Recorder
from maskgate.events.settings import EventSettings, read_settings
from maskgate.events.store import Store
from maskgate.types import Label


class Receiver:
    """Takes webhooks: ids with the tracks that came under them, the order of ids, and times of arrival."""

    def __init__(self, failures: float = 0.0, port: int = 0, seed: int = 0) -> None:
        self.tracks: dict[str, set[str]] = {}
        self.order: list[str] = []
        self.arrived: dict[str, float] = {}
        self.requests = 0
        self._connections: list[socket.socket] = []
        chance = random.Random(seed)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                receiver._connections.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests += 1
                failed = chance.random() < failures
                if not failed:
                    receiver._take(json.loads(body))
                self.send_response(500 if failed else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a sender that was killed

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, content: dict[str, Any]) -> None:
        id = content["id"]
        self.arrived.setdefault(id, time.perf_counter())
        if id not in self.tracks:
            self.order.append(id)
        self.tracks.setdefault(id, set()).add(content["data"]["track"])

    def close(self) -> None:
        """Ends it, and the connections that stand."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with suppress(OSError):  # closed before
                connection.shutdown(socket.SHUT_RDWR)


def configure(folder: Path, port: int, url: str | None) -> EventSettings:
    """The store, a webhook and a file."""
    store = {"folder": str(folder)} | ({} if url is None else {"url": url})
    webhook = {"type": "webhook", "url": f"http://127.0.0.1:{port}/", "longest_wait_seconds": 2}
    lines = {"type": "jsonl", "path": str(folder / "events.jsonl")}
    return read_settings({"store": store, "sinks": [webhook, lines]})


def event_of(track: str) -> Event:
    """A violation of one face."""
    return Event.of_track(
        EventType.TRACK_CONFIRMED, time=datetime.now(UTC), camera="door", track=track, label=Label.NO_MASK,
        confidence=0.9, votes=7, box=(1, 2, 3, 4),
    )  # fmt: skip


def write_for_ever(folder: Path, port: int, url: str | None, name: str) -> None:
    """The process that is killed: says each confirmed event, after it is confirmed."""
    with Recorder(configure(folder, port, url)) as recorder:
        print("ready", flush=True)
        for number in count():
            event = event_of(f"{name}-{number}")
            if recorder.record(event):
                print(event.id, event.track, flush=True)


def kill_at_random(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part 1."""
    chance = random.Random(options.seed)
    receiver = Receiver(failures=0.05, seed=options.seed)
    confirmed: dict[str, str] = {}
    for number in range(options.kills):
        words = ["--write", str(folder), str(receiver.port), str(number)]
        words += ["--url", options.url] if options.url else []
        writer = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        # also while it starts: opening the outbox, migrating, delivering what was left
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 2))
            text = ""
        else:
            text = writer.stdout.readline()
            time.sleep(chance.uniform(0, options.longest))
        os.kill(writer.pid, signal.SIGKILL)
        text += writer.stdout.read()
        writer.wait()
        lines = [line.split() for line in text.split("\n")[:-1] if line != "ready"]
        confirmed |= dict(lines)
    settings = configure(folder, receiver.port, options.url)
    with Recorder(settings) as recorder:
        await_delivery(recorder)
    file = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    got = {
        "store": {id: {track} for id, track in read_store(settings).items()},
        "webhook": receiver.tracks,
        "file": {line["id"]: {line["track"]} for line in file},
    }
    return {
        "kills": options.kills,
        "confirmed": len(confirmed),
        "repeated webhooks": receiver.requests - len(receiver.tracks),
        "lost": {name: len(confirmed.keys() - tracks.keys()) for name, tracks in got.items()},
        "changed": {
            name: sum(tracks.get(id, {track}) != {track} for id, track in confirmed.items())
            + repeated_tracks(tracks)
            for name, tracks in got.items()
        },
    }


def repeated_tracks(tracks: dict[str, set[str]]) -> int:
    """Tracks that came under more than one id: each has one event here."""
    all_of_them = [track for group in tracks.values() for track in group]
    return len(all_of_them) - len(set(all_of_them))


def read_store(settings: EventSettings) -> dict[str, str]:
    """All of the store: tracks by id."""
    found: dict[str, str] = {}
    with Store(settings.store.address) as store:
        cursor = None
        while True:
            page = store.page(cursor=cursor, limit=1000)
            found |= {event.id: event.track or "" for event in page.events}
            cursor = page.next
            if cursor is None:
                return found


def await_delivery(recorder: Recorder, seconds: float = 600) -> None:
    """Returns when nothing waits any more."""
    end = time.monotonic() + seconds
    while any(state.backlog.waiting for state in recorder.receivers()):
        if time.monotonic() > end:
            sys.exit(f"not delivered within {seconds:.0f} s: {recorder.receivers()}")
        time.sleep(0.1)


def take_receiver_down(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part 2."""
    receiver = Receiver()
    sent: list[str] = []
    with Recorder(configure(folder, receiver.port, options.url)) as recorder:

        def send(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                event = event_of(str(len(sent)))
                recorder.record(event)
                sent.append(event.id)
                time.sleep(0.1)

        send(2)
        before = list(receiver.order)
        receiver.close()
        send(options.down)
        waited = max(state.backlog.waiting for state in recorder.receivers())
        back = Receiver(port=receiver.port)
        start = time.monotonic()
        await_delivery(recorder)
        seconds = time.monotonic() - start
    got = list(dict.fromkeys(before + receiver.order + back.order))
    return {
        "seconds down": options.down,
        "events": len(sent),
        "waiting at the end of it": waited,
        "lost": len(set(sent) - set(got)),
        "in order": got == sent,
        "seconds until all had arrived": round(seconds, 1),
    }


def measure_latency(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part 3."""
    receiver = Receiver()
    started: dict[str, float] = {}
    calls = []
    with Recorder(configure(folder, receiver.port, options.url)) as recorder:
        time.sleep(1)
        for number in range(options.events):
            event = event_of(str(number))
            started[event.id] = time.perf_counter()
            recorder.record(event)
            calls.append(time.perf_counter() - started[event.id])
            time.sleep(0.1)
        await_delivery(recorder)
    arrivals = [1000 * (receiver.arrived[id] - start) for id, start in started.items()]
    return {
        "events": options.events,
        "recorded ms p50, p95": percentiles([1000 * c for c in calls]),
        "arrived ms p50, p95": percentiles(arrivals),
    }


def percentiles(values: list[float]) -> tuple[float, float]:
    """The 50th and the 95th, to a tenth."""
    ranks = statistics.quantiles(values, n=20)
    return round(ranks[9], 1), round(ranks[18], 1)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="kills in part 1; 0 skips it")
    parser.add_argument("--longest", type=float, default=3.0, help="seconds that a writer lives at most")
    parser.add_argument("--down", type=float, default=300.0, help="seconds in part 2; 0 skips it")
    parser.add_argument("--events", type=int, default=200, help="events in part 3; 0 skips it")
    parser.add_argument("--url", help="the store's database (None: SQLite)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--folder", type=Path, help="where files are kept meanwhile (None: a temporary one)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="writes all figures there")
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the parts and prints their figures; exit status 1 where an event is lost or changed."""
    logging.getLogger("maskgate").setLevel(logging.CRITICAL)  # failures are what this is about
    options = parse(sys.argv[1:])
    if options.write:
        folder, port, name = options.write
        write_for_ever(Path(folder), int(port), options.url, name)
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        for name, wanted, part in (
            ("kills", options.kills, kill_at_random),
            ("dead receiver", options.down, take_receiver_down),
            ("latency", options.events, measure_latency),
        ):
            if wanted:
                folder = Path(temporary) / name.replace(" ", "-")
                figures[name] = part(options, folder)
                print(name, json.dumps(figures[name]), flush=True)
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    kills, down = figures.get("kills", {}), figures.get("dead receiver", {})
    bad = [*kills.get("lost", {}).values(), *kills.get("changed", {}).values(), down.get("lost", 0)]
    sys.exit(1 if any(bad) or not down.get("in order", True) else 0)


if __name__ == "__main__":
    main()
