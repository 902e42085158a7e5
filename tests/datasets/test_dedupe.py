from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgate.datasets.dedupe import (
    MANIFEST,
    find_duplicates,
    finish_moves,
    move_duplicates,
    sharpness,
    undo_moves,
)
from maskgate.errors import DataError
from maskgate.images import write_image

Noise = Callable[[int, int, int], np.ndarray]
Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def pictures(
    tmp_path: Path, noise: Noise, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    """Four of the astronaut (small, blurred, best, JPEG), two of one noise, and a single one."""
    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    images = {
        "in/a.png": small,
        "in/b.png": cv2.GaussianBlur(astronaut, (0, 0), 2),
        "in/x/c.png": astronaut,
        "in/x/a.jpg": small,
        "in/y/n.png": noise(100, 100, 1),
        "in/z/n.png": noise(90, 90, 1),
        "in/single.png": noise(100, 100, 2),
    }
    monkeypatch.chdir(tmp_path)
    for name, image in images.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_image(name, np.asarray(image, np.uint8))
    return [Path(name) for name in images]


def test_the_best_comes_first(pictures: list[Path]) -> None:
    seen: list[int] = []
    found = find_duplicates(pictures, show=seen.append)
    assert seen == list(range(1, 8))
    assert (found.pictures, found.failures) == (7, ())
    big, noise = found.groups
    assert big.best == Path("in/x/c.png")
    assert big.others[0] == Path("in/b.png")  # as large, less sharp
    assert set(big.others[1:]) == {Path("in/a.png"), Path("in/x/a.jpg")}
    assert (noise.best, noise.others) == (Path("in/y/n.png"), (Path("in/z/n.png"),))
    assert find_duplicates([pictures[2], pictures[6]]).groups == ()


def test_sharpness_falls_with_blur(astronaut: np.ndarray) -> None:
    values = [sharpness(np.asarray(cv2.GaussianBlur(astronaut, (0, 0), s), np.uint8)) for s in (1, 4, 16)]
    assert sharpness(astronaut) > values[0] > values[1] > values[2]


def test_unreadable_pictures_are_named(pictures: list[Path], tmp_path: Path) -> None:
    pictures[4].write_bytes(b"no picture")
    found = find_duplicates([*pictures, Path("gone.jpg")])
    assert [name in text for name, text in zip(("in/y/n.png", "gone.jpg"), found.failures, strict=True)] == [
        True,
        True,
    ]
    assert len(found.groups) == 1


def test_moved_and_back(pictures: list[Path], tmp_path: Path, tree: Tree) -> None:
    before = tree(Path("in"))
    assert move_duplicates(find_duplicates(pictures).groups, Path("away"), [Path("in")]) == 4
    assert sorted(tree(Path("in"))) == ["single.png", "x/c.png", "y/n.png"]
    assert set(tree(Path("away"))) == {"a.png", "b.png", "x/a.jpg", "z/n.png", MANIFEST}
    left = [p for p in pictures if p.exists()]
    assert find_duplicates(left).groups == ()
    write_image("in/late.png", np.asarray(cv2.imread("in/y/n.png")[..., ::-1]))  # more, later
    again = find_duplicates([*left, Path("in/late.png")])
    assert move_duplicates(again.groups, Path("away"), [Path("in")]) == 1
    (tmp_path / "in" / "late.png").unlink(missing_ok=True)
    assert undo_moves(Path("away")) == 5
    late = tree(Path("in"))
    late.pop("late.png")
    assert late == before
    assert list(Path("away").iterdir()) == []


def test_names_that_meet_are_numbered(pictures: list[Path], tree: Tree) -> None:
    groups = find_duplicates(pictures).groups
    move_duplicates(groups, Path("away"), [])  # no roots: file names alone
    assert set(tree(Path("away"))) == {"a.png", "b.png", "a.jpg", "n.png", MANIFEST}
    undo_moves(Path("away"))
    Path("in/x/a.jpg").rename("in/x/a.png")
    groups = find_duplicates([Path("in/a.png"), Path("in/x/a.png"), Path("in/x/c.png")]).groups
    move_duplicates(groups, Path("away"), [])
    assert set(tree(Path("away"))) == {"a.png", "a-2.png", MANIFEST}
    assert undo_moves(Path("away")) == 2


def test_refusals(pictures: list[Path]) -> None:
    groups = find_duplicates(pictures).groups
    for folder, words in (
        (Path("in/away"), "lies in in"),
        (Path("in"), "lies in in"),
        (pictures[0], "lies in in"),
    ):
        with pytest.raises(DataError, match=words):
            move_duplicates(groups, folder, [Path("in")])
    with pytest.raises(DataError, match="holds something else"):
        move_duplicates(groups, Path("in"), [])
    with pytest.raises(DataError, match=rf"in has no {MANIFEST}"):
        undo_moves(Path("in"))
    move_duplicates(groups, Path("away"), [Path("in")])
    Path("in/a.png").write_bytes(b"new")
    with pytest.raises(DataError, match=r"in/a\.png is taken"):
        undo_moves(Path("away"))
    assert Path("away/a.png").exists()
    assert Path("in/a.png").read_bytes() == b"new"
    Path("away", MANIFEST).write_text('{"moves": [{}]}')
    with pytest.raises(DataError, match="is damaged"):
        undo_moves(Path("away"))


PROGRAM = """
import os, sys
from pathlib import Path
from maskgate.datasets import dedupe
left, names = int(sys.argv[1]), ("rename", "unlink", "rmdir")
def dying(real):
    def call(*places):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*places)
    return call
os.rename = dying(os.rename)
os.replace = dying(os.replace)
pictures = sorted(p for p in Path("in").rglob("*") if p.is_file())
if sys.argv[2] == "move":
    dedupe.finish_moves(Path("away"))
    groups = dedupe.find_duplicates([p for p in pictures if p.exists()]).groups
    dedupe.move_duplicates(groups, Path("away"), [Path("in")])
else:
    dedupe.undo_moves(Path("away"))
"""


@pytest.mark.parametrize("calls", [0, 1, 3, 4])
def test_killed_anywhere(pictures: list[Path], tree: Tree, calls: int) -> None:
    before = tree(Path("in"))

    def run(calls: int, what: str) -> int:
        command = [sys.executable, "-c", PROGRAM, str(calls), what]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode

    assert run(calls, "move") == 9
    both = {*tree(Path("in")), *(tree(Path("away")) if Path("away").exists() else ())}
    assert {*before} <= both  # nothing is lost
    assert run(99, "move") == 0
    assert sorted(tree(Path("in"))) == ["single.png", "x/c.png", "y/n.png"]
    assert len(finish_moves(Path("away"))) == 4
    if calls < 4:
        assert run(calls, "undo") == 9
    assert run(99, "undo") == 0
    assert tree(Path("in")) == before
