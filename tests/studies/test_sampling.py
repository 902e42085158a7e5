from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.evaluation.coco import Scene
from maskgate.studies.sampling import draw_faces
from maskgate.types import AVERAGE_LANDMARKS, Faces, Image

Boxes = Sequence[tuple[float, float, float, float]]
Draw = Callable[..., Scene]


class Boxed:
    """Finds each dark box that :func:`draw` made, but those whose red is 1."""

    name = "boxed"

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            values = sorted(set(np.unique(image[..., 0]).tolist()) - {1, 200})
            boxes = []
            for value in values:
                y, x = np.nonzero(image[..., 0] == value)
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
            array = np.array(boxes, np.float32).reshape(-1, 4)
            sides = (array[:, 2:] - array[:, :2])[:, None]
            marks = AVERAGE_LANDMARKS * sides + array[:, None, :2]
            found.append(Faces(array, np.ones(len(array), np.float32), marks))
        return found


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Saves a picture of 160×120 pixels with dark boxes, the n-th with red n, and its scene."""

    def make(name: str, boxes: Boxes, first: int = 2, ignore: Sequence[bool] = ()) -> Scene:
        image = np.full((120, 160, 3), 200, np.uint8)
        for n, (x1, y1, x2, y2) in enumerate(boxes):
            image[int(y1) : int(y2), int(x1) : int(x2)] = (first + n, 60, 60)
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        crowd = np.array(ignore or [False] * len(boxes), np.bool_)
        labels = np.arange(len(boxes), dtype=np.int64) % 3
        return Scene(path, 160, 120, np.array(boxes, np.float32).reshape(-1, 4), labels, crowd)

    return make


BIG: Boxes = [(10, 10, 40, 50), (60, 20, 100, 70)]


def test_faces_with_landmarks_in_their_views(draw: Draw) -> None:
    scenes = [draw("a", BIG), draw("none", []), draw("b", BIG[1:])]
    given, whole = draw_faces(scenes, Boxed(), None, None, 0)
    assert given.pictures.tolist() == whole.pictures.tolist() == [0, 0, 2]
    assert given.labels.tolist() == [0, 1, 0]
    assert list(given.numbers) == [0, 1, 2]
    assert (given.track, whole.track) == ("faces", "pictures")
    for sample in (given, whole):
        for view in sample.views:
            x1, y1, x2, y2 = view.box.astype(int)
            assert (view.image[y1:y2, x1:x2, 1] == 60).all()
            np.testing.assert_allclose(
                (view.landmarks - view.box[:2]) / view.sides, AVERAGE_LANDMARKS, atol=1e-5
            )
    assert whole.views[0].image.shape == (120, 160, 3)
    assert given.views[0].image.shape == (90, 85, 3)  # 60 around the centre (25, 30), as far as there is


def test_what_is_not_found_has_no_landmarks(draw: Draw) -> None:
    given, _ = draw_faces([draw("a", BIG, first=1)], Boxed(), None, 0, 0)
    assert [bool(np.isnan(view.landmarks).all()) for view in given.views] == [True, False]


def test_small_faces_and_crowds_are_left_alone(draw: Draw) -> None:
    scene = draw("a", [*BIG, (110, 10, 129, 40), (110, 60, 130, 80)], ignore=[True, False, False, False])
    given, _ = draw_faces([scene], Boxed(), None, 0, 0)
    assert list(given.numbers) == [1, 3]
    with pytest.raises(DataError, match="no face with sides of 20 px"):
        draw_faces([draw("b", [(0, 0, 19, 19)])], Boxed(), None, None, 0)


def test_the_seed_draws_and_the_pictures_are_among_the_faces(draw: Draw) -> None:
    scenes = [draw(f"p{k}", BIG) for k in range(10)]
    samples = [draw_faces(scenes, Boxed(), 8, 3, seed) for seed in (0, 0, 1)]
    numbers = [list(given.numbers) for given, _ in samples]
    assert numbers[0] == numbers[1] == sorted(numbers[0])
    assert numbers[0] != numbers[2]
    assert len(numbers[0]) == 8
    for given, whole in samples:
        assert len(whole.numbers) == 3
        assert set(whole.numbers) < set(given.numbers)
    assert samples[0][0].digest == samples[1][0].digest != samples[2][0].digest
    assert set(numbers[0]) < set(draw_faces(scenes, Boxed(), 12, 0, 0)[0].numbers)
    assert not draw_faces(scenes, Boxed(), 8, 0, 0)[1].views


def test_another_picture_is_another_one(draw: Draw) -> None:
    two = draw_faces([draw("a", BIG), draw("b", BIG[:1])], Boxed(), None, None, 0)[1]
    assert two.views[0].other is two.views[1].other is two.views[2].image
    assert two.views[2].other is two.views[0].image
    alone = draw_faces([draw("c", BIG)], Boxed(), None, 0, 0)[0]
    assert [view.other for view in alone.views] == [None, None]


def test_annotations_of_another_size(draw: Draw) -> None:
    scene = draw("a", BIG)
    wrong = Scene(scene.path, 120, 160, scene.boxes, scene.labels, scene.ignore)
    with pytest.raises(DataError, match=r"a\.png is 160×120 pixels upright, but annotated as 120×160"):
        draw_faces([wrong], Boxed(), None, 0, 0)
