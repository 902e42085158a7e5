"""Pictures of violations: who can be seen on them, who can read them, and when they are gone."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.events.types import Event, EventType
from maskgate.images import read_image
from maskgate.streams.snapshots import Shown, Snapshots, SnapshotSettings
from maskgate.types import Faces, Label

NOISE = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
BOX = (100.0, 60.0, 180.0, 160.0)
OTHER = (220.0, 60.0, 300.0, 160.0)
FACES = Faces(np.array([BOX, OTHER], np.float32), np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32))
EVENT = Event.of_track(
    EventType.TRACK_CONFIRMED, time=datetime(2026, 1, 1, tzinfo=UTC), camera="c", track="1",
    label=Label.NO_MASK, confidence=0.9, votes=9, box=BOX,
)  # fmt: skip


def detail(image: np.ndarray, box: tuple[float, ...]) -> float:
    """Of neighbouring pixels' differences, the mean; noise has some 80."""
    x1, y1, x2, y2 = (int(v) for v in box)
    part = image[y1 + 20 : y2 - 20, x1 + 20 : x2 - 20].astype(float).mean(2)
    return float(np.abs(np.diff(part, axis=1)).mean())


@pytest.mark.parametrize(
    ("show", "face", "other", "scene"), [("scene", False, False, True), ("face", True, False, False)]
)
def test_what_can_be_seen(tmp_path: Path, show: Shown, face: bool, other: bool, scene: bool) -> None:
    path = Snapshots(SnapshotSettings(tmp_path / "s", show)).keep(EVENT, NOISE, FACES)
    assert path is not None
    assert path.name.startswith(EVENT.id)
    image = read_image(path)
    seen = [detail(image, box) > 20 for box in (BOX, OTHER, (0, 160, 100, 240))]
    assert seen == [face, other, scene]


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        path = Snapshots(SnapshotSettings(tmp_path / "s", "face")).keep(EVENT, NOISE, FACES)
    finally:
        os.umask(previous)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InputError, match="chmod 700"):
        Snapshots(SnapshotSettings(tmp_path, "face"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made a folder"):
        Snapshots(SnapshotSettings(tmp_path / "file", "face"))


@pytest.mark.parametrize("other", [{"violation": False}, {"type": EventType.TRACK_ENDED}])
def test_there_is_one_of_new_violations_only(tmp_path: Path, other: dict[str, object]) -> None:
    snapshots = Snapshots(SnapshotSettings(tmp_path / "s", "face"))
    assert snapshots.keep(replace(EVENT, **other), NOISE, FACES) is None
    camera = Event.of_camera(EventType.CAMERA_ONLINE, time=EVENT.time, camera="c")
    assert snapshots.keep(camera, NOISE, FACES) is None


def test_old_ones_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    snapshots = Snapshots(SnapshotSettings(folder, "face", keep_hours=2))
    path = snapshots.keep(EVENT, NOISE, FACES)
    assert path is not None
    made = path.stat().st_mtime
    foreign, torn = folder / "notes.txt", folder / f".{path.name}.1234.tmp"
    for file in (foreign, torn):
        file.write_text("x")
        os.utime(file, (made, made))
    snapshots.clean(now=made + 3600)
    assert path.exists()
    snapshots.clean(now=made + 7230)
    assert set(folder.iterdir()) == {foreign}


@pytest.mark.parametrize(("show", "hours"), [("all", 1.0), ("face", 0.0), ("face", float("nan"))])
def test_settings_that_will_not_do(tmp_path: Path, show: Shown, hours: float) -> None:
    with pytest.raises(InputError):
        SnapshotSettings(tmp_path, show, hours)
