from __future__ import annotations

import numpy as np
import pytest

from maskgate.detection.borders import clip_faces, take_border_off, with_border
from maskgate.types import Faces


@pytest.mark.parametrize(
    ("shape", "share", "border"), [((30, 50), 0.4, 20), ((7, 3), 0.4, 3), ((9, 9), 0.5, 4)]
)
def test_rim_is_repeated(shape: tuple[int, int], share: float, border: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    padded, width = with_border(image, share)
    assert width == border
    assert padded.dtype == np.uint8
    assert np.array_equal(padded, np.pad(image, ((border, border), (border, border), (0, 0)), "edge"))


def test_no_border_no_copy() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    assert with_border(image, 0.0) == (image, 0)


def test_faces_move_back_and_are_cut_by_hand() -> None:
    faces = Faces(
        np.array([[5, 20, 40, 45]], np.float32), np.ones(1, np.float32), np.full((1, 5, 2), 30, np.float32)
    )
    moved = take_border_off(faces, 10)
    assert moved.boxes.tolist() == [[-5, 10, 30, 35]]
    assert (moved.landmarks == 20).all()
    cut = clip_faces(moved, width=25, height=30)
    assert cut.boxes.tolist() == [[0, 10, 25, 30]]
    assert np.array_equal(cut.landmarks, moved.landmarks)
    assert {a.dtype for a in (cut.boxes, cut.landmarks)} == {np.dtype(np.float32)}
    assert len(clip_faces(take_border_off(Faces.empty(), 3), 5, 5)) == 0
