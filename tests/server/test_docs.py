"""``docs/serve.md`` against the service: paths, roles, problems, limits, metrics, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from maskgate.server import problems
from maskgate.server.settings import PICTURE_LIMITS, ServerSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_path_is_on_the_page(plain: Any) -> None:
    rows = [row for row in section("What can be asked").splitlines() if row.startswith("| `")]
    named = {path for row in rows for path in re.findall(r"`(?:GET |POST )?(/[\w/{}.]+)`", row)}
    assert named == set(plain.application.openapi()["paths"]) | {"/openapi.json"}


def test_every_problem_is_on_the_page() -> None:
    table = section("Errors")
    named = {
        (int(status), kind)
        for statuses, kinds in re.findall(r"^\| ([\d, ]+) \| (.*?) \|", table, re.MULTILINE)
        for status, kind in zip(
            statuses.split(", ") * 9, re.findall(r"`([\w-]+)`", kinds), strict=False
        )
    }  # fmt: skip
    assert named == {(status, kind) for kind, (status, _) in problems._KINDS.items() if kind != "internal"}


def test_the_example_of_a_problem_is_one(plain: Any) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section("Errors"), re.DOTALL)
    assert plain.post(b"GIF89a").json() == json.loads(example)


def test_limits_are_those_of_the_settings() -> None:
    usual, table = ServerSettings(), section("Limits")
    for number in (
        f"{PICTURE_LIMITS.max_bytes // 2**20} MB",
        f"{PICTURE_LIMITS.max_pixels // 10**6} million",
        f"{usual.most_pictures}, and {usual.most_body_bytes // 2**20} MB together",
        f"again for a verdict | {usual.body_seconds:.0f} s",
        f"headers | {usual.head_seconds:.0f} s",
        f"pictures that wait | {usual.most_waiting} ",
        f"at the same time | {usual.most_uploads} ",
        f"{usual.most_connections}; {usual.most_streams} ",
        f"for up to {usual.drain_seconds:.0f} s",
    ):
        assert number in table, number
    assert usual.body_seconds == usual.verdict_seconds
    assert usual.most_batched == 8
    assert usual.session_hours == 12


def test_metrics_on_the_page_are_there(serving: Callable[..., Any], jpeg: bytes) -> None:
    text = section("Metrics")
    assert yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])["scrape_configs"]
    with serving() as running, running.client() as client:
        running.post(jpeg)
        found = client.get("/metrics").text
    here = set(re.findall(r"^# TYPE (maskgate_\w+)", found, re.MULTILINE))
    watched = {
        n for n in re.findall(r"`(maskgate_\w+)", text) if re.match("maskgate_(camera|watch|events)_", n)
    }
    assert set(re.findall(r"`(maskgate_\w+)", text)) - watched == here - {"maskgate_info"}
