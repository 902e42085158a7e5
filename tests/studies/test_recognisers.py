from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.classification import create_classifier
from maskgate.detection import create_detector
from maskgate.errors import DataError
from maskgate.models import RuntimeOptions
from maskgate.pipeline import MaskGate
from maskgate.studies.recognisers import recogniser_of
from maskgate.types import LABELS

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
