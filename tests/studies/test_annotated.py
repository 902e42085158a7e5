from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.detection.borders import BORDER
from maskgate.errors import DataError
from maskgate.images import write_image
from maskgate.studies.annotated import (
    AnnotatedPicture,
    digest_of_crops,
    digest_of_pictures,
    given_crops,
    given_in_pictures,
    pictures_of_scenes,
    pictures_on_side,
)
from maskgate.training.classifier_setup import ClassifierData
from maskgate.training.crops import MARGIN, SIDE, FaceCrops
from maskgate.training.recipe import Source
from maskgate.training.splits import TEST, TRAINING
from maskgate.types import Faces, Image

POINTS = np.array([[3, 4], [7, 4], [5, 6], [3, 8], [7, 8]], np.float32)


def picture(folder: Path, name: str, size: tuple[int, int] = (80, 60)) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_image(
        file, np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    )
    return file


def faces(*boxes: tuple[list[float], float]) -> Faces:
    n = len(boxes)
    return Faces(
        np.array([b for b, _ in boxes], np.float32).reshape(n, 4), np.array([s for _, s in boxes]),
        np.full((n, 5, 2), np.nan),
    )  # fmt: skip


@pytest.fixture
def split(tmp_path: Path) -> tuple[ClassifierData, dict[str, Faces]]:
    """Scenes, photographs with labels, crops and bare groups, a picture each on either side."""
    for name in (
        "s/images/1.png",
        "s/images/2.png",
        "p/mask/1.png",
        "p/mask/2.png",
        "c/bare/1.png",
        "g/1.png",
    ):
        picture(tmp_path, name)
    (tmp_path / "s" / "annotations.json").write_text(json.dumps({
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}],
        "images": [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 60} for i in (1, 2)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 30, 30]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [40, 0, 30, 30], "iscrowd": 1},
            {"id": 3, "image_id": 2, "category_id": 2, "bbox": [10, 10, 40, 40]},
        ],
    }))  # fmt: skip
    sources = (
        Source("s", "scenes"), Source("p", "photos", {"mask": "mask"}),
        Source("c", "crops", {"bare": "no_mask"}), Source("g", "photos", bare=(".",)), Source("u", "photos"),
    )  # fmt: skip
    found = {
        "p/mask/1.png": faces(([10, 10, 40, 40], 0.9), ([50, 10, 70, 30], 0.5), ([60, 30, 70, 40], 0.1)),
        "p/mask/2.png": faces(([10, 10, 40, 40], 0.9)),
        "c/bare/1.png": faces(([-2, 4, 78, 70], 0.9)),
        "g/1.png": faces(([0, 0, 20, 20], 0.9), ([30, 0, 50, 20], 0.85), ([60, 0, 75, 20], 0.4)),
    }
    rows = [("s/images/1.png", 0, 0, TEST), ("s/images/2.png", 0, 1, TRAINING), ("p/mask/1.png", 1, 0, TEST),
            ("p/mask/2.png", 1, 0, TRAINING), ("c/bare/1.png", 2, 1, TEST), ("g/1.png", 3, 1, TEST),
            ("g/1.png", 3, 1, TEST)]  # fmt: skip
    names, origins, labels, sides = (list(column) for column in zip(*rows, strict=True))
    n = len(rows)
    crops = FaceCrops(
        np.zeros((n, SIDE, SIDE, 3), np.uint8), np.zeros((n, 5, 2), np.float32), np.array(labels),
        np.array(origins), np.full(n, 40, np.float32), names,  # type: ignore[arg-type]
    )  # fmt: skip
    data = ClassifierData(crops, np.array(sides), sources, None, 0, None, None, (), ())  # type: ignore[arg-type]
    return data, found


def test_pictures_of_a_side(split: tuple[ClassifierData, dict[str, Faces]], tmp_path: Path) -> None:
    data, found = split
    scene, photo, crop, group = pictures_on_side(data, tmp_path, found)
    assert scene.boxes.tolist() == [[0, 0, 30, 30], [40, 0, 70, 30]]  # as drawn, whatever was found
    assert (scene.labels.tolist(), scene.ignore.tolist()) == ([0, 1], [False, True])
    # the main face counts, another one is not held against anybody, and a doubtful one is no face
    assert photo.boxes.tolist() == [[10, 10, 40, 40], [50, 10, 70, 30]]
    assert (photo.labels.tolist(), photo.ignore.tolist()) == ([0, 0], [False, True])
    assert [p.bordered for p in (scene, photo, crop, group)] == [False, False, True, False]
    assert crop.labels.tolist() == [1]
    assert group.ignore.tolist() == [False, False, True]  # all sure faces of bare people count
    assert group.labels[:2].tolist() == [1, 1]
    learnt = pictures_on_side(data, tmp_path, found, TRAINING)
    assert [p.path.name for p in learnt] == ["2.png", "2.png"]


