"""docs/client.md: its Python and its curl run as printed, before a real service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from maskgate import client
from maskgate.client import ServiceError

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOKEN = "token-of-the-tests-" + "t" * 24


def blocks(language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(PAGE) if kind == language]


def running(text: str, url: str) -> str:
    """An example with this service's address and token in the place of those that are printed."""
    return text.replace("http://127.0.0.1:8000", url).replace('token="..."', f"token={TOKEN!r}")


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(
    number: int, serving: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(running(blocks("python")[number], serving.url), "client.md", "exec"), {})
    wanted = [r"no_mask .*\[<Label.MASK: 'mask'>\]", r"canteen never None\nentrance online .*entrance 0\.9\n"]
    assert re.search(wanted[number], capsys.readouterr().out, re.DOTALL)


CURLS = [text for text in blocks("bash") if text.startswith("curl")]
WANTED = [
    lambda a: a["faces"][0]["label"] == "no_mask",
    lambda a: [[f["label"] for f in p["faces"]] for p in a["pictures"]] == [["mask"], ["incorrect"]],
    lambda a: len(a["events"]) == 2 and a["next"] and all(e["violation"] for e in a["events"]),
    lambda a: a["interval"] == "hour" and a["intervals"][0]["camera"] in ("canteen", "entrance"),
    lambda a: [c["name"] for c in a["cameras"]][-2:] != [],
    None,  # the stream: nothing may have happened in two seconds
    lambda a: a["status"] == "ok",
    lambda a: a["status"] == 422,
]


@pytest.mark.parametrize("number", range(len(CURLS)))
def test_curl_runs(number: int, serving: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    before = running(next(text for text in blocks("bash") if text.startswith("SERVICE=")), serving.url)
    script = before.replace("TOKEN=...", f"TOKEN={TOKEN}") + CURLS[number]
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    wanted = WANTED[number]
    if wanted is not None:
        assert wanted(json.loads(run.stdout)), run.stdout
    else:
        assert run.stdout.startswith("retry:")


def test_answers_are_those_that_are_printed(serving: Any) -> None:
    """All but the times, which differ."""
    printed, problem = (json.loads(text) for text in blocks("json"))
    with client.Client(serving.url, TOKEN) as asking:
        answer = asking._post("/v1/detect", [("a", (ROOT / "examples" / "astronaut.jpg").read_bytes())])
        assert printed.pop("milliseconds").keys() == answer.pop("milliseconds").keys()
        assert printed == answer
        with pytest.raises(ServiceError) as caught:
            asking.detect(ROOT / "README.md")
    assert (caught.value.status, caught.value.title) == (problem["status"], problem["title"])
    assert caught.value.detail == problem["detail"]


def test_every_exception_and_method_is_named() -> None:
    errors = {
        n
        for n in client.__all__
        if isinstance(kind := getattr(client, n), type) and issubclass(kind, Exception)
    }
    assert errors <= set(re.findall(r"`(\w+Error)`", PAGE))
    methods = {n for n in vars(client.Client) if not n.startswith("_")} - {"close"}
    assert methods <= set(re.findall(r"`(\w+)\(", PAGE))
