"""Curves behind the figures of merit: precision against recall, reliability, bands around the ROC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError
from maskgate.evaluation.metrics import Bools, Floats, roc_curve


def precision_recall_curve(
    truth: Bools, scores: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of "score at least t" for each score t that occurs, falling.

    Args:
        truth: ``(N,)`` bool, at least one True.
        scores: ``(N,)`` floats.

    Returns precision, recall (rising) and thresholds, ``(K,)`` float64 each. Raises
    :class:`~maskgate.errors.InputError` where no face is true or the shapes differ.
    """
    if truth.shape != scores.shape or truth.ndim != 1 or not truth.any():
        raise InputError("a precision-recall curve wants as many scores as truths, and one that is true")
    levels, places = np.unique(scores.astype(np.float64), return_inverse=True)
    hits = np.bincount(places[truth], minlength=len(levels))[::-1].cumsum()
    called = np.bincount(places, minlength=len(levels))[::-1].cumsum()
    return hits / called, hits / hits[-1], levels[::-1]


def free_response(
    hits: Bools, scores: Floats, faces: int, pictures: int, limits: Sequence[float]
) -> list[float]:
    """Recall where the score is set so that a picture has at most so many false detections: points of the
    free-response ROC (Bunch et al. 1977), on which detectors with different scores can be compared.

    Args:
        hits: ``(N,)`` bool, detections of all pictures: whether each finds a face; the others are false.
        scores: ``(N,)`` floats; those of one score come together.
        faces, pictures: how many there are, 1 at least.
        limits: false detections a picture, one for each point.

    Returns recall in [0, 1] for each limit. Where even the lowest score leaves fewer false detections, it is
    the recall at that score: ask from a lower one to know more.

    Raises :class:`~maskgate.errors.InputError` where the shapes differ or there are no faces.
    """
    if hits.shape != scores.shape or hits.ndim != 1 or faces < 1 or pictures < 1:
        raise InputError("a free-response curve wants a score for each detection, and a face at least")
    levels, places = np.unique(scores.astype(np.float64), return_inverse=True)
    found = np.bincount(places[hits], minlength=len(levels))[::-1].cumsum() / faces
    false = np.bincount(places[~hits], minlength=len(levels))[::-1].cumsum() / pictures
    return [float(found[false <= limit].max(initial=0)) for limit in limits]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over stated probabilities, ``(B,)`` each.

    Attributes:
        stated: mean stated probability; NaN in an empty bin.
        met: share that came true; NaN in an empty bin.
        count: members.
    """

    stated: NDArray[np.float64]
    met: NDArray[np.float64]
    count: NDArray[np.int64]


def reliability(probabilities: Floats, outcomes: Bools, bins: int = 15) -> Reliability:
    """The bins that :func:`~maskgate.evaluation.metrics.expected_calibration_error` sums over."""
    p = probabilities.astype(np.float64)
    place = np.digitize(p, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        stated = np.bincount(place, p, minlength=bins) / count
        met = np.bincount(place, outcomes, minlength=bins) / count
    return Reliability(stated, met, count)


def roc_band(
    truth: Bools, scores: Floats, groups: NDArray[np.integer[Any]], *, level: float = 0.95, rounds: int = 200,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """A pointwise bootstrap band around a ROC curve, whole pictures being drawn.

    Returns false positive rates ``(201,)`` and the lower and upper true positive rate at each.
    """
    grid = np.concatenate([np.linspace(0, 0.1, 101), np.linspace(0.11, 1, 100)])
    _, members = np.unique(groups, return_inverse=True)
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        drawn = np.repeat(np.arange(len(truth)), times[members])
        if truth[drawn].all() or not truth[drawn].any():
            continue
        curve = roc_curve(truth[drawn], scores[drawn])
        # at a step the higher rate: the curve is what is reached at up to that false rate
        place = np.searchsorted(curve.false_positive_rate, grid, side="right") - 1
        rows.append(curve.true_positive_rate[place])
    low, high = np.quantile(np.array(rows), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return grid, low, high
