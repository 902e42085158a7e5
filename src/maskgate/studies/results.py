"""What a study keeps of each run, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.evaluation import metrics
from maskgate.files import npz_bytes, write_atomic
from maskgate.types import LABELS, Label

_MASK, _NO_MASK, _INCORRECT = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))

REACHED = (0.90, 0.95, 0.97, 0.98)
"""Validation accuracies whose epoch and time are reported."""

ROUNDS = 300
"""Of the bootstrap."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier says of N faces.

    Attributes:
        truth: ``(N,)`` int64 places in LABELS.
        probabilities: ``(N, 3)`` float64, rows sum to 1.
        groups: ``(N,)`` int64 number of each face's picture: bootstrap draws pictures, not faces.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth)

    def save(self, path: Path) -> None:
        """Writes an ``.npz`` file, whole or not at all."""
        arrays = npz_bytes(truth=self.truth, probabilities=self.probabilities, groups=self.groups)
        write_atomic(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Reads what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["truth"], arrays["probabilities"], arrays["groups"])

    def pair(self) -> Predictions:
        """The paper's two classes: without the faces whose mask is worn wrongly."""
        two = self.truth != _INCORRECT
        return Predictions(self.truth[two], self.probabilities[two], self.groups[two])

    @property
    def of_both_kinds(self) -> bool:
        """Whether there are faces with a mask and bare ones: without both no curve can be drawn."""
        return bool((self.truth == _MASK).any() and (self.truth == _NO_MASK).any())


@dataclass(frozen=True, eq=False)
class StudyRun:
    """One training and its tests.

    Attributes:
        start, start_description: the weights it began with.
        architecture, strategy, seed: of the training.
        parameters: number of weights.
        non_commercial: the start may be studied, but not be part of a product.
        epochs: rows of the curves: ``epoch``, ``seconds``, ``train_loss``, ``val_loss``,
            ``val_accuracy`` and more.
        threshold: P(mask) from which a face counts as masked, chosen on validation faces.
        train, test: faces of the training sources, learnt and held out.
        cross: faces of another origin, where there are any.
    """

    start: str
    start_description: str
    architecture: str
    strategy: str
    seed: int
    parameters: int
    non_commercial: bool
    epochs: tuple[Mapping[str, float], ...]
    threshold: float
    train: Predictions
    test: Predictions
    cross: Predictions | None


def name_of(run: StudyRun) -> str:
    """What a run is called in tables; runs that differ by their seed only share it."""
    strategy = "" if run.strategy == "finetune" else f", {run.strategy}"
    return f"{run.start}, {run.architecture}{strategy}"


def grouped(runs: Sequence[StudyRun]) -> dict[str, list[StudyRun]]:
    """Runs by :func:`name_of`, in their order."""
    groups: dict[str, list[StudyRun]] = {}
    for run in runs:
        groups.setdefault(name_of(run), []).append(run)
    return groups


def best_of(runs: Sequence[StudyRun]) -> StudyRun:
    """The run that ends with the lowest validation error: chosen without a look at the tests."""
    return min(runs, key=lambda run: run.epochs[-1]["val_loss"])


def quality(test: Predictions, threshold: float) -> dict[str, float]:
    """The paper's functional Q(f over φ(x), I_train, I_test), Sec. III-B: the share of the objects of
    I_test that the classifier calls rightly which the method φ built from I_train.

    ``test`` holds that classifier's answers for I_test. Returns ``two``: of mask and no mask, a face
    counting as masked where P(mask) reaches ``threshold``, faces with a mask worn wrongly left out;
    and ``three``: of all faces, by the likeliest label. In [0, 1]; NaN without such faces.
    """
    pair = test.pair()
    return {
        "two": metrics.accuracy(pair.truth == _MASK, pair.probabilities[:, _MASK] >= threshold),
        "three": metrics.accuracy(test.truth, test.probabilities.argmax(1)),
    }


def figures_of(p: Predictions, threshold: float) -> dict[str, Any]:
    """Figures of one test; ``accuracy``, ``recall``, ``recall_no_mask`` and ``roc_auc`` are of mask
    against no mask, with the faces left out whose mask is worn wrongly."""
    pair = p.pair()
    truth, score = pair.truth == _MASK, pair.probabilities[:, _MASK]
    called = score >= threshold
    right = truth == called
    likeliest = p.probabilities.argmax(1)
    wrong = p.truth == _INCORRECT
    return {
        "faces": len(p),
        "accuracy": metrics.accuracy(truth, called),
        "accuracy_interval": metrics.bootstrap_interval(
            lambda i: float(right[i].mean()), pair.groups, rounds=ROUNDS
        ),
        "recall": metrics.recall(truth, called),
        "recall_no_mask": metrics.recall(~truth, ~called),
        "precision": metrics.precision(truth, called),
        "roc_auc": metrics.roc_auc(truth, score),
        "roc_auc_interval": metrics.bootstrap_interval(
            lambda i: metrics.roc_auc(truth[i], score[i]), pair.groups, rounds=ROUNDS
        ),
        "incorrect_flagged": float((p.probabilities[wrong, _MASK] < threshold).mean())
        if wrong.any()
        else None,
        "accuracy_three": metrics.accuracy(p.truth, likeliest),
        "ece": metrics.expected_calibration_error(p.probabilities.max(1), likeliest == p.truth),
        "confusion": metrics.confusion_matrix(p.truth, likeliest, len(LABELS)).tolist(),
    }


def seconds_of(row: Mapping[str, float]) -> float:
    """Time that an epoch took: of the processor where training ran on it, since other work on the
    machine does not stretch that, else of the clock."""
    return row.get("cpu_seconds", row["seconds"])


def reached(epochs: tuple[Mapping[str, float], ...]) -> dict[str, Any]:
    """First epoch, and seconds of training up to its end, with each validation accuracy of REACHED."""
    seconds = np.cumsum([seconds_of(row) for row in epochs])
    out: dict[str, Any] = {}
    for wanted in REACHED:
        hit = next((i for i, row in enumerate(epochs) if row["val_accuracy"] >= wanted), None)
        out[f"{wanted:.2f}"] = (
            None if hit is None else {"epoch": int(epochs[hit]["epoch"]), "seconds": float(seconds[hit])}
        )
    return out


def summarise(run: StudyRun) -> dict[str, Any]:
    """A run as plain values for JSON: the fields that others rely on first, then more.

    ``quality`` is the paper's functional :func:`quality` on the held-out faces.
    """
    train, test = figures_of(run.train, run.threshold), figures_of(run.test, run.threshold)
    cross = figures_of(run.cross, run.threshold) if run.cross is not None else None
    return {
        "start": run.start,
        "architecture": run.architecture,
        "strategy": run.strategy,
        "seed": run.seed,
        "epochs": [{k: int(v) if k == "epoch" else v for k, v in row.items()} for row in run.epochs],
        "accuracy_train": train["accuracy"],
        "accuracy_test": test["accuracy"],
        "recall_test": test["recall"],
        "roc_auc": test["roc_auc"],
        "cross_source": cross,
        "start_description": run.start_description,
        "non_commercial": run.non_commercial,
        "parameters": run.parameters,
        "threshold": run.threshold,
        "seconds": float(sum(seconds_of(row) for row in run.epochs)),
        "reached": reached(run.epochs),
        "quality": quality(run.test, run.threshold),
        "train": train,
        "test": test,
    }
