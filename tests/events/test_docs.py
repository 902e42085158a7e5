"""docs/events.md: its configurations are taken, its examples are what maskgate sends, its receiver runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskgate.events import Event, EventType
from maskgate.events.credentials import Address, Secret
from maskgate.events.schema import event_schema
from maskgate.events.settings import (
    JsonLinesSettings,
    MqttSettings,
    StoreSettings,
    SyslogSettings,
    WebhookSettings,
    read_settings,
)
from maskgate.events.sinks.cef import cef
from maskgate.events.sinks.cloudevents import cloud_event
from maskgate.events.sinks.webhook import Webhook
from maskgate.types import Label

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str, text: str = PAGE) -> list[str]:
    return [body for kind, body in FENCE.findall(text) if kind == language]


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^## |^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def settings_named(text: str) -> set[str]:
    """The names in the first column of a section's table of settings."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_configurations_are_taken(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_DATABASE", "postgresql://maskgate:secret@db.example/maskgate")
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    (tmp_path / "door.secret").write_text("0123456789abcdef\n")
    (tmp_path / "our-authority.pem").touch()
    content = tomllib.loads(blocks("toml")[number])
    settings = read_settings(content, tmp_path)
    assert len(settings.sinks) == len(content.get("sinks", []))


def test_every_setting_has_its_row() -> None:
    store = {f.name for f in fields(StoreSettings)}
    assert settings_named(section("`[store]`")) == store
    shared = settings_named(section("`[[sinks]]`")) - {"type"}
    tls = {"ca_file", "certificate", "key"}
    assert tls <= set(re.findall(r"`(\w+)`", section("`[[sinks]]`")))
    for title, kind, extra in (
        ("webhook", WebhookSettings, {"tls"}),
        ("mqtt", MqttSettings, set()),
        ("syslog", SyslogSettings, {"tls"}),
        ("jsonl", JsonLinesSettings, set()),
    ):
        own = {f.name for f in fields(kind)} - shared - extra
        assert settings_named(section(title)) - {"discovery_prefix"} == own, title


@pytest.mark.parametrize("text", blocks("json"), ids=lambda text: text[:12])
def test_json_is_json(text: str) -> None:
    json.loads(text)


def example() -> Event:
    return Event.from_text(blocks("json")[0])


def test_the_event_is_one_and_all_its_fields_are_explained() -> None:
    assert json.loads(blocks("json")[0]) == example().to_json()
    explained = section("What an event says")
    assert settings_named(explained) == {f.name for f in fields(Event)}
    assert set(re.findall(r"^\| `(\w+\.\w+)`", explained, re.MULTILINE)) == {str(t) for t in EventType}


def test_the_schema_is_the_published_one() -> None:
    assert json.loads(blocks("json")[1]) == event_schema()


def test_the_cloud_event_is_what_is_sent() -> None:
    assert json.loads(blocks("json", section("webhook"))[0]) == json.loads(cloud_event(example()))


def test_the_cef_line_is_what_is_sent() -> None:
    (line,) = blocks("text", section("A SIEM"))
    shown = re.sub(r"\|\d+\.\d+\.\d+\|", "|VERSION|", line.strip().partition(" - ")[2])
    assert shown == re.sub(r"\|\d+\.\d+\.\d+\|", "|VERSION|", cef(example()))


def test_home_assistants_automation_is_yaml() -> None:
    (text,) = blocks("yaml")
    (automation,) = yaml.safe_load(text)["automation"]
    assert automation["triggers"][0]["entity_id"] == "binary_sensor.entrance_mask_violation"
    assert automation["actions"][0]["action"] == "notify.notify"


def test_node_reds_flow_is_wired() -> None:
    (text,) = blocks("json", section("Node-RED"))
    nodes = {node["id"]: node for node in json.loads(text)}
    place, path = "mg-in", []
    while True:
        path.append(nodes[place]["type"])
        wires = nodes[place]["wires"]
        if not wires:
            break
        ((place,),) = wires
    assert path == ["mqtt in", "function", "switch", "debug"]
    assert nodes["mg-in"]["broker"] in nodes


def test_rsyslog_takes_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs rsyslogd")
    path = tmp_path / "rsyslog.conf"
    path.write_text(blocks("rsyslog")[0])
    subprocess.run([program, "-N1", "-f", str(path)], check=True, capture_output=True)


def test_logrotate_takes_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs logrotate")
    path = tmp_path / "maskgate"
    path.write_text(blocks("logrotate")[0])
    command = [program, "--debug", "--state", str(tmp_path / "state"), str(path)]
    subprocess.run(command, check=True, capture_output=True)


def test_the_door_locks_and_opens(
    tmp_path: Path, free_port: Callable[[], int], track_event: Callable[..., Event], eventually: Any
) -> None:
    (program,) = blocks("python")
    (tmp_path / "door.py").write_text(program, "utf-8")
    key, port = "0123456789abcdef", free_port()
    environment = os.environ | {"DOOR_SECRET": key, "DOOR_PORT": str(port)}
    command = [sys.executable, str(tmp_path / "door.py")]
    log = tmp_path / "log"
    with log.open("wb") as out, (tmp_path / "errors").open("wb") as errors:
        door = subprocess.Popen(command, env=environment, stdout=out, stderr=errors)
    try:
        sink = Webhook(WebhookSettings("door", url=Address(f"http://127.0.0.1:{port}/"), secret=Secret(key)))
        entered = track_event(track="1")
        eventually(lambda: tried(sink, entered))
        sink.deliver([entered, track_event(track="2", label=Label.MASK)])  # a repeat, and another one
        sink.deliver([track_event(track="1", type=EventType.TRACK_CHANGED, label=Label.MASK)])
        sink.deliver([track_event(track="3"), track_event(track="3", type=EventType.TRACK_ENDED)])
        sink.close()
        stranger = Webhook(
            WebhookSettings("door", url=Address(f"http://127.0.0.1:{port}/"), secret=Secret("f" * 16))
        )
        assert not tried(stranger, track_event(track="4"))
        stranger.close()
        assert log.read_text().split() == ["locked", "locked", "open", "locked", "open"]
    finally:
        door.kill()
        door.wait()


def tried(sink: Webhook, event: Event) -> bool:
    from maskgate.errors import DeliveryError

    try:
        sink.deliver([event])
    except DeliveryError:
        return False
    return True
