"""The figures of compared methods: each one's own, and the default method's lead over the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.evaluation import metrics
from maskgate.studies.answers import TestAnswers
from maskgate.studies.findings import same_faces
from maskgate.studies.results import ROUNDS, figures_of
from maskgate.studies.robustness_results import RobustnessReport
from maskgate.types import LABELS, Label

_MASK, _NO_MASK, _INCORRECT = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))

Track = Literal["given", "pictures"]
"""On given faces, or end to end."""

Test = tuple[str, Track]
"""Which faces (``train``, ``test`` or ``cross``), and how they are asked for."""

TESTS: Mapping[Test, str] = {
    ("train", "given"): "faces learnt from, given",
    ("test", "given"): "held-out faces, given",
    ("test", "pictures"): "held-out pictures, end to end",
    ("cross", "given"): "cross-source faces, given",
    ("cross", "pictures"): "cross-source pictures, end to end",
}
"""All tests and their names."""

_OWN = (
    "faces", "accuracy", "accuracy_interval", "recall", "recall_no_mask", "precision", "roc_auc",
    "roc_auc_interval", "incorrect_flagged",
)  # fmt: skip
"""Figures of :func:`~maskgate.studies.results.figures_of` that do not ask for three labels."""


@dataclass(frozen=True)
class Speed:
    """Medians in milliseconds.

    Attributes:
        per_picture: end to end, decoding left out.
        per_face: one given face, cut out and judged.
    """

    per_picture: float
    per_face: float


@dataclass(frozen=True, eq=False)
class MethodResult:
    """A compared method and all that it said.

    Attributes:
        name, title, models: of the method.
        bytes: of its models' files; None where nobody knows.
        finds: labels of the faces that it looks for.
        threshold: P(mask) from which a face counts as masked.
        answers: by test; those that were not made are missing.
        speed: None where it was not taken.
    """

    name: str
    title: str
    models: tuple[str, ...]
    bytes: int | None
    finds: tuple[Label, ...]
    threshold: float
    answers: Mapping[Test, TestAnswers]
    speed: Speed | None = None

    @property
    def masked_only(self) -> bool:
        """It looks for masked faces and no others."""
        return self.finds == (Label.MASK,)

    @cached_property
    def figures(self) -> Mapping[Test, Mapping[str, Any]]:
        """:func:`method_figures` by test, in the order of TESTS."""
        return {test: f for test in TESTS if (f := method_figures(self, test)) is not None}

    def judged(self, test: Test) -> TestAnswers | None:
        """The answers that accuracy and ROC are taken from: on the faces that it found, or on all where
        a face that it does not find counts as not masked. None where the test was not made."""
        answers = self.answers.get(test)
        if answers is None or self.masked_only:
            return answers
        return answers.select(answers.found)

    def found(self, answers: TestAnswers) -> NDArray[np.bool_]:
        """``(N,)`` bool: found, by a method for masked faces at its threshold."""
        if not self.masked_only:
            return answers.found
        reached: NDArray[np.bool_] = answers.faces.probabilities[:, _MASK] >= self.threshold
        return answers.found & reached

    def right(self, answers: TestAnswers) -> NDArray[np.bool_]:
        """``(N,)`` bool: found where it looks for such faces, and "masked" or "not masked" is right."""
        masked = answers.faces.probabilities[:, _MASK] >= self.threshold
        told = np.ones(len(answers), np.bool_) if self.masked_only else answers.found
        right: NDArray[np.bool_] = told & (masked == (answers.faces.truth == _MASK))
        return right


def majority(answers: TestAnswers) -> float:
    """Accuracy of always saying the commoner of ``mask`` and ``no_mask``; NaN without such faces."""
    counts = np.bincount(answers.faces.truth, minlength=len(LABELS))[[_MASK, _NO_MASK]]
    return float(counts.max() / counts.sum()) if counts.sum() else float("nan")


def method_figures(result: MethodResult, test: Test) -> dict[str, Any] | None:
    """All figures of one test; None where it was not made. Shares are in [0, 1].

    ``accuracy``, ``recall`` (of masks), ``recall_no_mask``, ``precision`` and ``roc_auc`` are of ``mask``
    against ``no_mask`` faces, of :meth:`MethodResult.judged`. End to end there are besides: ``face_recall``,
    of the annotated faces with labels that the method looks for; ``told_rightly``, the share of all
    ``mask`` and ``no_mask`` faces that are found and judged rightly; ``false_faces_per_picture``.
    """
    every, judged = result.answers.get(test), result.judged(test)
    if every is None or judged is None:
        return None
    own = figures_of(judged.faces, result.threshold)
    figures: dict[str, Any] = {name: own[name] for name in _OWN} | {"majority": majority(every)}
    if test[1] == "given":
        return figures
    wanted = every.select(np.isin(every.faces.truth, [LABELS.index(label) for label in result.finds]))
    pair = every.select(every.faces.truth != _INCORRECT)
    found, right = result.found(wanted), result.right(pair)
    return figures | {
        "faces": len(every),
        "pictures": every.pictures,
        "face_recall": _share(found),
        "face_recall_interval": _interval(found, wanted.faces.groups),
        "told_rightly": _share(right),
        "told_rightly_interval": _interval(right, pair.faces.groups),
        "false_faces_per_picture": every.false / every.pictures if every.pictures else float("nan"),
    }


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def _interval(hits: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[float, float]:
    return metrics.bootstrap_interval(lambda i: _share(hits[i]), groups, rounds=ROUNDS)


@dataclass(frozen=True)
class Difference:
    """The default method less another one, on the same faces.

    Attributes:
        default, other: names.
        test: of TESTS.
        figure: ``accuracy`` or ``roc_auc`` on given faces, ``told_rightly`` end to end.
        difference: of the figure.
        low, high: 95 % bootstrap interval; pictures are drawn, the same ones for both.
    """

    default: str
    other: str
    test: Test
    figure: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no clear difference`` where the interval holds 0."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no clear difference"


def differences(results: Sequence[MethodResult], default: str) -> list[Difference]:
    """The default method against each other one, on every test but the faces learnt from."""
    first = next(result for result in results if result.name == default)
    out = []
    for test in TESTS:
        for other in results:
            if other is first or test[0] == "train":
                continue
            one, two = first.answers.get(test), other.answers.get(test)
            if one is None or two is None or not same_faces([one.faces, two.faces]):
                continue
            pair = one.faces.truth != _INCORRECT
            if pair.any():
                out += _differences(first, other, test, one.select(pair), two.select(pair))
    return out


def _differences(
    first: MethodResult, other: MethodResult, test: Test, one: TestAnswers, two: TestAnswers
) -> list[Difference]:
    groups, truth = one.faces.groups, one.faces.truth == _MASK
    apart = first.right(one).astype(np.float64) - other.right(two)
    name = "accuracy" if test[1] == "given" else "told_rightly"
    low, high = metrics.bootstrap_interval(lambda i: float(apart[i].mean()), groups, rounds=ROUNDS)
    out = [Difference(first.name, other.name, test, name, float(apart.mean()), low, high)]
    if test[1] == "given" and truth.any() and not truth.all():
        p, q = (answers.faces.probabilities[:, _MASK] for answers in (one, two))

        def area(i: NDArray[np.intp]) -> float:
            return metrics.roc_auc(truth[i], p[i]) - metrics.roc_auc(truth[i], q[i])

        low, high = metrics.bootstrap_interval(area, groups, rounds=ROUNDS)
        out.append(
            Difference(first.name, other.name, test, "roc_auc", area(np.arange(len(truth))), low, high)
        )
    return out


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that a comparison found out.

    Attributes:
        results: one a method, in the recipe's order.
        default: name of the method that the others are set against.
        robustness: by the paper's seven factors; None where it was not asked for.
    """

    results: tuple[MethodResult, ...]
    default: str
    robustness: RobustnessReport | None = None

    @cached_property
    def differences(self) -> Sequence[Difference]:
        """The default method against each other one."""
        return differences(self.results, self.default)

    @property
    def titles(self) -> Mapping[str, str]:
        """Of the methods, by name."""
        return {result.name: result.title for result in self.results}


