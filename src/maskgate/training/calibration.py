"""Temperature and threshold, fitted on validation data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Row-wise probabilities of ``(N, K)`` logits divided by ``temperature`` > 0."""
    z = logits / temperature
    z = np.exp(z - z.max(1, keepdims=True))
    probabilities: Array = z / z.sum(1, keepdims=True)
    return probabilities


def negative_log_likelihood(logits: Array, labels: NDArray[np.int64], temperature: float) -> float:
    """Mean of -log p of the true class, in nats."""
    p = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(p, 1e-12)).mean())


def fit_temperature(logits: Array, labels: NDArray[np.int64]) -> float:
    """The temperature of least negative log likelihood (Guo et al. 2017), within [0.2, 10].

    The likelihood has one minimum in log temperature: golden-section search.
    """
    low, high = np.log(0.2), np.log(10.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        left = negative_log_likelihood(logits, labels, float(np.exp(a)))
        right = negative_log_likelihood(logits, labels, float(np.exp(b)))
        if left < right:
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


def fit_threshold(p_mask: Array, labels: NDArray[np.int64], wearers_accused: float) -> float:
    """The highest P(mask) threshold that accuses at most the share ``wearers_accused`` of the
    validation's mask wearers (label 0), within [0.05, 0.95]."""
    own = np.sort(p_mask[labels == 0])
    if not len(own):
        return 0.5
    allowed = int(np.floor(wearers_accused * len(own)))
    return float(np.clip(own[min(allowed, len(own) - 1)], 0.05, 0.95))
