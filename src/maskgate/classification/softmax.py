"""Probabilities from scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(scores: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Row-wise probabilities of ``(N, K)`` scores divided by ``temperature`` > 0."""
    z = scores / temperature
    z = np.exp(z - z.max(1, keepdims=True))
    probabilities: NDArray[np.float64] = z / z.sum(1, keepdims=True)
    return probabilities