def summarise_method(result: MethodResult) -> dict[str, Any]:
    """A method as plain values for JSON: the fields that others rely on first, then all figures.

    ``accuracy_train``, ``accuracy_test``, ``recall_test`` and ``roc_auc`` are of given faces, the first of
    those learnt from and the others of held-out ones, ``face_recall`` of the held-out pictures.
    ``cross_source`` is end to end; it is None without a cross-source test.
    """
    figures = result.figures
    train, test = figures.get(("train", "given")), figures.get(("test", "given"))
    whole, cross = figures.get(("test", "pictures")), figures.get(("cross", "pictures"))
    return {
        "name": result.name,
        "accuracy_train": train and train["accuracy"],
        "accuracy_test": test and test["accuracy"],
        "recall_test": test and test["recall"],
        "roc_auc": test and test["roc_auc"],
        "face_recall": whole and whole["face_recall"],
        "milliseconds_per_picture": result.speed and result.speed.per_picture,
        "milliseconds_per_face": result.speed and result.speed.per_face,
        "model_bytes": result.bytes,
        "cross_source": cross,
        "title": result.title,
        "models": list(result.models),
        "finds": [str(label) for label in result.finds],
        "threshold": result.threshold,
        "train": train,
        "test": test,
        "test_end_to_end": whole,
        "cross_source_given": figures.get(("cross", "given")),
    }
