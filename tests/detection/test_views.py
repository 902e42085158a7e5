"""Several views of a picture: their sizes, the mirror, and box voting worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from maskgate.detection import create_detector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.detection.views import MultiViewDetector, mirror_faces, vote
from maskgate.errors import InputError
from maskgate.models import RuntimeOptions
from maskgate.types import Faces, Image


def faces(*rows: tuple[float, float, float, float, float]) -> Faces:
    """From x1, y1, x2, y2 and score; landmarks are the corners and the first of them again."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    points = table[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 5, 2)
    return Faces(table[:, :4], table[:, 4], points)


def test_voting_on_paper() -> None:
    one = faces((0, 0, 40, 40, 0.9), (200, 0, 240, 40, 0.3))
    other = faces((4, 0, 44, 40, 0.6), (100, 0, 140, 40, 0.8))
    voted = vote([one, other], 0.4)
    np.testing.assert_allclose(voted.scores, [0.9, 0.8, 0.3])
    # (0.9 · 0 + 0.6 · 4) / 1.5 = 1.6
    np.testing.assert_allclose(
        voted.boxes, [[1.6, 0, 41.6, 40], [100, 0, 140, 40], [200, 0, 240, 40]], rtol=1e-6
    )
    np.testing.assert_allclose(voted.landmarks[0, 2], [41.6, 40], rtol=1e-6)


def test_boxes_far_from_the_best_one_stay_apart() -> None:
    """IoU with the best: 30 / 50 = 0.6; of the third, 20 / 60: it overlaps the second, which is gone."""
    chain = faces((0, 0, 40, 40, 0.9), (10, 0, 50, 40, 0.8), (20, 0, 60, 40, 0.7))
    assert len(vote([chain], 0.5)) == 2


def test_no_faces() -> None:
    assert len(vote([Faces.empty(), Faces.empty()], 0.4)) == 0


def test_mirror_by_hand() -> None:
    points = np.array([[[10, 5], [20, 6], [15, 10], [11, 15], [19, 16]]], np.float32)
    face = Faces(np.array([[8, 1, 24, 20]], np.float32), np.array([0.5], np.float32), points)
    mirrored = mirror_faces(face, 100)
    assert mirrored.boxes.tolist() == [[76, 1, 92, 20]]
    assert mirrored.landmarks.tolist() == [[[80, 6], [90, 5], [85, 10], [81, 16], [89, 15]]]
    back = mirror_faces(mirrored, 100)
    assert np.array_equal(back.boxes, face.boxes)
    assert np.array_equal(back.landmarks, face.landmarks)


class Recorder:
    """Stands for a RetinaFace: keeps the sizes of its views; finds 10 × 20 pixels at each one's corner."""

    name = "recorder"
    settings = RetinaFaceSettings()

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def prepare(self, images: list[Image], size: tuple[int, int]) -> np.ndarray:
        self.sizes.append(size)
        return np.zeros(0, np.float32)

    def run(self, blob: np.ndarray) -> tuple[np.ndarray, ...]:
        return (blob,)

    def decode(
        self, outputs: tuple[np.ndarray, ...], row: int, size: tuple[int, int], picture: tuple[int, int]
    ) -> Faces:
        factor = picture[0] / size[0]
        return faces((0, 0, 10 * factor, 20 * factor, 0.5))


def record(
    shape: tuple[int, int], scales: tuple[int, ...], flip: bool = False
) -> tuple[list[tuple[int, int]], Faces]:
    recorder = Recorder()
    detector = MultiViewDetector(cast(RetinaFaceDetector, recorder), scales, flip=flip)
    (found,) = detector.detect([np.zeros((*shape, 3), np.uint8)])
    return recorder.sizes, found


def test_sizes_of_views() -> None:
    # shorter side 300; at 600 both sides double; three times as wide, the longer one stops at 1.5 × 600
    assert record((300, 400), (600, 150))[0] == [(800, 600), (200, 150)]
    assert record((300, 900), (600,))[0] == [(900, 300)]
    assert record((300, 900), ())[0] == [(900, 300)]


def test_a_mirrored_view_finds_at_the_other_edge() -> None:
    sizes, found = record((100, 200), (), flip=True)
    assert sizes == [(200, 100)] * 2
    np.testing.assert_allclose(found.boxes, [[0, 0, 10, 20], [190, 0, 200, 20]])


@pytest.mark.parametrize("scale", [31, 8193])
def test_scales_out_of_range(scale: int) -> None:
    with pytest.raises(InputError, match=f"the scale {scale} is out of range"):
        record((100, 100), (scale,))


@pytest.fixture(scope="module")
def detector() -> RetinaFaceDetector:
    made = create_detector(None, RuntimeOptions(threads=1))
    assert isinstance(made, RetinaFaceDetector)
    return made


def test_one_view_in_the_own_size_is_the_detector_without_a_close_up(
    detector: RetinaFaceDetector, astronaut: Image
) -> None:
    plain = replace(detector.settings, close_up=0, long_side=4096, enlarge=1.0)
    (wanted,) = RetinaFaceDetector(detector.session, plain).detect([astronaut])
    (found,) = MultiViewDetector(detector).detect([astronaut])
    np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=1e-5)
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, rtol=1e-5)
    np.testing.assert_allclose(found.scores, wanted.scores)


def test_with_a_flip_the_mirrored_picture_has_the_mirrored_faces(
    detector: RetinaFaceDetector, astronaut: Image
) -> None:
    views = MultiViewDetector(detector, (320, 480), flip=True)
    (found,) = views.detect([astronaut])
    (turned,) = views.detect([np.ascontiguousarray(astronaut[:, ::-1])])
    assert len(found) == len(turned) > 0
    assert found.scores[0] > 0.9
    back = mirror_faces(turned, astronaut.shape[1])
    np.testing.assert_allclose(back.boxes, found.boxes, atol=0.01)
    np.testing.assert_allclose(back.landmarks, found.landmarks, atol=0.01)
