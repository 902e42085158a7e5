"""``maskgate outbox`` from the outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("av")

from maskgate.events import Event, EventType
from maskgate.events.outbox import Outbox

Call = Callable[..., Any]
RULES = '[store]\nfolder = "state"\n[[sinks]]\ntype = "jsonl"\nname = "log"\npath = "log.jsonl"\n'


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An outbox with three events for the log, two of them refused, and none for the store."""
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text(RULES)
    Path("state").mkdir()
    with Outbox(Path("state/outbox.db")) as outbox:
        for second in range(3):
            time = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
            outbox.append([(Event.of_camera(EventType.CAMERA_ONLINE, time=time, camera="yard"), ["log"])])
        positions = [position for position, _ in outbox.waiting("log", 10)]
        outbox.refused("log", positions[:2], "no\x1b[31m such field")
    return Path("rules.toml")


def test_what_has_not_arrived(call: Call, rules: Path) -> None:
    result = call("outbox", "--rules", str(rules), "--format", "jsonl")
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"receiver": "store", "waiting": 0, "refused": 0, "attempts": 0, "error": None},
        {"receiver": "log", "waiting": 1, "refused": 2, "attempts": 0, "error": None},
    ]


def test_for_people(call: Call, rules: Path) -> None:
    result = call("outbox", "--rules", str(rules), "--format", "table")
    assert result.status == 0
    assert any(line.split()[:3] == ["log", "1", "2"] for line in result.out.splitlines())
    assert "\x1b" not in result.out


def test_refused_events_wait_again_in_their_places(call: Call, rules: Path) -> None:
    result = call("outbox", "--rules", str(rules), "--retry", "log", "--format", "jsonl")
    line = json.loads(result.out.splitlines()[1])
    assert (line["waiting"], line["refused"]) == (3, 0)
    with Outbox(Path("state/outbox.db")) as outbox:
        assert [event.time.second for _, event in outbox.waiting("log", 10)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        (RULES, ["--retry", "door"], "there is no receiver 'door'; choose from: store, log"),
        (RULES.replace('"state"', '"elsewhere"'), [], "no camera has been watched with these settings yet"),
        ("", [], "names neither a store nor a sink"),
    ],
)
def test_calls_that_are_wrong(call: Call, rules: Path, content: str, words: list[str], sentence: str) -> None:
    rules.write_text(content)
    result = call("outbox", "--rules", str(rules), *words)
    assert result.status == 2
    assert sentence in result.err
    assert not Path("elsewhere").exists(), "looking makes nothing"
