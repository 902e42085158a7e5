from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation
from maskgate.datasets.convert import Format, convert, find_format, read_annotated
from maskgate.datasets.formats.coco import write_coco
from maskgate.errors import DataError
from maskgate.images import write_image

Tree = Callable[[Path], dict[str, bytes]]
FORMATS: tuple[Format, ...] = ("coco", "voc", "yolo")

sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@st.composite
def annotated_sets(draw: st.DrawFn) -> list[tuple[int, int, list[Annotation]]]:
    """Sizes and boxes of a few pictures; coordinates are whole, so that VOC holds them exactly."""
    pictures = []
    for width, height in draw(st.lists(sizes, min_size=1, max_size=4)):
        boxes = []
        for _ in range(draw(st.integers(0, 4))):
            x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
            label = draw(st.sampled_from(["mask", "no mask", "über & <b>", "incorrect"]))
            boxes.append(Annotation(label, (x1, y1, x2, y2), draw(st.booleans())))
        pictures.append((width, height, boxes))
    return pictures


def make(folder: Path, pictures: list[tuple[int, int, list[Annotation]]]) -> AnnotatedSet:
    (folder / "images" / "x").mkdir(parents=True)
    out = []
    for i, (width, height, boxes) in enumerate(pictures):
        name = PurePosixPath(f"{i}.png" if i % 2 else f"x/{i}.png")
        path = folder / "images" / name
        write_image(path, np.full((height, width, 3), i, np.uint8))
        out.append(AnnotatedPicture(path, name, width, height, tuple(boxes)))
    labels = dict.fromkeys(a.label for _, _, boxes in pictures for a in boxes)
    made = AnnotatedSet(tuple(labels), tuple(out))
    write_coco(made, folder)
    return made


@given(annotated_sets(), st.lists(st.sampled_from(FORMATS), min_size=1, max_size=4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_round_trips(
    pictures: list[tuple[int, int, list[Annotation]]], way: list[Format], from_one: bool
) -> None:
    """Through any formats and back to COCO: the same boxes, and all but YOLO keep those to ignore."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        original = make(root / "0", pictures)
        steps: list[Format] = ["coco", *way, "coco"]
        for i, (source, target) in enumerate(pairwise(steps)):
            folder, output = root / str(i), root / str(i + 1)
            convert(folder, output, target, source=source, from_one=from_one, placing="link")
        back = read_annotated(root / str(len(steps) - 1), "coco")
        found = {p.name: p for p in back.pictures}
        for picture in original.pictures:
            kept = [a for a in picture.annotations if not (a.ignore and "yolo" in way)]
            again = found.pop(picture.name)
            assert (again.width, again.height) == (picture.width, picture.height)
            assert [(a.label, a.ignore) for a in again.annotations] == [(a.label, a.ignore) for a in kept]
            for one, other in zip(again.annotations, kept, strict=True):
                assert one.box == pytest.approx(other.box, abs=1e-4)
            assert again.path.read_bytes() == picture.path.read_bytes()
        assert not found


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_all_directions_with_new_names(
    scenes: AnnotatedSet, tmp_path: Path, tree: Tree, source: Format, target: Format
) -> None:
    write_coco(scenes, tmp_path / "set")
    convert(tmp_path / "set", tmp_path / "one", source)
    names = {"mask": "with_mask", "incorrect": "no_mask"}
    result = convert(tmp_path / "one", tmp_path / "two", target, names=names)
    ignored = source != "yolo"
    held = ignored and target != "yolo"
    assert (result.pictures, result.boxes) == (3, {"with_mask": 1 + held, "no_mask": 2})
    assert result.left_out == (1 if target == "yolo" and ignored else 0)
    assert find_format(tmp_path / "two") == target
    again = read_annotated(tmp_path / "two", target)
    assert again.counts == result.boxes
    assert {p.name for p in again.pictures} == {p.name for p in scenes.pictures}
    before = tree(tmp_path / "two")
    convert(tmp_path / "one", tmp_path / "two", target, names=names)
    assert tree(tmp_path / "two") == before


@pytest.mark.parametrize("placing", ["copy", "link"])
def test_pictures_are_copied_or_linked(scenes: AnnotatedSet, tmp_path: Path, placing: str) -> None:
    write_coco(scenes, tmp_path / "set")
    convert(tmp_path / "set", tmp_path / "out", "yolo", placing=placing)  # type: ignore[arg-type]
    picture = tmp_path / "out" / "images" / "more" / "b.png"
    assert picture.is_symlink() == (placing == "link")
    assert picture.read_bytes() == scenes.pictures[1].path.read_bytes()


def test_refusals(scenes: AnnotatedSet, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with pytest.raises(DataError, match="is no COCO, VOC or YOLO set; say which with --from"):
        find_format(folder)
    with pytest.raises(DataError, match="is not a folder"):
        find_format(tmp_path / "gone")
    write_coco(scenes, folder)
    with pytest.raises(DataError, match="is the folder to read"):
        convert(folder, folder, "yolo")
    with pytest.raises(DataError, match="holds something else"):
        convert(folder, tmp_path, "yolo")
    with pytest.raises(DataError, match="no label is named 'x'"):
        convert(folder, tmp_path / "out", "yolo", names={"x": "mask"})
    assert not (tmp_path / "out").exists()  # all is read before anything is written
    (folder / "labels").mkdir()
    with pytest.raises(DataError, match="could be coco or yolo"):
        convert(folder, tmp_path / "out", "voc")
    (folder / "labels").rmdir()
    convert(folder, tmp_path / "out", "yolo")
    with pytest.raises(DataError, match=r"other settings \(to\)"):
        convert(folder, tmp_path / "out", "voc")


PROGRAM = """
import os, sys
from pathlib import Path
from maskgate.datasets.convert import convert
left, real = int(sys.argv[1]), os.replace
def dying(*places):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return real(*places)
os.replace = dying
convert(Path("set"), Path("out"), sys.argv[2])
"""


@pytest.mark.parametrize("target", FORMATS)
def test_killed_anywhere(scenes: AnnotatedSet, tmp_path: Path, tree: Tree, target: Format) -> None:
    write_coco(scenes, tmp_path / "set")
    convert(tmp_path / "set", tmp_path / "whole", target)
    for calls in (0, 1, 2, 3, 99):
        command = [sys.executable, "-c", PROGRAM, str(calls), target]
        run = subprocess.run(command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert run.returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_public_mask_set(shared: Path, tmp_path: Path) -> None:
    """Twenty pictures of the training scenes, to VOC and back: whole pixels, so nothing changes."""
    folder = shared / "data" / "scenes" / "fmd"
    if not (folder / "annotations.json").is_file():
        pytest.skip("needs the training scenes")
    whole = read_annotated(folder, "coco")
    some = AnnotatedSet(whole.labels, whole.pictures[:20])
    for picture in some.pictures:
        (tmp_path / "some" / "images" / picture.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture.path, tmp_path / "some" / "images" / picture.name)
    write_coco(some, tmp_path / "some")
    convert(tmp_path / "some", tmp_path / "voc", "voc")
    convert(tmp_path / "voc", tmp_path / "back", "coco")
    back = {p.name: p for p in read_annotated(tmp_path / "back", "coco").pictures}
    assert len(back) == 20
    for picture in some.pictures:
        for one, other in zip(back[picture.name].annotations, picture.annotations, strict=True):
            assert (one.label, one.ignore) == (other.label, other.ignore)
            assert one.box == pytest.approx(other.box, abs=0.5)