def test_a_crop_gets_a_border_and_its_box_moves_along(tmp_path: Path) -> None:
    file = picture(tmp_path, "a.png")
    box = np.array([[-2, 4, 78, 50]], np.float32)
    plain = AnnotatedPicture(file, box, np.zeros(1, np.int64), np.zeros(1, np.bool_))
    bordered = AnnotatedPicture(file, box, plain.labels, plain.ignore, bordered=True)
    (image, _), (wide, moved) = plain.read(), bordered.read()
    border = round(BORDER * 80)
    assert wide.shape == (60 + 2 * border, 80 + 2 * border, 3)
    assert np.array_equal(wide[border:-border, border:-border], image)
    assert (moved - box).tolist() == [[border] * 4]


def test_a_size_that_is_not_the_annotated_one(tmp_path: Path) -> None:
    none = np.zeros(0)
    wrong = AnnotatedPicture(picture(tmp_path, "a.png"), none.reshape(0, 4), none, none, size=(60, 80))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="80×60 pixels upright, but annotated as 60×80"):
        wrong.read()


class Seer:
    name = "seer"

    def detect(self, images: list[Image]) -> list[Faces]:
        boxes = [[1, 1, 31, 31], [41, 1, 71, 31]]
        return [Faces(boxes, [0.9, 0.8], np.stack([POINTS, POINTS + 40])) for _ in images]


def test_given_faces_of_pictures_have_the_references_landmarks(
    split: tuple[ClassifierData, dict[str, Faces]], tmp_path: Path
) -> None:
    scenes = pictures_of_scenes(tmp_path / "s")
    first, second = given_in_pictures(scenes, Seer())  # type: ignore[arg-type]
    assert first.faces.boxes.tolist() == [[0, 0, 30, 30]]  # the annotated box; the crowd does not count
    assert np.array_equal(first.faces.landmarks[0], POINTS)
    assert first.labels.tolist() == [0]
    assert np.isnan(second.faces.landmarks).all()  # the reference sees it elsewhere
    assert (first.picture, second.picture) == (0, 1)
    assert first.image().shape == (60, 80, 3)


def noise_crops(labels: list[int]) -> FaceCrops:
    rng, n = np.random.default_rng(0), len(labels)
    return FaceCrops(
        rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8), rng.random((n, 5, 2), np.float32),
        np.array(labels), np.zeros(n, np.int64), np.full(n, 60, np.float32), [f"{i}.jpg" for i in range(n)],
    )  # fmt: skip


def test_given_crops() -> None:
    crops = noise_crops([0, 1])
    one, two = given_crops(crops)
    side = SIDE / MARGIN
    assert one.faces.boxes.tolist() == [[(SIDE - side) / 2] * 2 + [(SIDE + side) / 2] * 2]
    assert np.array_equal(two.image(), crops.images[1])
    assert np.array_equal(two.faces.landmarks[0], crops.landmarks[1])
    assert [int(one.labels[0]), int(two.labels[0])] == [0, 1]
    assert one.picture != two.picture


def test_digests_tell_tests_apart(tmp_path: Path) -> None:
    assert digest_of_crops(noise_crops([0, 1])) == digest_of_crops(noise_crops([0, 1]))
    assert digest_of_crops(noise_crops([0, 1])) != digest_of_crops(noise_crops([0, 2]))
    boxes = np.array([[0, 0, 9, 9]], np.float32)
    file = picture(tmp_path, "a.png")
    one, two = (AnnotatedPicture(file, boxes, np.array([k]), np.zeros(1, np.bool_)) for k in (0, 1))
    assert digest_of_pictures([one]) != digest_of_pictures([two])
    assert digest_of_pictures([one]) == digest_of_pictures([one])
