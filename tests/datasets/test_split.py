from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.datasets.split import (
    SPLITS,
    Row,
    SplitSettings,
    read_table,
    split_into_folders,
    split_pictures,
    write_table,
)
from maskgate.errors import DataError, InputError
from maskgate.images import write_image

Noise = Callable[[int, int, int], np.ndarray]
Tree = Callable[[Path], dict[str, bytes]]
HALVES = SplitSettings(validation=0.3, test=0.3)


@pytest.fixture
def folder(tmp_path: Path, noise: Noise) -> Path:
    """Forty pictures with two labels; numbers 0 to 4 of one label are small copies of the other's."""
    root = tmp_path / "in"
    for i in range(40):
        label = ("mask", "no_mask")[i % 2]
        image = noise(64, 64, i)
        (root / label).mkdir(parents=True, exist_ok=True)
        write_image(root / label / f"{i:02}.png", image)
        if i < 5:
            (root / "incorrect").mkdir(exist_ok=True)
            small = cv2.resize(image, (51, 48), interpolation=cv2.INTER_AREA)
            write_image(root / "incorrect" / f"copy-{i}.jpg", np.asarray(small, np.uint8))
    return root


def sides(rows: tuple[Row, ...]) -> dict[str, str]:
    return {row.file: row.split for row in rows}


def test_near_duplicates_stay_together(folder: Path) -> None:
    split = split_pictures(folder, HALVES)
    by_file = {row.file: row for row in split.rows}
    assert len(by_file) == 45
    for i in range(5):
        one, other = by_file[f"incorrect/copy-{i}.jpg"], by_file[f"{('mask', 'no_mask')[i % 2]}/{i:02}.png"]
        assert (one.split, one.group) == (other.split, other.group)
    assert len({row.group for row in split.rows}) == 40
    assert {row.label for row in split.rows} == {"mask", "no_mask", "incorrect"}
    assert all(row.label == row.file.split("/")[0] for row in split.rows)
    assert split.counts.total() == 45
    assert {row.split for row in split.rows} == set(SPLITS)


@given(st.floats(0, 0.5), st.floats(0, 0.49), st.integers(0, 9))
def test_shares(validation: float, test: float, seed: int) -> None:
    settings = SplitSettings(validation=validation, test=test, seed=seed)
    drawn = [settings.draw(str(i)) for i in range(2000)]
    assert drawn.count("validation") / 2000 == pytest.approx(validation, abs=0.06)
    assert drawn.count("test") / 2000 == pytest.approx(test, abs=0.06)
    assert drawn == [settings.draw(str(i)) for i in range(2000)]


def test_new_pictures_move_no_old_ones_without_a_table(folder: Path, noise: Noise) -> None:
    before = sides(split_pictures(folder, HALVES).rows)
    for i in range(100, 120):
        write_image(folder / "mask" / f"{i}.png", noise(64, 64, i))
    (folder / "mask" / "00.png").rename(folder / "mask" / "renamed.png")  # content counts, not names
    after = sides(split_pictures(folder, HALVES).rows)
    after["mask/00.png"] = after.pop("mask/renamed.png")
    assert {file: after[file] for file in before} == before
    assert sides(split_pictures(folder, SplitSettings(0.3, 0.3, seed=1)).rows) != after


def test_folders_stay_together(tmp_path: Path, noise: Noise) -> None:
    for i in range(60):
        path = tmp_path / ("mask", "no_mask")[i % 2] / f"person{i % 10}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, noise(40, 40, i))
    write_image(tmp_path / "mask" / "alone.png", noise(40, 40, 90))
    write_image(tmp_path / "mask" / "alone2.png", noise(40, 40, 91))
    rows = split_pictures(tmp_path, SplitSettings(0.3, 0.3, group_by="folder")).rows
    persons: dict[str, set[str]] = {}
    for row in rows:
        persons.setdefault(row.file.split("/")[1], set()).add(row.split)
    assert len(persons) == 12
    assert all(len(drawn) == 1 for drawn in persons.values())
    assert len({row.group for row in rows}) == 12  # those directly in the label's folder are not bound
    apart = split_pictures(tmp_path, SplitSettings(0.3, 0.3)).rows
    assert len({row.group for row in apart}) == 62


