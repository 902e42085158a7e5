"""The service against the pipeline: throughput, latency under load, memory.

    python benchmarks/serve.py                   # some minutes
    python benchmarks/serve.py --minutes 10      # and ten minutes of load, in which memory must stay flat
    python benchmarks/serve.py --pictures DIR    # on pictures of your own

In turn, round by round: the pipeline called in a loop on files, in a process of its own; the service asked by
one client after the other's answer; and by several clients at the same time. The service runs as users start
it, ``maskgate serve``; the clients are in another process, and take their share of the same processors.
Without ``--pictures`` they are made: 640x480, one face and four, from scikit-image's portrait of an astronaut
(public domain).
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline import PICTURES, compose, save

BOUNDARY = "maskgate-benchmark"
WARM_UP = 20


class Service:
    """``maskgate serve`` on a free port."""

    def __init__(self, words: Sequence[str]) -> None:
        command = [sys.executable, "-m", "maskgate", "serve", "--port", "0", *words]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            match = re.search(r"serving on (\S+);", line)
            if match:
                self.address = match[1]
                return
        raise SystemExit("the service did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def resident_mebibytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


def body_of(path: Path) -> bytes:
    """The multipart body with one picture."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(address: str, bodies: Sequence[bytes], until: Callable[[int], bool], latencies: list[float]) -> None:
    """Sends one body after the other over one connection."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    number = 0
    while not until(number):
        began = time.perf_counter()
        connection.request("POST", "/v1/detect", bodies[number % len(bodies)], headers)
        answer = connection.getresponse()
        content = answer.read()
        latencies.append(time.perf_counter() - began)
        if answer.status != 200:
            raise SystemExit(f"the service answered {answer.status}: {content[:200]!r}")
        number += 1


def load(pipe: Any) -> None:
    """The process of the clients: takes orders, gives latencies and the time that they took together."""
    while (order := pipe.recv()) is not None:
        address, paths, clients, each, seconds = order
        bodies = [body_of(path) for path in paths]
        latencies: list[list[float]] = [[] for _ in range(clients)]
        began = time.perf_counter()

        def until(number: int, began: float = began, each: int = each, seconds: float = seconds) -> bool:
            return number >= each if not seconds else time.perf_counter() - began > seconds

        threads = [
            threading.Thread(target=ask, args=(address, bodies[i:] + bodies[:i], until, latencies[i]))
            for i in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pipe.send((time.perf_counter() - began, [one for some in latencies for one in some]))


def loop(pipe: Any, threads: int | None) -> None:
    """The process of the pipeline: gives the time of each call."""
    from maskgate import MaskGate

    gate = MaskGate(threads=threads)
    while (order := pipe.recv()) is not None:
        paths, count = order
        times = []
        for i in range(count):
            began = time.perf_counter()
            gate(paths[i % len(paths)])
            times.append(time.perf_counter() - began)
        pipe.send(times)


def start(target: Callable[..., None], *arguments: Any) -> Any:
    """Starts a process; gives our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=target, args=(there, *arguments), daemon=True).start()
    return here


def call(pipe: Any, order: Any) -> Any:
    """What a process answers to an order."""
    pipe.send(order)
    return pipe.recv()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def made_pictures(folder: Path) -> list[Path]:
    """One face, and four."""
    grids = {1: (1, 1), 4: (2, 2)}
    return [save(compose(640, 480, *grid), folder / f"{faces}.jpg") for faces, grid in grids.items()]


def compare(
    arguments: argparse.Namespace, paths: list[Path], service: Service, clients: Any
) -> dict[str, Any]:
    """Throughput and latency, in turn."""
    direct = start(loop, arguments.threads)
    call(direct, (paths, WARM_UP))
    call(clients, (service.address, paths, arguments.clients, WARM_UP, 0))
    rounds: list[tuple[float, float, float]] = []  # pictures a second: loop, one client, several
    single: list[float] = []
    loaded: list[float] = []
    count = arguments.count
    for _ in range(arguments.rounds):
        times = call(direct, (paths, count))
        took_one, latencies = call(clients, (service.address, paths, 1, count, 0))
        single += latencies
        took_all, latencies = call(clients, (service.address, paths, arguments.clients, count, 0))
        loaded += latencies
        rounds.append((count / sum(times), count / took_one, arguments.clients * count / took_all))
    direct.send(None)
    per_second = [statistics.median(column) for column in zip(*rounds, strict=True)]
    median = statistics.median(single)
    return {
        "rounds": arguments.rounds,
        "loop_pictures_per_second": round(per_second[0], 2),
        "one_client_pictures_per_second": round(per_second[1], 2),
        "clients": arguments.clients,
        "clients_pictures_per_second": round(per_second[2], 2),
        "throughput_ratio": round(statistics.median(both / alone for alone, _, both in rounds), 3),
        "throughput_ratio_one_client": round(statistics.median(one / alone for alone, one, _ in rounds), 3),
        "single_milliseconds": {
            "median": round(1e3 * median, 2),
            "p95": round(1e3 * percentile(single, 0.95), 2),
        },
        "loaded_milliseconds": {
            "median": round(1e3 * statistics.median(loaded), 2),
            "p95": round(1e3 * percentile(loaded, 0.95), 2),
        },
        "loaded_p95_to_single": round(percentile(loaded, 0.95) / median, 3),
    }


def watch_memory(
    arguments: argparse.Namespace, paths: list[Path], service: Service, clients: Any
) -> dict[str, Any]:
    """The service's resident memory under load."""
    samples: list[float] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(2):
            samples.append(service.resident_mebibytes())

    sampler = threading.Thread(target=sample)
    sampler.start()
    _, latencies = call(clients, (service.address, paths, arguments.clients, 0, 60 * arguments.minutes))
    done.set()
    sampler.join()
    part = max(len(samples) // 5, 1)
    after, end = statistics.median(samples[part : 2 * part]), statistics.median(samples[-part:])
    return {
        "minutes": arguments.minutes,
        "requests": len(latencies),
        "mebibytes": {
            "second_fifth": round(after, 1),
            "last_fifth": round(end, 1),
            "peak": round(max(samples), 1),
        },
        "growth": round(end / after - 1, 4),
        "p95_milliseconds": round(1e3 * percentile(latencies, 0.95), 2),
    }


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="a folder of pictures in place of the made ones")
    parser.add_argument(
        "--clients", type=int, default=2 * len(os.sched_getaffinity(0)), help="at the same time"
    )
    parser.add_argument("--count", type=int, default=60, help="pictures of each client in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of the networks, in the service and in the loop")
    parser.add_argument("--lookers", type=int, help="threads of the service that look at pictures")
    parser.add_argument("--minutes", type=float, default=0, help="of load, for memory")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.pictures:
            paths = sorted(p for p in arguments.pictures.iterdir() if p.suffix.lower() in PICTURES)[:100]
        else:
            paths = made_pictures(Path(folder))
        words = ["--no-pages"]
        for name in ("threads", "lookers"):
            if getattr(arguments, name):
                words += [f"--{name}", str(getattr(arguments, name))]
        service = Service(words)
        clients = start(load)
        try:
            figures = {"pictures": len(paths), "processors": len(os.sched_getaffinity(0))}
            figures |= compare(arguments, paths, service, clients)
            if arguments.minutes:
                figures["memory"] = watch_memory(arguments, paths, service, clients)
        finally:
            clients.send(None)
            service.stop()
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
