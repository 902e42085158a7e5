"""docs/watch.md and the systemd unit say what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from maskgate.cli import create_parser
from maskgate.errors import SettingsError
from maskgate.streams.rule_file import RuleFile, read_rule_file
from maskgate.streams.rules import Rule

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "watch.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOADING_BAY", "rtsp://user:password@10.0.0.8/ch1")
    (tmp_path / "canteen.address").write_text("rtsp://10.0.0.8/stream2\n")
    return tmp_path


def read(folder: Path, text: str) -> RuleFile:
    path = folder / "rules.toml"
    path.write_text(text, "utf-8")
    return read_rule_file(path)


def test_the_example_is_a_rule_file(folder: Path) -> None:
    file = read(folder, EXAMPLE)
    assert [camera.name for camera in file.cameras] == ["entrance", "loading-bay", "canteen", "corridor"]
    assert [rule.name for rule in file.rules.rules] == ["at-the-door", "inside"]
    assert file.events is not None


def test_the_error_is_the_programs(folder: Path) -> None:
    (printed,) = re.findall(r"^maskgate: rules\.toml, (line .*)$", PAGE, re.MULTILINE)
    with pytest.raises(SettingsError) as caught:
        read(folder, EXAMPLE.replace('camera = "entrance"', 'camera = "entrence"'))
    assert str(caught.value).endswith(printed)


@pytest.mark.parametrize("table", ["cameras", "zones", "schedule", "rules", "snapshots"])
def test_every_key_is_there(folder: Path, table: str) -> None:
    """The program lists the keys that it knows for one that resembles none of them."""
    section = re.split(r"^### ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith((f"`[{table}.NAME]`", f"`[{table}]`"))]
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    start = {
        "cameras": '[cameras.x]\nsource = "0"\n',
        "zones": '[cameras.c]\nsource = "0"\n[zones.x]\ncamera = "c"\npolygon = [[0, 0], [1, 0], [1, 1]]\n',
        "schedule": '[schedule.x]\ntimezone = "UTC"\n',
        "rules": "[rules.x]\n",
        "snapshots": '[snapshots]\nfolder = "s"\nshow = "face"\n',
    }[table]
    with pytest.raises(SettingsError) as caught:
        read(folder, f"{start}qqqq = 1\n")
    known = str(caught.value).rpartition("known are ")[2].split(", ")
    assert set(known) == documented


def test_defaults_are_those_of_rules() -> None:
    defaults = {field.name: field.default for field in fields(Rule)}
    for name in ("confirm_frames", "confirm_seconds", "absence", "cooldown", "min_face"):
        (row,) = re.findall(rf"^\| `{name}` .*\| ([\d.]+) \|$", PAGE, re.MULTILINE)
        assert float(row) == defaults[name]


def test_the_units_command_is_one() -> None:
    unit = (ROOT / "examples" / "maskgate-watch.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    words = [word.replace("%d/rules.toml", __file__) for word in shlex.split(command)]
    assert Path(words[0]).name == "maskgate"
    arguments = create_parser().parse_args(words[1:])
    assert (arguments.command, arguments.threads, arguments.sources) == ("watch", 2, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_one_to_systemd(tmp_path: Path) -> None:
    unit = (ROOT / "examples" / "maskgate-watch.service").read_text("utf-8")
    copy = tmp_path / "maskgate-watch.service"
    copy.write_text(unit.replace("/opt/maskgate/bin/maskgate", "/bin/true"), "utf-8")
    result = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    copy.write_text(unit.replace("/opt/maskgate/bin/maskgate", "/nowhere/maskgate"), "utf-8")
    assert subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, timeout=60).returncode
