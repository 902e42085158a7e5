from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.errors import DataError
from maskgate.training.classifier_setup import Places
from maskgate.training.detector_sources import DetectorPictures, prepare_pictures
from maskgate.types import LABELS, Label

MASK, BARE = LABELS.index(Label.MASK), LABELS.index(Label.NO_MASK)
FOUND = [[40.0, 40, 80, 90], [150, 100, 190, 150]]
DRAWN = [[40.0, 50, 80, 95], [150, 110, 190, 155]]
"""What people draw of the same faces: from 20 % below the upper edge to 10 % below the lower one."""


class Folder:
    """A data folder, and what a teacher found in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.rng, self.lines = root, np.random.default_rng(0), list[str]()

    def picture(self, name: str, *, scores: tuple[float, float] | None = (0.9, 0.5)) -> None:
        """480 × 400 pixels that are like those of no other picture."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        noise = self.rng.integers(0, 256, (10, 12, 3), np.uint8)
        cv2.imwrite(str(self.root / name), cv2.resize(noise, (480, 400)))
        if scores is not None:
            points = [[[x1 + 5 * k, y1 + 5 * k] for k in range(5)] for x1, y1, _, _ in FOUND]
            row = {"path": name, "boxes": FOUND, "scores": scores, "landmarks": points}
            self.lines.append(json.dumps(row))

    def scenes(self, name: str, count: int) -> None:
        images, annotations = [], []
        for i in range(count):
            self.picture(f"{name}/images/{name}{i}.png")
            images.append({"id": i, "file_name": f"{name}{i}.png", "width": 480, "height": 400})
            for k, (x1, y1, x2, y2) in enumerate(DRAWN):
                box = [x1, y1, x2 - x1, y2 - y1]
                annotations.append({"id": 2 * i + k, "image_id": i, "category_id": k + 1, "bbox": box})
        categories = [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (self.root / name / "annotations.json").write_text(json.dumps(content))

    def wider(self, name: str, splits: dict[str, int]) -> None:
        for split, count in splits.items():
            lines = []
            for i in range(count):
                self.picture(f"{name}/{split}/images/0--Parade/{split}{i}.png", scores=None)
                points = "60 60 0 70 60 0 65 70 0 60 80 0 70 80 1 0.5"
                lines += [f"# 0--Parade/{split}{i}.png", f"50 50 30 40 {points}", "100 20 10 12", "5 5 0 0"]
            (self.root / name / split / "label.txt").write_text("\n".join(lines) + "\n")

    def prepare(self, *sources: dict[str, Any], **recipe: Any) -> DetectorPictures:
        (self.root / "teacher.jsonl").write_text("\n".join(self.lines) + "\n")
        places = Places(self.root, self.root, (), self.root / "crops", None, self.root / "teacher.jsonl")
        whole = {"seed": 3, "validation": 0.3, "source": list(sources), **recipe}
        return prepare_pictures(whole, places, self.root / "run" / "teacher.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_each_kind_of_source(folder: Folder) -> None:
    folder.scenes("streets", 12)
    for i in range(9):
        folder.picture(f"photos/{'bare' if i % 2 else 'masked'}/p{i}.png")
        folder.picture(f"faces/bare/c{i}.png")
    data = folder.prepare(
        {"path": "streets", "kind": "scenes", "weight": 3.0},
        {"path": "photos", "kind": "photos", "labels": {"bare": "no_mask", "masked": "mask"}},
        {"path": "faces", "kind": "crops", "labels": {"bare": "no_mask"}},
    )
    assert len(data.files) == 30
    of = {p.path.parent.name: p for p in [*data.learnt, *data.validation]}
    # crops are not learnt from as pictures, and only drawn boxes judge
    assert {p.path.parent.name for p in data.learnt} == {"images", "bare", "masked"}
    assert not any(p.path.parts[-3] == "faces" for p in data.learnt)
    assert {p.path.parent.name for p in data.validation} == {"images"}
    assert 1 <= len(data.validation) <= 7
    assert {p.path for p in data.learnt}.isdisjoint(p.path for p in data.validation)
    assert sum(p.path.parent.name == "images" for p in data.learnt) + len(data.validation) == 12
    # scenes as drawn, the teacher's landmarks with them
    assert of["images"].boxes.tolist() == DRAWN
    assert of["images"].has_landmarks.all()
    assert of["images"].labels.tolist() == [MASK, BARE]
    # of photographs the main face, certain or not, has the folder's label; a doubtful one is ignored
    assert of["masked"].boxes.tolist() == FOUND[:1]
    assert of["masked"].ignore.tolist() == FOUND[1:]
    assert (of["masked"].labels.tolist(), of["bare"].labels.tolist()) == ([MASK], [BARE])
    weights = {p.path.parent.name: w for p, w in zip(data.learnt, data.weights, strict=True)}
    assert weights == {"images": 3.0, "bare": 1.0, "masked": 1.0}
    assert data.counts["faces"]["pictures"] == 9
    assert data.counts["streets"]["faces"] == 2 * data.counts["streets"]["pictures"]
    assert data.counts["streets"]["mask"] == data.counts["streets"]["pictures"]
    assert (data.scenes, data.style) == (None, None)
    held_out = 9 - data.counts["photos"]["pictures"]
    assert len(data.drawn) <= held_out
    assert len(data.dataset(7, 1)) == 7


def test_boxes_are_brought_together(folder: Folder) -> None:
    folder.scenes("streets", 36)
    for i in range(4):
        folder.picture(f"photos/p{i}.png")
    data = folder.prepare(
        {"path": "streets", "kind": "scenes"}, {"path": "photos", "kind": "photos"},
        boxes={"towards_drawn": 0.5},
    )  # fmt: skip
    assert data.style is not None
    assert data.style.offsets == pytest.approx([0, 0.2, 0, 0.1], abs=1e-6)
    middle = (np.array(FOUND) + DRAWN) / 2
    for picture in data.learnt:
        count = len(picture.boxes)  # of a photograph, the certain face
        assert count == (2 if picture.path.parent.name == "images" else 1)
        assert picture.boxes == pytest.approx(middle[:count], abs=1e-3)
    for picture in data.validation:
        assert picture.boxes.tolist() == DRAWN  # what judges stays as people drew it


def test_pictures_of_wider_face(folder: Folder) -> None:
    folder.wider("wider", {"train": 6, "val": 2})
    data = folder.prepare(
        {"path": "wider", "kind": "wider", "bare": ["."], "side": "training"},
        {"path": "wider", "kind": "wider", "side": "validation"},
    )
    assert (len(data.learnt), len(data.validation)) == (6, 2)
    one = data.learnt[0]
    assert one.boxes.tolist() == [[50, 50, 80, 90], [100, 20, 110, 32]]
    assert one.has_landmarks.tolist() == [True, False]
    assert one.landmarks[0].tolist() == [[60, 60], [70, 60], [65, 70], [60, 80], [70, 80]]
    assert np.isfinite(one.landmarks).all()
    assert one.ignore.tolist() == [[5, 5, 5, 5]]
    assert one.labels.tolist() == [BARE, -1]  # only where something can be drawn on
    assert data.validation[0].labels.tolist() == [-1, -1]


def test_composed_scenes_use_crops_and_what_is_not_held_out(folder: Folder) -> None:
    folder.scenes("streets", 10)
    for i in range(4):
        folder.picture(f"faces/bare/c{i}.png")
    data = folder.prepare(
        {"path": "streets", "kind": "scenes"},
        {"path": "faces", "kind": "crops", "labels": {"bare": "no_mask"}},
        augmentation={"compose": 0.5, "side": 128},
    )
    assert data.scenes is not None
    pasted = {p.path for p in data.scenes.pictures}
    assert {p.parent.name for p in pasted} == {"images", "bare"}
    shown = {b.picture.path for b in data.scenes.backgrounds}
    assert {p.parent.name for p in shown} <= {"images"}
    held_out = {p.path for p in data.validation}
    assert held_out
    assert held_out.isdisjoint(pasted | shown)
    assert len(data.dataset(4, 1)[0]) == 6


def test_sources_on_one_side(folder: Folder) -> None:
    folder.scenes("streets", 8)
    folder.scenes("offices", 6)
    data = folder.prepare(
        {"path": "streets", "kind": "scenes", "side": "training"},
        {"path": "offices", "kind": "scenes", "side": "validation"},
    )
    assert (len(data.learnt), len(data.validation)) == (8, 6)
    with pytest.raises(DataError, match="no picture with a face is left"):
        folder.prepare({"path": "offices", "kind": "scenes", "side": "validation"})


def test_new_pictures_move_no_old_ones(folder: Folder) -> None:
    folder.scenes("streets", 12)
    table = {"path": "streets", "kind": "scenes"}
    before = {p.path for p in folder.prepare(table).validation}
    for i in range(5):
        folder.picture(f"photos/p{i}.png")
    after = folder.prepare(table, {"path": "photos", "kind": "photos"})
    assert {p.path for p in after.validation} == before


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"boxes": {"towards_drawn": 2.0}}, "towards_drawn"),
        ({"boxes": {"drawn": 0.5}}, r"\[boxes\] has the unknown field 'drawn'"),
        ({"augmentation": {"moosaic": 0.5}}, r"\[augmentation\] has the unknown field 'moosaic'"),
        ({"boxes": {"towards_drawn": 0.5}}, "needs 20 faces"),
    ],
)
def test_recipes_that_cannot_be_used(folder: Folder, recipe: dict[str, Any], words: str) -> None:
    folder.scenes("streets", 3)
    with pytest.raises(DataError, match=words):
        folder.prepare({"path": "streets", "kind": "scenes"}, **recipe)
