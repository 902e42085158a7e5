"""Figures of merit as pure functions over arrays.

Shares are in [0, 1]; a share of nothing is NaN. ``truth`` and ``predicted`` are ``(N,)`` arrays, of
bool where a class is told from the rest. Wrong shapes raise :class:`~maskgate.errors.InputError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def _same_length(*arrays: NDArray[Any]) -> None:
    shapes = [array.shape for array in arrays]
    if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
        raise InputError(f"metrics take arrays of one dimension and equal length, not {shapes}")


def _share(hits: Bools) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Share of ``(N,)`` predictions, of any type, that equal the truth."""
    _same_length(truth, predicted)
    return _share(truth == predicted)


def recall(truth: Bools, predicted: Bools) -> float:
    """TP / (TP + FN): the share of the true ones that are predicted; the paper's completeness."""
    _same_length(truth, predicted)
    return _share(predicted[truth])


def precision(truth: Bools, predicted: Bools) -> float:
    """TP / (TP + FP): the share of the predicted ones that are true."""
    _same_length(truth, predicted)
    return _share(truth[predicted])


def confusion_matrix(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """``(classes, classes)`` int64 counts: rows are the truth, columns the prediction.

    Both arrays hold numbers from 0 to ``classes`` - 1.
    """
    _same_length(truth, predicted)
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Receiver operating characteristic.

    Attributes:
        false_positive_rate: ``(K,)`` float64, rising from 0 to 1; NaN without a negative.
        true_positive_rate: ``(K,)`` float64, rising from 0 to 1; NaN without a positive.
        thresholds: ``(K,)`` float64, falling from infinity: each score that occurs, once.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve in [0, 1] by the trapezoid rule, which counts a tie as half."""
        steps = np.diff(self.false_positive_rate)
        heights = (self.true_positive_rate[1:] + self.true_positive_rate[:-1]) / 2
        # a sum over nothing is 0, not NaN
        return float((steps * heights).sum()) if len(steps) else float("nan")


def roc_curve(truth: Bools, scores: Floats) -> RocCurve:
    """Rates of those with a score of at least each threshold.

    Equal scores make one point, so the order of ties has no influence.

    Args:
        truth: ``(N,)`` bool.
        scores: ``(N,)`` finite floats, higher for likelier true.
    """
    _same_length(truth, scores)
    if not np.isfinite(scores).all():
        raise InputError("scores hold NaN or infinity; a ROC curve needs finite ones")
    levels, places = np.unique(scores.astype(np.float64), return_inverse=True)
    hits = np.bincount(places[truth], minlength=len(levels))[::-1]
    alarms = np.bincount(places[~truth], minlength=len(levels))[::-1]
    with np.errstate(invalid="ignore"):
        true_rate = np.concatenate([[0], hits.cumsum()]) / np.float64(hits.sum())
        false_rate = np.concatenate([[0], alarms.cumsum()]) / np.float64(alarms.sum())
    return RocCurve(false_rate, true_rate, np.concatenate([[np.inf], levels[::-1]]))


def roc_auc(truth: Bools, scores: Floats) -> float:
    """P(score of a true one > score of a false one) + half P(equal), in [0, 1].

    NaN where either kind is absent. Arguments as for :func:`roc_curve`.
    """
    return roc_curve(truth, scores).area


def average_precision(hits: Bools, scores: Floats, positives: int) -> float:
    """COCO's average precision over the detections of one class in all pictures.

    The mean, over the recalls 0, 0.01 … 1, of the highest precision reached at that recall or a
    higher one; 0 where the recall is never reached (Lin et al. 2014, the 101-point form).

    Args:
        hits: ``(D,)`` bool, detections that found a face of the class; ignored ones left out.
        scores: ``(D,)`` floats; equal scores keep the order given.
        positives: evaluated faces of the class.

    In [0, 1]; NaN without a positive.
    """
    _same_length(hits, scores)
    if not positives:
        return float("nan")
    found = hits[np.argsort(-scores, kind="stable")].cumsum()
    reached = found / positives
    envelope = np.maximum.accumulate((found / np.arange(1, len(found) + 1))[::-1])[::-1]
    places = np.searchsorted(reached, np.linspace(0, 1, 101), side="left")
    # the entry after the last: a recall that is never reached
    return float(np.append(envelope, 0)[places].mean())


def brier_score(probabilities: Floats, outcomes: Bools) -> float:
    """Mean squared distance of ``(N,)`` probabilities and outcomes: 0 perfect, 1 worst (Brier 1950)."""
    _same_length(probabilities, outcomes)
    if not len(outcomes):
        return float("nan")
    return float(((probabilities.astype(np.float64) - outcomes) ** 2).mean())


def expected_calibration_error(probabilities: Floats, outcomes: Bools, bins: int = 15) -> float:
    """Mean distance of stated and met probability, in [0, 1] (Guo et al. 2017, eq. 3).

    The probabilities fall into ``bins`` of equal width, each with its upper edge (0 goes into the
    first); a bin's distance is that of its mean probability and its share of true outcomes, and
    weighs as much as the bin has members.

    Args:
        probabilities: ``(N,)`` in [0, 1]: of an event, or the confidence in a chosen class.
        outcomes: ``(N,)`` bool: the event came, or the chosen class was right.
    """
    _same_length(probabilities, outcomes)
    if not len(outcomes):
        return float("nan")
    p = probabilities.astype(np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probabilities lie outside 0 to 1")
    place = np.digitize(p, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    stated = np.bincount(place, p, minlength=bins)
    met = np.bincount(place, outcomes, minlength=bins)
    return float(np.abs(stated - met).sum() / len(p))


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: NDArray[np.integer[Any]],
    *,
    level: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval where items of a group are drawn together (Efron 1979).

    Faces of one picture share its light, camera and crowd: to draw them one by one would make the
    interval too narrow, so whole pictures are drawn, with replacement.

    Args:
        statistic: from ``(M,)`` indices of items, repeats among them, to a number; rounds in which
            it is NaN are left out.
        groups: ``(N,)`` the picture of each item.
        level: share of rounds inside, in (0, 1).
        rounds: number of draws.
        seed: of the draws; the same seed gives the same interval.

    Returns the lower and upper end; NaN where no round gave a number.
    """
    _same_length(groups)
    _, members = np.unique(groups, return_inverse=True)
    count = int(members.max()) + 1 if len(members) else 0
    generator = np.random.default_rng(seed)
    items = np.arange(len(members))
    values = []
    for _ in range(rounds if count else 0):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        values.append(statistic(np.repeat(items, times[members])))
    finite = np.array([v for v in values if np.isfinite(v)])
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
