from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.errors import DataError
from maskgate.training.crops import FaceCrops, cut_face
from maskgate.training.detector_data import LabelledPicture
from maskgate.training.direct_data import SourcePicture, read_pictures, weights_of, without_duplicates
from maskgate.training.labelling import TeacherRecipe
from maskgate.training.recipe import Source
from maskgate.types import Faces, Label

TEACHER = TeacherRecipe((), (), certain=0.8, doubtful=0.25)
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


def faces(*rows: tuple[list[float], float]) -> Faces:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    points = boxes[:, None, :2] + POINTS * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.array([score for _, score in rows], np.float32), points)


def picture(file: Path, seed: int) -> Path:
    """Large spots, so that hashes of two differ."""
    file.parent.mkdir(parents=True, exist_ok=True)
    spots = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(file), cv2.resize(spots, (320, 240), interpolation=cv2.INTER_CUBIC))
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i, name in enumerate(
        ("photos/worn/a.png", "photos/worn/b.png", "photos/bare/c.png", "groups/d.png", "street/e.png")
    ):
        picture(tmp_path / name, i)
    for name in ("s", "t"):
        picture(tmp_path / "scenes" / "images" / f"{name}.png", ord(name))
    content = {
        "categories": [
            {"id": 5, "name": "incorrect"},
            {"id": 6, "name": "mask"},
            {"id": 7, "name": "no_mask"},
        ],
        "images": [
            {"id": k, "file_name": f"{name}.png", "width": 320, "height": 240} for k, name in enumerate("st")
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 5, "bbox": [10, 10, 40, 50]},
            {"id": 2, "image_id": 0, "category_id": 6, "bbox": [100, 10, 40, 50]},
            {"id": 3, "image_id": 0, "category_id": 7, "bbox": [200, 10, 60, 60], "iscrowd": 1},
        ],
    }
    (tmp_path / "scenes" / "annotations.json").write_text(json.dumps(content))
    return tmp_path


SOURCES = [
    Source("scenes", "scenes"),
    Source("photos", "photos", labels={"worn": "mask", "bare": "no_mask"}),
    Source("groups", "photos", bare=(".",)),
    Source("street", "photos"),
]
FOUND = {
    "scenes/s.png": faces(),
    "photos/worn/a.png": faces(
        ([10, 10, 110, 130], 0.9), ([200, 10, 230, 50], 0.85), ([5, 200, 20, 220], 0.4)
    ),
    "photos/worn/b.png": faces(([10, 10, 110, 130], 0.5)),
    "photos/bare/c.png": faces(([10, 10, 20, 20], 0.3)),
    "groups/d.png": faces(([10, 10, 60, 60], 0.9), ([100, 10, 160, 60], 0.9)),
    "street/e.png": faces(([10, 10, 60, 60], 0.9)),
}


def test_labels_as_far_as_they_are_told(data: Path) -> None:
    found = read_pictures(SOURCES, data, FOUND, {}, TEACHER)
    labels = {p.name: p.faces.labels.tolist() for p in found}
    assert labels == {
        "scenes/images/s.png": [2, 0],
        "scenes/images/t.png": [],  # a scene without a face still shows what is none
        "photos/worn/a.png": [0, -1],
        "photos/worn/b.png": [0],  # unsure, but the folder says that there is a face
        "groups/d.png": [1, 1],
        "street/e.png": [-1],
    }
    by_name = {p.name: p for p in found}
    assert by_name["scenes/images/s.png"].faces.ignore.tolist() == [[200, 10, 260, 70]]
    assert by_name["photos/worn/a.png"].faces.ignore.tolist() == [[5, 200, 20, 220]]
    assert by_name["street/e.png"].source is SOURCES[3]
    assert by_name["groups/d.png"].faces.path == data / "groups" / "d.png"


def test_corrections(data: Path) -> None:
    corrections = {"photos/worn/a.png": Label.INCORRECT, "photos/worn/b.png": None}
    found = read_pictures(SOURCES[1:2], data, FOUND, corrections, TEACHER)
    assert {p.name: p.faces.labels.tolist() for p in found} == {"photos/worn/a.png": [2, -1]}


def test_a_folder_that_the_labels_do_not_name(data: Path) -> None:
    source = Source("photos", "photos", labels={"worn": "mask"})
    with pytest.raises(DataError, match=r"c\.png lies in no folder that the labels of source photos name"):
        read_pictures([source], data, FOUND, {}, TEACHER)


def test_pictures_of_wrongly_worn_masks_are_drawn_more_often(data: Path) -> None:
    heavy = [Source("scenes", "scenes", weight=3.0), *SOURCES[1:]]
    found = read_pictures(heavy, data, FOUND, {}, TEACHER)
    weights = dict(zip([p.name for p in found], weights_of(found, 4.0), strict=True))
    assert weights.pop("scenes/images/s.png") == 12
    assert weights.pop("scenes/images/t.png") == 3
    assert set(weights.values()) == {1.0}


def test_near_duplicates_of_held_out_pictures_go(tmp_path: Path) -> None:
    face = faces(([100, 60, 200, 180], 1.0))
    source = Source("street", "photos")
    files = [picture(tmp_path / "street" / f"{i}.png", i) for i in range(4)]
    own = [
        SourcePicture(
            f.name, source,
            LabelledPicture(f, face.boxes, face.landmarks, np.ones(1, bool), face.boxes[:0], np.full(1, -1)),
        )
        for f in files
    ]  # fmt: skip
    images = [cv2.imread(str(f))[..., ::-1] for f in (files[2], picture(tmp_path / "x.png", 9))]
    brighter = [np.clip(image.astype(int) + 9, 0, 255).astype(np.uint8) for image in images]
    cut = [cut_face(image, face) for image in brighter]
    held = FaceCrops(
        np.stack([c for c, _ in cut]), np.stack([p for _, p in cut]), np.zeros(2, np.int64),
        np.zeros(2, np.int64), np.full(2, 120, np.float32), ["y.jpg", "x.jpg"],
    )  # fmt: skip
    assert [p.name for p in without_duplicates(own, held)] == ["0.png", "1.png", "3.png"]
    assert [p.name for p in without_duplicates(own, held.select(np.zeros(2, np.bool_)))] == [
        p.name for p in own
    ]
    assert without_duplicates([], held) == []
