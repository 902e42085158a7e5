from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.errors import DataError
from maskgate.training.detector_boxes import BoxRecipe, BoxStyle, fit_box_style, restyle
from maskgate.training.detector_data import LabelledPicture
from maskgate.types import Faces

STYLE = BoxStyle(np.array([-0.1, 0.2, 0.05, 0.1], np.float32))


def faces(boxes: np.ndarray, score: float = 0.9) -> Faces:
    return Faces(boxes, np.full(len(boxes), score), np.zeros((len(boxes), 5, 2)))


def test_moved_by_hand() -> None:
    box = np.array([[10, 20, 50, 120]], np.float32)  # 40 × 100
    assert STYLE.move(box, 1.0) == pytest.approx(np.array([[6, 40, 52, 130]]))
    assert STYLE.move(box, 0.5) == pytest.approx(np.array([[8, 30, 51, 125]]))
    assert STYLE.move(box, 0.0) == pytest.approx(box)


def test_undone() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (20, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 80, (20, 2))], 1).astype(np.float32)
    assert STYLE.undo(STYLE.move(boxes, 1.0)) == pytest.approx(boxes, abs=1e-3)


def test_fitted_to_what_people_drew() -> None:
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(30):
        corner = np.array([[0, 0], [300, 0], [0, 300]]) + rng.uniform(0, 20, (3, 2))
        own = np.concatenate([corner, corner + rng.uniform(60, 100, (3, 2))], 1).astype(np.float32)
        drawn = STYLE.move(own, 1.0) + rng.normal(0, 1, (3, 4)).astype(np.float32)
        pairs.append((drawn, faces(own[rng.permutation(3)])))
    # neither faces that nobody drew nor those that the teacher is not sure of say anything
    pairs.append((np.array([[0, 0, 50, 50]], np.float32), faces(np.array([[5, 5, 55, 55.0]]), 0.3)))
    pairs.append((np.zeros((0, 4), np.float32), faces(np.array([[5, 5, 55, 55.0]]))))
    pairs.append((np.array([[0, 0, 50, 50]], np.float32), Faces.empty()))
    pairs.append((np.array([[0, 0, 50, 50]], np.float32), faces(np.array([[40, 40, 90, 90.0]]))))
    assert fit_box_style(pairs).offsets == pytest.approx(STYLE.offsets, abs=0.01)


def test_too_few_faces_to_fit_to() -> None:
    box = np.array([[0, 0, 50, 50]], np.float32)
    with pytest.raises(DataError, match=r"needs 20 faces .* there are 2;"):
        fit_box_style([(box, faces(box))] * 2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_both_kinds_of_boxes_end_alike(share: float) -> None:
    own = np.array([[10, 20, 50, 120]], np.float32)
    drawn = STYLE.move(own, 1.0)
    two = []
    for boxes, is_drawn in ((own, False), (drawn, True)):
        picture = LabelledPicture(
            Path("a.jpg"), boxes, np.ones((1, 5, 2), np.float32), np.ones(1, np.bool_), boxes + 7,
            np.zeros(1, np.int64),
        )  # fmt: skip
        styled = restyle(picture, STYLE, share, drawn=is_drawn)
        assert np.array_equal(styled.landmarks, picture.landmarks)
        assert np.array_equal(styled.ignore, picture.ignore)
        two.append(styled.boxes)
    assert two[0] == pytest.approx(two[1], abs=1e-4)
    assert two[0] == pytest.approx(own + share * (drawn - own), abs=1e-4)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(DataError, match="towards_drawn"):
        BoxRecipe(share)
