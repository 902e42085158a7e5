"""The whole ``maskgate watch`` killed at random moments, with cameras sending and events flowing.

    python benchmarks/watch_kills.py                  # 50 kills, about eight minutes

Every event that a process has printed before its end must be in the store and with the sink afterwards,
under its id and unchanged; the sink may have some twice. The cameras are those of benchmarks/watch.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from watch import serve

from maskgate.events.recorder import Recorder
from maskgate.events.store import Store
from maskgate.streams.rule_file import read_rule_file

SECONDS_A_FACE = 2.0
RULES = """
[store]
folder = "state"
{url}
[[sinks]]
type = "jsonl"
name = "log"
path = "log.jsonl"

[rules.all]
cooldown = 0
"""


def run_once(folder: Path, addresses: list[str], seconds: float) -> list[dict[str, Any]]:
    """What one process printed until it was killed, ``seconds`` after its first line."""
    command = [sys.executable, "-m", "maskgate", "watch", *addresses, "--rules", "rules.toml"]
    process = subprocess.Popen(
        [*command, "--format", "jsonl"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    complaints: list[str] = []
    reader = threading.Thread(target=lambda: complaints.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    lines = []
    killer: threading.Timer | None = None
    for line in process.stdout:
        if killer is None:
            killer = threading.Timer(seconds, process.kill)
            killer.start()
        if line.endswith("\n"):  # a kill may break off the last one
            lines.append(json.loads(line))
    if process.wait() != -9:
        reader.join(5)
        raise SystemExit(f"it ended by itself: {''.join(complaints)}")
    return lines


def main() -> int:
    """Kills, then compares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds that a process lives at most")
    parser.add_argument("--url", help="the store's database (None: SQLite)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    sender = context.Process(target=serve, args=(10.0, port, SECONDS_A_FACE), daemon=True)
    sender.start()
    while not port.value:
        time.sleep(0.05)
    chance = random.Random(arguments.seed)
    addresses = [f"http://127.0.0.1:{port.value}/{i}" for i in range(arguments.cameras)]
    printed: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f'url = "{arguments.url}"' if arguments.url else ""
        (folder / "rules.toml").write_text(RULES.format(url=url), "utf-8")
        for number in range(arguments.kills):
            printed += run_once(folder, addresses, chance.uniform(0, arguments.longest))
            print(f"{number + 1} kills, {len(printed)} events printed", flush=True)
        sender.terminate()
        settings = read_rule_file(folder / "rules.toml").events
        assert settings is not None
        with Recorder(settings) as recorder:  # the next start delivers what is left
            deadline = time.monotonic() + 60
            while any(r.backlog.waiting for r in recorder.receivers()) and time.monotonic() < deadline:
                time.sleep(0.2)
        kept = {}
        with Store(settings.store.address) as store:
            cursor = None
            while True:
                page = store.page(cursor=cursor, limit=1000)
                kept |= {event.id: event.to_json() for event in page.events}
                cursor = page.next
                if cursor is None:
                    break
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    told = {event["id"]: event for event in printed}
    logged = {event["id"]: event for event in log}
    figures = {
        "kills": arguments.kills,
        "printed": len(told),
        "in the store": len(kept),
        "with the sink": len(logged),
        "repeated to the sink": sum(n - 1 for n in Counter(event["id"] for event in log).values()),
        "printed, not in the store": len(told.keys() - kept.keys()),
        "printed, not with the sink": len(told.keys() - logged.keys()),
        "in one of store and sink only": len(kept.keys() ^ logged.keys()),
        "changed": sum(kept.get(id, event) != event for id, event in told.items())
        + sum(logged.get(event["id"]) != event for event in log + list(kept.values())),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")
    faults = list(figures.values())[-4:]
    return int(any(faults))


if __name__ == "__main__":
    sys.exit(main())
