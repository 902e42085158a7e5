"""The rule file: what it says, and what is wrong with it, with the line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import SettingsError
from maskgate.streams.rule_file import RuleFile, read_rule_file
from maskgate.streams.rules import Rule
from maskgate.streams.sources import SourceKind

GOOD = """\
[cameras.hall]
source = "rtsp://guard:s3cret@10.0.0.7/ch1"
rate = 5
transport = "udp"

[cameras.gate]
source = { env = "GATE" }

[zones.door]
camera = "hall"
polygon = [
    [0.1, 0.1],
    [0.9, 0.1],
    [0.9, 1.0],
]

[schedule.office]
days = ["mon", "fri"]
from = "08:00"
to = 18:30:00
timezone = "Europe/Berlin"

[rules.door]
cameras = ["hall"]
zones = ["door"]
schedule = ["office"]
report = "violations"
confirm_frames = 8
confirm_seconds = 1
absence = 5.5
cooldown = 60
min_face = 40

[rules.everywhere]

[snapshots]
folder = "pictures"
show = "scene"
keep_hours = 24

[store]
folder = "state"

[[sinks]]
type = "jsonl"
path = "events.jsonl"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("GATE", "http://user:geheim@gate.example/")

    def to(text: str) -> Path:
        path = tmp_path / "rules.toml"
        path.write_text(text, "utf-8")
        return path

    return to


def test_what_it_says(write: Write, tmp_path: Path) -> None:
    file = read_rule_file(write(GOOD))
    hall, gate = file.cameras
    assert (hall.name, hall.kind, hall.rate, hall.transport) == ("hall", SourceKind.STREAM, 5, "udp")
    assert gate.address == "http://user:geheim@gate.example/"
    door, everywhere = file.rules.rules
    assert everywhere == Rule()
    assert door == Rule(
        "door", frozenset({"hall"}), frozenset({"door"}), door.schedules, "violations", 8, 1, 5.5, 60, 40
    )
    (office,) = door.schedules
    assert office.holds(datetime(2026, 6, 5, 16, 29, tzinfo=UTC))  # Friday, 18:29
    assert not office.holds(datetime(2026, 6, 5, 16, 30, tzinfo=UTC))
    assert file.rules.zones[0].polygon == ((0.1, 0.1), (0.9, 0.1), (0.9, 1.0))
    assert file.snapshots is not None
    assert file.snapshots.folder == tmp_path / "pictures"
    assert file.events is not None
    assert file.events.store.folder == tmp_path / "state"
    assert "s3cret" not in repr(file)
    assert "geheim" not in repr(file)


def test_an_empty_file_is_one_rule_everywhere(write: Write) -> None:
    assert read_rule_file(write("")) == RuleFile()
    assert RuleFile().rules.rules == (Rule(),)


def test_lines_of_windows_count_alike(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "crlf.toml"
    path.write_bytes(GOOD.replace("rate = 5", 'rate = "5"').replace("\n", "\r\n").encode())
    with pytest.raises(SettingsError, match="line 3: "):
        read_rule_file(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("rate = 5", "rat = 5", 3, "'cameras.hall.rat' is unknown; did you mean 'rate'?"),
        ("rate = 5", "rate = -1", 3, "at least 0.01"),
        ('transport = "udp"', 'transport = "pigeon"', 4, "'tcp' or 'udp'"),
        ('source = { env = "GATE" }', 'source = { env = "NOWHERE" }', 7, "NOWHERE is not set"),
        ('source = { env = "GATE" }', "", 6, "'cameras.gate.source' is missing"),
        ("rtsp://", "gopher://", 2, "gopher://"),
        ("s3cret@10.0.0.7", "s3cret@:x", 2, "no usable host"),
        ('camera = "hall"', 'camera = "hal"', 10, "there is no camera 'hal'; did you mean 'hall'?"),
        ("    [0.9, 1.0],\n", "", 11, "a polygon of 2 points"),
        ("[0.9, 1.0]", "[0.9, 10]", 11, "outside the picture"),
        ("[0.9, 1.0]", "[0.9]", 11, "at least three points"),
        ("[0.9, 1.0]", '["a", "b"]', 11, "at least three points"),
        ('"mon", "fri"', '"mon", "friday"', 18, "'sun'"),
        ("days = [", "day = [", 18, "did you mean 'days'?"),
        ('from = "08:00"', 'from = "8 o\'clock"', 19, "a time of day"),
        ('from = "08:00"', 'from = "25:00"', 19, "'25:00'"),
        ('from = "08:00"', 'from = "08:60"', 19, "'08:60'"),
        ('from = "08:00"', 'from = "18:30"', 19, "same time"),
        ("to = 18:30:00", "to = 18:30:30", 20, "'18:30:30'"),
        ("Europe/Berlin", "Europe/Atlantis", 21, "a time zone such as"),
        ('timezone = "Europe/Berlin"\n', "", 17, "'schedule.office.timezone' is missing"),
        ('cameras = ["hall"]', 'cameras = ["yard"]', 24, "there is no camera 'yard'"),
        ('zones = ["door"]', 'zones = ["dor"]', 25, "did you mean 'door'?"),
        ('schedule = ["office"]', 'schedule = ["night"]', 26, "there is no schedule 'night'"),
        ('schedule = ["office"]', 'schedule = "office"', 26, "a list of texts"),
        ('"violations"', '"sins"', 27, "'all' or 'violations'"),
        ("confirm_frames = 8", "confirm_frames = 0", 28, "a whole number from 1"),
        ("confirm_frames = 8", "confirm_frame = 8", 28, "did you mean 'confirm_frames'?"),
        ("cooldown = 60", "cooldown = inf", 31, "at most 86400"),
        ('zones = ["door"]\n', "", 9, "no rule names the zone 'door'"),
        ('show = "scene"', 'show = "all"', 38, "'scene' or 'face'"),
        ('show = "scene"\n', "", 36, "'snapshots.show' is missing"),
        ('type = "jsonl"', 'type = "pigeon"', 45, "'webhook'"),
        ("[rules.everywhere]", "[rule.everywhere]", 34, "'rule' is unknown; did you mean 'rules'?"),
        ("[rules.everywhere]", "[rules.everywhere", 34, "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(write: Write, old: str, new: str, line: int, words: str) -> None:
    assert GOOD.count(old) == 1
    path = write(GOOD.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        read_rule_file(path)
    sentence = str(caught.value)
    assert words in sentence
    assert f"line {line}" in sentence
    assert str(path) in sentence
    assert "s3cret" not in sentence


def test_cameras_of_the_command_line_may_be_named(write: Write) -> None:
    text = '[rules.a]\ncameras = ["a.avi"]\n'
    assert read_rule_file(write(text), ["a.avi"]).rules.of_camera("a.avi").rules[0].name == "a"
    with pytest.raises(SettingsError, match="line 2: there is no camera"):
        read_rule_file(write(text))


def test_relative_sources_start_at_the_file(write: Write, tmp_path: Path) -> None:
    (camera,) = read_rule_file(write('[cameras.a]\nsource = "day/a.avi"\n')).cameras
    assert Path(camera.address) == tmp_path / "day" / "a.avi"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = 1\n" * 200_000])
def test_what_is_no_rule_file(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=str(path)):
        read_rule_file(path)


def test_snapshots_go_not_with_counts(write: Write) -> None:
    text = GOOD[: GOOD.index("[[sinks]]")].replace('folder = "state"', 'keep = "counts"')
    with pytest.raises(SettingsError, match="line 36: the table 'snapshots' goes not with"):
        read_rule_file(write(text))
