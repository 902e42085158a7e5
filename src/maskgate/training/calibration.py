"""Temperature and threshold, fitted on validation data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskgate.classification.softmax import softmax

Array = NDArray[np.float64]


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


def fit_threshold(p_mask: Array, labels: NDArray[np.int64], width: float = 1.0) -> float:
    """The P(mask) threshold of least smoothed error, within [0.05, 0.95].

    Wearers (label 0) weigh as much as all others, among these ``no_mask`` (1) as much as
    ``incorrect`` (2). A face errs not by 0 or 1 but by a logistic curve of its distance to the
    threshold in log-odds, ``width`` wide: faces of other origin come out higher or lower by about as
    much, and faces with a wrong label, far on the other side, pull nowhere. 0.5 where all faces are
    of one kind.
    """
    present = [k for k in (1, 2) if (labels == k).any()]
    if not (labels == 0).any() or not present:
        return 0.5
    p = np.clip(p_mask, 1e-7, 1 - 1e-7)
    z = np.log(p / (1 - p))
    cuts = np.linspace(-np.log(19), np.log(19), 401)  # 0.05 to 0.95
    below = 1 / (1 + np.exp((z[None] - cuts[:, None]) / width))
    cost = below[:, labels == 0].mean(1)
    for k in present:
        cost = cost + (1 - below[:, labels == k]).mean(1) / len(present)
    return float(1 / (1 + np.exp(-cuts[int(cost.argmin())])))
