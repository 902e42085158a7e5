from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.errors import DataError
from maskgate.training.occlusion.hand_test import hand_test
from maskgate.training.occlusion.hands import Hand
from maskgate.types import Faces, Image

PLAIN = np.full((512, 512, 3), 128, np.uint8)
STRIPES = np.broadcast_to(
    np.where(np.arange(90) // 15 % 2, 255, 40).astype(np.uint8)[:, None, None], (90, 60, 3)
)
HAND = Hand(STRIPES.copy(), np.ones((90, 60), np.float32))


class FindsAstronaut:
    """Finds the face it is told of, unless it is blind and something lies on the plain picture."""

    name = "astronaut"

    def __init__(self, faces: Faces, blind: bool = False) -> None:
        self.faces, self.blind = faces, blind

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self.faces.select([]) if self.blind and covered(i) else self.faces for i in images]


class CoverIsMask:
    """P(mask) is 0.9 where something lies on the plain picture, and 0.2 elsewhere, with "incorrect"
    likeliest."""

    name = "cover"
    crop = CropSpec("rotate", 64, 1.0)
    threshold = 0.5

    def classify(self, crops: Image) -> NDArray[np.float32]:
        return np.array(
            [[0.9, 0.05, 0.05] if covered(c) else [0.2, 0.3, 0.5] for c in crops], np.float32
        ).reshape(-1, 3)


def covered(image: Image) -> bool:
    return bool(image.std() > 3)


@pytest.fixture
def faces(astronaut_face: Faces) -> Faces:
    return astronaut_face


def test_before_and_after(faces: Faces) -> None:
    report = hand_test([lambda: PLAIN] * 12, [HAND], FindsAstronaut(faces), CoverIsMask(), seed=4)
    assert (report.pictures, report.faces, report.lost_by_detector) == (12, 12, 0)
    assert (report.called_mask_before, report.called_incorrect_before) == (0, 1)
    assert report.called_mask_after > 0.8
    low, high = report.called_mask_interval
    assert low <= report.called_mask_after <= high
    assert report.called_mask_after + report.called_incorrect_after == pytest.approx(1)
    assert report == hand_test([lambda: PLAIN] * 12, [HAND], FindsAstronaut(faces), CoverIsMask(), seed=4)
    strict = hand_test([lambda: PLAIN] * 3, [HAND], FindsAstronaut(faces), CoverIsMask(), threshold=0.95)
    assert (strict.called_mask_after, strict.threshold) == (0, 0.95)


def test_poses_add_up(faces: Faces) -> None:
    report = hand_test([lambda: PLAIN] * 40, [HAND], FindsAstronaut(faces), CoverIsMask(), seed=1)
    assert set(report.by_pose) == {"fingers", "palm", "two"}  # a long hand makes no fist
    assert sum(own.faces for own in report.by_pose.values()) == 40
    masks = sum(own.faces * own.called_mask for own in report.by_pose.values())
    assert masks == pytest.approx(40 * report.called_mask_after)
    wrong = sum(own.faces * own.called_incorrect for own in report.by_pose.values())
    assert wrong == pytest.approx(40 * report.called_incorrect_after)


def test_a_lost_face_is_judged_where_it_was(faces: Faces) -> None:
    seen = hand_test([lambda: PLAIN] * 5, [HAND], FindsAstronaut(faces), CoverIsMask(), seed=4)
    blind = FindsAstronaut(faces, blind=True)
    lost = hand_test([lambda: PLAIN] * 5, [HAND], blind, CoverIsMask(), seed=4)
    assert lost.lost_by_detector == 1
    assert lost.called_mask_after == seen.called_mask_after


def test_nothing_to_test(faces: Faces) -> None:
    with pytest.raises(DataError, match="--hands"):
        hand_test([lambda: PLAIN], [], FindsAstronaut(faces), CoverIsMask())
    with pytest.raises(DataError, match="--faces"):
        hand_test([lambda: PLAIN], [HAND], FindsAstronaut(faces.select([])), CoverIsMask())