def test_crops_of_one_source_stay_together(folder: Path, tmp_path: Path) -> None:
    names = [f"{i:02}.png" for i in range(40)]
    lines = [{"crop": f"unlabelled/{name}", "sha256": str(i // 8)} for i, name in enumerate(names)]
    index = tmp_path / "index.jsonl"
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = split_pictures(folder, HALVES, index=index).rows
    for source in range(5):
        of_source = {row.group for row in rows if Path(row.file).name in names[8 * source : 8 * source + 8]}
        assert len(of_source) == 1
    index.write_text('{"crop": "a"}\n')
    with pytest.raises(DataError, match=r"index\.jsonl: line 1"):
        split_pictures(folder, HALVES, index=index)


def test_older_rows_stay_and_new_ones_follow_them(folder: Path, tmp_path: Path, noise: Noise) -> None:
    table = tmp_path / "split.csv"
    rows = split_pictures(folder, HALVES).rows
    write_table(table, rows)
    with table.open(newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [
            (row.file, row.label, row.split, row.group) for row in rows
        ]
    known = read_table(table)
    assert list(known.values()) == list(rows)
    # with a table, even other shares move no old ones; a new near-duplicate follows its group
    old = next(row for row in rows if row.split == "test")
    image = cv2.imread(str(folder / old.file))[..., ::-1]
    write_image(folder / "mask" / "late.jpg", np.ascontiguousarray(image))
    after = split_pictures(folder, SplitSettings(validation=0.9, test=0.0), known=known)
    by_file = {row.file: row for row in after.rows}
    assert all(by_file[row.file] == row for row in rows)
    assert (by_file["mask/late.jpg"].split, by_file["mask/late.jpg"].group) == ("test", old.group)
    assert after.bridged == ()


def test_a_new_picture_between_two_sides_is_reported(folder: Path) -> None:
    known = {row.file: row for row in split_pictures(folder, HALVES).rows}
    one, other = "mask/00.png", "incorrect/copy-0.jpg"
    known[one] = Row(one, "mask", "test", "a")
    known[other] = Row(other, "incorrect", "validation", "b")
    (folder / "mask" / "between.png").write_bytes((folder / one).read_bytes())
    split = split_pictures(folder, HALVES, known=known)
    assert split.bridged == ("mask/between.png",)
    drawn = sides(split.rows)
    assert (drawn[one], drawn[other], drawn["mask/between.png"]) == ("test", "validation", "training")


@pytest.mark.parametrize("placing", ["copy", "link"])
def test_into_folders(folder: Path, tmp_path: Path, tree: Tree, placing: str) -> None:
    output = tmp_path / "out"
    split = split_into_folders(folder, output, HALVES, placing)  # type: ignore[arg-type]
    files = tree(output)
    assert read_table(output / "split.csv") == {row.file: row for row in split.rows}
    for row in split.rows:
        assert files.pop(f"{row.split}/{row.file}") == (folder / row.file).read_bytes()
        assert (output / row.split / row.file).is_symlink() == (placing == "link")
    assert set(files) == {"split.csv", "made-by.json"}
    before = tree(output)
    assert split_into_folders(folder, output, HALVES, placing) == split  # type: ignore[arg-type]
    assert tree(output) == before
    (folder / "mask" / "00.png").rename(folder / "incorrect" / "00.png")
    with pytest.raises(
        DataError, match=r"has pictures that .*in has no more, 1 in all, such as mask/00\.png"
    ):
        split_into_folders(folder, output, HALVES, placing)  # type: ignore[arg-type]


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lies in"):
        split_into_folders(folder, folder / "out", HALVES, "copy")
    with pytest.raises(DataError, match="holds something else"):
        split_into_folders(folder, tmp_path, HALVES, "copy")
    with pytest.raises(InputError, match="leave nothing for training"):
        SplitSettings(0.5, 0.5)
    with pytest.raises(InputError, match="distance is -1"):
        SplitSettings(distance=-1)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="something else than a split"):
        read_table(other)
    other.write_text("file,label,split,group\na.jpg,mask,train,0\n")
    with pytest.raises(DataError, match="line 2 wants"):
        read_table(other)
    assert read_table(tmp_path / "none.csv") == {}
    empty = tmp_path / "bad"
    empty.mkdir()
    (empty / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="no picture that can be read"):
        split_pictures(empty, HALVES)


PROGRAM = """
import os, sys
from pathlib import Path
from maskgate.datasets.split import SplitSettings, split_into_folders
left, real = int(sys.argv[1]), os.replace
def dying(*places):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return real(*places)
os.replace = dying
split_into_folders(Path("in"), Path("out"), SplitSettings(0.3, 0.3), "copy")
"""


def test_killed_anywhere(folder: Path, tmp_path: Path, tree: Tree) -> None:
    split_into_folders(folder, tmp_path / "whole", HALVES, "copy")
    for calls, status in ((0, 9), (1, 9), (2, 9), (20, 9), (99, 0)):
        command = [sys.executable, "-c", PROGRAM, str(calls)]
        run = subprocess.run(command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert run.returncode == status
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
