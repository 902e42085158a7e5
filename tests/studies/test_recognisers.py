from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.classification import create_classifier
from maskgate.detection import LabelledFaces, create_detector
from maskgate.errors import DataError
from maskgate.models import RuntimeOptions
from maskgate.pipeline import MaskGate
from maskgate.studies.recognisers import recogniser_of
from maskgate.types import LABELS, Faces, Image

OPTIONS = RuntimeOptions(threads=1)


def detector(score: float | None) -> Any:
    return create_detector(None, OPTIONS, score=score)


def test_two_stages_are_the_pipeline(astronaut: np.ndarray) -> None:
    recogniser = recogniser_of("a", detector, create_classifier(None, OPTIONS))
    verdicts, expected = recogniser.gate(astronaut), MaskGate(threads=1)(astronaut)
    assert np.array_equal(verdicts.faces.boxes, expected.faces.boxes)
    assert np.array_equal(verdicts.probabilities, expected.probabilities)
    assert recogniser.given(astronaut, expected.faces) == pytest.approx(expected.probabilities, abs=1e-6)
    assert recogniser.threshold == expected.threshold
    assert recogniser.finds == LABELS


def test_a_detector_that_says_nothing_of_masks() -> None:
    with pytest.raises(DataError, match="method 'a' has no classifier"):
        recogniser_of("a", detector, None)


class Finder:
    """Our detector's faces; what is on them is told by the width of their boxes."""

    name = "finder"
    threshold = 0.3

    def __init__(self) -> None:
        self.detector = detector(None)

    def detect(self, images: Any) -> list[Faces]:
        return list(self.detector.detect(images))

    def find(self, images: Any) -> list[LabelledFaces]:
        return [LabelledFaces(f, self.judge(i, f)) for i, f in zip(images, self.detect(images), strict=True)]

    def judge(self, image: Image, faces: Faces) -> np.ndarray:
        p = (faces.boxes[:, 2] - faces.boxes[:, 0]) / image.shape[1]
        return np.stack([p, 1 - p, np.zeros_like(p)], 1)


def test_a_detector_that_says_what_is_on_faces(astronaut: np.ndarray) -> None:
    recogniser = recogniser_of("direct", lambda score: Finder(), None)
    verdicts = recogniser.gate(astronaut)
    faces = detector(None).detect([astronaut])[0]
    assert np.array_equal(verdicts.faces.boxes, faces.boxes)
    assert np.allclose(recogniser.given(astronaut, faces), verdicts.probabilities)
    assert (recogniser.threshold, recogniser.classifier, recogniser.finds) == (0.3, None, LABELS)
