from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from maskgate.classification.softmax import softmax


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_softmax_against_scipy(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 50, (40, 3))
    logits[0] = [1e4, -1e4, 9e3]
    assert softmax(logits, temperature) == pytest.approx(
        scipy_softmax(logits / temperature, axis=1), abs=1e-12
    )
