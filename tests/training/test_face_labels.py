from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.errors import DataError
from maskgate.training.face_labels import label_pictures, read_face_labels
from maskgate.types import Faces


class Bright:
    """A teacher of known answers: two faces whose place is the picture's mean brightness."""

    def __init__(self, die_at: int = 10_000) -> None:
        self.seen: list[int] = []
        self.die_at = die_at

    def label(self, image: np.ndarray) -> Faces:
        if len(self.seen) == self.die_at:
            raise KeyboardInterrupt
        grey = int(image.mean())
        self.seen.append(grey)
        boxes = np.array([[grey, 1, grey + 10.123456, 20], [0, 0, 5, 5]], np.float32)
        points = np.arange(20, dtype=np.float32).reshape(2, 5, 2) / 3
        return Faces(boxes, np.array([0.987654321, 0.5], np.float32), points)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = []
    for i, grey in enumerate((10, 60, 110, 160)):
        file = tmp_path / "data" / "a b" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((6, 8, 3), grey, np.uint8))
        files.append(file)
    return files


def label(teacher: Bright, folder: Path, files: Sequence[Path], threads: int = 1) -> dict[str, Faces]:
    whom: Any = teacher
    return label_pictures(whom, folder / "data", files, folder / "run" / "teacher.jsonl", threads)


def assert_same(one: dict[str, Faces], other: dict[str, Faces]) -> None:
    assert list(one) == list(other)
    for name, faces in one.items():
        for part in ("boxes", "scores", "landmarks"):
            assert np.array_equal(getattr(faces, part), getattr(other[name], part))


def test_labels_and_file_say_the_same_in_the_order_of_the_files(tmp_path: Path, pictures: list[Path]) -> None:
    labels = label(Bright(), tmp_path, pictures)
    assert list(labels) == [f"a b/{i}.png" for i in range(4)]
    assert labels["a b/2.png"].boxes[0] == pytest.approx([110, 1, 120.12, 20], abs=1e-5)
    cache = tmp_path / "run" / "teacher.jsonl"
    rows = [json.loads(line) for line in cache.read_text().splitlines()]
    assert [row["path"] for row in rows] == list(labels)
    assert (rows[0]["width"], rows[0]["height"]) == (8, 6)
    assert_same(labels, read_face_labels(cache))  # to the last bit: a later run reads what this one used


class WaitsForTheSecond(Bright):
    """Is done with the darkest picture only after another one."""

    def __init__(self, break_at: int = -1) -> None:
        super().__init__()
        self.other_seen = threading.Event()
        self.break_at = break_at

    def label(self, image: np.ndarray) -> Faces:
        grey = int(image.mean())
        if grey == 10:
            assert self.other_seen.wait(60), "pictures are looked at one by one"
        else:
            self.other_seen.set()
        if grey == self.break_at:
            raise RuntimeError("broken")
        return super().label(image)


def test_threads_change_nothing(tmp_path: Path, pictures: list[Path]) -> None:
    one = label(Bright(), tmp_path, pictures)
    file = tmp_path / "run" / "teacher.jsonl"
    alone = file.read_bytes()
    file.unlink()
    teacher = WaitsForTheSecond()
    assert_same(label(teacher, tmp_path, pictures, threads=2), one)
    assert teacher.seen[0] != 10
    assert file.read_bytes() == alone


def test_error_among_threads_keeps_what_came_before_it(tmp_path: Path, pictures: list[Path]) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        label(WaitsForTheSecond(break_at=110), tmp_path, pictures, threads=2)
    assert list(read_face_labels(tmp_path / "run" / "teacher.jsonl")) == ["a b/0.png", "a b/1.png"]


def test_what_is_there_is_not_looked_at_again(tmp_path: Path, pictures: list[Path]) -> None:
    first = Bright()
    label(first, tmp_path, pictures[:2])
    second = Bright()
    labels = label(second, tmp_path, pictures)
    assert (first.seen, second.seen) == ([10, 60], [110, 160])
    third = Bright()
    assert_same(label(third, tmp_path, pictures), labels)
    assert third.seen == []


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_stopped_run_goes_on(tmp_path: Path, pictures: list[Path], cut: int) -> None:
    whole = label(Bright(), tmp_path, pictures)
    cache = tmp_path / "run" / "teacher.jsonl"
    text = cache.read_bytes()
    cache.unlink()
    with pytest.raises(KeyboardInterrupt):
        label(Bright(die_at=3), tmp_path, pictures)
    kept = cache.read_bytes()
    assert kept == text[: len(kept)]
    cache.write_bytes(kept[: len(kept) - cut])  # the last line never got to the disc whole
    again = Bright()
    assert_same(label(again, tmp_path, pictures), whole)
    assert again.seen == ([160] if cut < 2 else [110, 160])
    assert_same(read_face_labels(cache), whole)


def test_no_face(tmp_path: Path) -> None:
    cache = tmp_path / "t.jsonl"
    assert read_face_labels(cache) == {}
    cache.write_text('{"path": "a.jpg", "boxes": [], "scores": [], "landmarks": []}\n')
    assert len(read_face_labels(cache)["a.jpg"]) == 0


def test_picture_that_is_none(tmp_path: Path, pictures: list[Path]) -> None:
    pictures[1].write_text("no picture")
    with pytest.raises(DataError, match=r"1\.png cannot be read as a picture"):
        label(Bright(), tmp_path, pictures)
    assert list(read_face_labels(tmp_path / "run" / "teacher.jsonl")) == ["a b/0.png"]
