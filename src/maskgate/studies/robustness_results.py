"""What the study of robustness keeps: answers of methods, points, curves, and all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.evaluation.metrics import bootstrap_interval, roc_auc
from maskgate.files import plain, write_json
from maskgate.studies.perturbations import Level
from maskgate.studies.results import ROUNDS
from maskgate.types import LABELS, Label

_MASK, _NO_MASK, _INCORRECT = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))

Track = Literal["faces", "pictures"]
"""On given faces, or end to end."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a method says of N faces.

    Attributes:
        score: ``(N,)`` float64 P(mask); NaN where the face was not found.
        masked: ``(N,)`` bool, called mask.
    """

    score: NDArray[np.float64]
    masked: NDArray[np.bool_]

    @property
    def found(self) -> NDArray[np.bool_]:
        """``(N,)`` bool."""
        return ~np.isnan(self.score)


@dataclass(frozen=True)
class Point:
    """How a method does at one level. Shares are in [0, 1], and NaN where there is nothing to share out.

    Attributes:
        level: of the factor.
        faces: those that the change could be made on, whatever their label.
        judged: the found ``mask`` and ``no_mask`` faces among them.
        face_recall: share of them that is found; 1 on given faces.
        accuracy: share of the judged faces for which "called mask" is right.
        recall_mask: found ``mask`` faces called mask.
        recall_no_mask: found ``no_mask`` faces not called mask.
        incorrect_flagged: found ``incorrect`` faces not called mask.
        roc_auc: of P(mask), of the judged faces.
        change: accuracy less that of the same faces as they are, of those found both times.
        unperturbed: ``face_recall``, ``accuracy``, ``recall_mask`` and ``recall_no_mask`` of the same faces
            as they are: faces that a change cannot be made on drop out, so levels differ in their faces.
        intervals: 95% bootstrap intervals, whole pictures being drawn, of ``face_recall``, ``accuracy``,
            ``recall_mask``, ``recall_no_mask`` and ``change``.
    """

    level: Level
    faces: int
    judged: int
    face_recall: float
    accuracy: float
    recall_mask: float
    recall_no_mask: float
    incorrect_flagged: float
    roc_auc: float
    change: float
    unperturbed: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


FEWEST = 10
"""Of fewer faces an accuracy is luck."""


@dataclass(frozen=True)
class RobustnessCurve:
    """One method along one factor.

    Attributes:
        method, factor: names.
        number: which of the paper's seven factors it is.
        track: ``"faces"`` for given faces, ``"pictures"`` for end to end.
        unit: of the levels.
        log: whether they are drawn on a logarithmic axis.
        points: one a level, in the factor's order.
    """

    method: str
    factor: str
    number: int
    track: Track
    unit: str
    log: bool
    points: tuple[Point, ...]

    @property
    def worst(self) -> Point | None:
        """The point with the lowest accuracy, of those with :data:`FEWEST` judged faces or more."""
        known = [p for p in self.points if p.judged >= FEWEST and np.isfinite(p.accuracy)]
        return min(known, key=lambda point: point.accuracy, default=None)


@dataclass(frozen=True)
class RobustnessReport:
    """All curves.

    Attributes:
        faces: given faces that were drawn, before the changes leave some out.
        pictures: faces that were looked for end to end, each in its whole picture.
        without_landmarks: those of ``faces`` that the reference detector did not find.
        seed: of everything drawn by lot.
        reference: name of the detector that the landmarks come from.
        curves: by track, factor and method, in this order.
    """

    faces: int
    pictures: int
    without_landmarks: int
    seed: int
    reference: str
    curves: tuple[RobustnessCurve, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def point_of(
    level: Level, labels: NDArray[np.int64], pictures: NDArray[np.int64], usable: NDArray[np.bool_],
    before: Answers, after: Answers,
) -> Point:  # fmt: skip
    """The figures of N faces before and after a change.

    ``labels`` are places in LABELS, ``pictures`` the number of each face's picture, and ``usable`` says
    which faces the change could be made on; ``(N,)`` each.
    """
    two = usable & (labels != _INCORRECT)
    right_before, right = ((answers.masked == (labels == _MASK)) for answers in (before, after))
    judged, both = two & after.found, two & before.found & after.found
    difference = right[both].astype(np.float64) - right_before[both]
    parts = _parts(labels, usable, after, right)
    intervals = {name: _interval(hits[of], pictures[of]) for name, (hits, of) in parts.items()}
    unperturbed = _parts(labels, usable, before, right_before)
    return Point(
        level=level,
        faces=int(usable.sum()),
        judged=int(judged.sum()),
        **{name: _mean(hits[of]) for name, (hits, of) in parts.items()},
        incorrect_flagged=_mean(~after.masked[usable & after.found & (labels == _INCORRECT)]),
        roc_auc=roc_auc(labels[judged] == _MASK, after.score[judged]),
        change=_mean(difference),
        unperturbed={name: _mean(hits[of]) for name, (hits, of) in unperturbed.items()},
        intervals=intervals | {"change": _interval(difference, pictures[both])},
    )


def _parts(
    labels: NDArray[np.int64], usable: NDArray[np.bool_], answers: Answers, right: NDArray[np.bool_]
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each share, what is counted and of which faces."""
    found = usable & answers.found
    return {
        "face_recall": (answers.found, usable),
        "accuracy": (right, found & (labels != _INCORRECT)),
        "recall_mask": (right, found & (labels == _MASK)),
        "recall_no_mask": (right, found & (labels == _NO_MASK)),
    }


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _interval(values: NDArray[Any], groups: NDArray[np.int64]) -> tuple[float, float]:
    return bootstrap_interval(lambda i: float(values[i].mean()), groups, rounds=ROUNDS)


def save_points(points: Sequence[Point], file: Path) -> None:
    """Writes points as JSON, whole or not at all."""
    write_json(file, {"points": plain([asdict(point) for point in points])})


def load_points(file: Path) -> tuple[Point, ...] | None:
    """Reads what :func:`save_points` wrote; None where there is no such file or it is broken."""
    if not file.is_file():
        return None
    try:
        return tuple(_read_point(row) for row in json.loads(file.read_text("utf-8"))["points"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_point(row: Mapping[str, Any]) -> Point:
    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    values = {key: number(value) for key, value in row.items() if key not in ("unperturbed", "intervals")}
    unperturbed = {key: number(value) for key, value in row["unperturbed"].items()}
    intervals = {key: (number(low), number(high)) for key, (low, high) in row["intervals"].items()}
    return Point(**values, unperturbed=unperturbed, intervals=intervals)  # type: ignore[arg-type]
