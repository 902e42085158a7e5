from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskgate.datasets.faces import LARGEST_CROP, cut_around, cut_face, find_faces
from maskgate.detection import Detector
from maskgate.types import Faces


def face(x1: float, y1: float, x2: float, y2: float) -> Faces:
    whole = Faces.whole_picture(int(x2 - x1), int(y2 - y1))
    corner = np.array([x1, y1], np.float32)
    return Faces([[x1, y1, x2, y2]], [0.9], whole.landmarks + corner)  # type: ignore[arg-type]


def test_smallest(detector: Detector, astronaut: np.ndarray) -> None:
    (found,) = find_faces(detector, astronaut, 40).boxes
    width = found[2] - found[0]
    assert len(find_faces(detector, astronaut, float(width) - 1)) == 1
    assert len(find_faces(detector, astronaut, float(width) + 1)) == 0


def test_close_ups_are_looked_at_with_a_border(detector: Detector, astronaut: np.ndarray) -> None:
    tight = np.ascontiguousarray(astronaut[45:180, 170:278])
    plain = find_faces(detector, astronaut, 0).boxes[0]
    found = find_faces(detector, tight, 0, close_ups=True)
    assert len(found) == 1
    assert found.boxes[0] + np.array([170, 45, 170, 45]) == pytest.approx(plain, abs=15)


def test_surroundings_by_hand() -> None:
    image = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)
    crop, corner = cut_around(image, np.array([40, 30, 60, 50], np.float32), 2.0)
    assert corner == (30, 20)
    assert np.array_equal(crop, image[20:60, 30:70])
    crop, corner = cut_around(image, np.array([90, 70, 110, 90], np.float32), 2.0)  # ends at the edge
    assert corner == (80, 60)
    assert np.array_equal(crop, image[60:, 80:])
    assert np.array_equal(cut_face(image, face(40, 30, 60, 50), 0, "surroundings", 2.0), image[20:60, 30:70])


@pytest.mark.parametrize("angle", [-25, 25])
def test_upright_turns_the_face(detector: Detector, astronaut: np.ndarray, angle: int) -> None:
    matrix = cv2.getRotationMatrix2D((224, 113), -angle, 1)
    turned = np.asarray(cv2.warpAffine(astronaut, matrix, (512, 512)), np.uint8)
    found = find_faces(detector, turned, 0)
    assert float(found.roll[0]) == pytest.approx(angle, abs=12)
    crops = [cut_face(turned, found, 0, cut, 2.0) for cut in ("upright", "surroundings")]
    assert crops[0].shape[0] == crops[0].shape[1]
    rolls = [float(find_faces(detector, crop, 0).roll[0]) for crop in crops]
    assert rolls == pytest.approx([0, angle], abs=12)


def test_size_is_bounded() -> None:
    image = np.zeros((2000, 3000, 3), np.uint8)
    assert cut_face(image, face(500, 300, 1500, 1500), 0, "upright", 2.0).shape[:2] == (512, 512)
    assert max(cut_face(image, face(500, 300, 1500, 1500), 0, "surroundings", 2.0).shape) == LARGEST_CROP
    assert cut_face(image, face(100, 100, 150, 160), 0, "upright", 2.0).shape[:2] == (120, 120)
