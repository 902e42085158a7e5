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

RED = Hand(
    np.broadcast_to(np.array([255, 0, 0], np.uint8), (90, 60, 3)).copy(), np.ones((90, 60), np.float32)
)


class FindsAstronaut:
    """Finds the face it is told of, unless much of the picture is red."""

    name = "astronaut"

    def __init__(self, faces: Faces, blind: bool = False) -> None:
        self.faces, self.blind = faces, blind

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self.faces.select([]) if self.blind and redness(i) > 0.001 else self.faces for i in images]


class RedIsMask:
    """P(mask) is 0.9 where the middle of the crop is red, and 0.2 elsewhere, with "incorrect" likeliest."""

    name = "red"
    crop = CropSpec("rotate", 64, 1.0)
    threshold = 0.5

    def classify(self, crops: Image) -> NDArray[np.float32]:
        return np.array(
            [[0.9, 0.05, 0.05] if redness(c) > 0.02 else [0.2, 0.3, 0.5] for c in crops], np.float32
        ).reshape(-1, 3)


def redness(image: Image) -> float:
    r, g, b = (image[..., k].astype(int) for k in range(3))
    return float(((r > 1.6 * g + 40) & (r > 1.6 * b + 40)).mean())


@pytest.fixture
def faces(astronaut_face: Faces) -> Faces:
    return astronaut_face


def test_before_and_after(astronaut: Image, faces: Faces) -> None:
    grey = np.repeat(astronaut.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    report = hand_test([lambda: grey] * 12, [RED], FindsAstronaut(faces), RedIsMask(), seed=4)
    assert (report.pictures, report.faces, report.lost_by_detector) == (12, 12, 0)
    assert (report.called_mask_before, report.called_incorrect_before) == (0, 1)
    assert report.called_mask_after > 0.8
    low, high = report.called_mask_interval
    assert low <= report.called_mask_after <= high
    assert report.called_mask_after + report.called_incorrect_after == pytest.approx(1)
    assert report == hand_test([lambda: grey] * 12, [RED], FindsAstronaut(faces), RedIsMask(), seed=4)
    strict = hand_test([lambda: grey] * 3, [RED], FindsAstronaut(faces), RedIsMask(), threshold=0.95)
    assert (strict.called_mask_after, strict.threshold) == (0, 0.95)


def test_a_lost_face_is_judged_where_it_was(astronaut: Image, faces: Faces) -> None:
    grey = np.repeat(astronaut.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    seen = hand_test([lambda: grey] * 5, [RED], FindsAstronaut(faces), RedIsMask(), seed=4)
    lost = hand_test([lambda: grey] * 5, [RED], FindsAstronaut(faces, blind=True), RedIsMask(), seed=4)
    assert lost.lost_by_detector == 1
    assert lost.called_mask_after == seen.called_mask_after


def test_nothing_to_test(astronaut: Image, faces: Faces) -> None:
    with pytest.raises(DataError, match="--hands"):
        hand_test([lambda: astronaut], [], FindsAstronaut(faces), RedIsMask())
    with pytest.raises(DataError, match="--faces"):
        hand_test([lambda: astronaut], [RED], FindsAstronaut(faces.select([])), RedIsMask())
