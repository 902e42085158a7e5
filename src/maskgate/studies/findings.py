"""What a study's numbers say: starts set against each other, and the sentences that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.evaluation.metrics import bootstrap_interval
from maskgate.studies.results import Predictions, StudyRun, grouped
from maskgate.types import LABELS, Label

NOT_FACES = ("imagenet", "scratch")
"""Starts that were not learnt on faces."""

PAPER_EPOCHS = 10
"""Within so many epochs a face start has learnt, says the paper (Sec. V)."""

TESTS = ("held out", "cross-source")

_MASK = LABELS.index(Label.MASK)


@dataclass(frozen=True)
class Comparison:
    """Two starts of the same network, fine-tuned and tested on the same faces.

    Attributes:
        architecture: the network.
        face, other: names of the starts.
        test: which of TESTS.
        difference: accuracy of ``face`` less that of ``other``, runs averaged.
        low, high: 95 % bootstrap interval of it, see :func:`accuracy_difference`.
        runs: the smaller number of runs of the two starts.
    """

    architecture: str
    face: str
    other: str
    test: str
    difference: float
    low: float
    high: float
    runs: int

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no clear difference`` where the interval holds 0."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no clear difference"


def tests_of(runs: Sequence[StudyRun], test: str) -> list[Predictions] | None:
    """The runs' predictions for masks and bare faces; None where one lacks that test."""
    chosen = [run.test if test == "held out" else run.cross for run in runs]
    pairs = [p.pair() for p in chosen if p is not None]
    return pairs if len(pairs) == len(runs) and all(len(p) for p in pairs) else None


def correct(run: StudyRun, pair: Predictions) -> NDArray[np.bool_]:
    """``(N,)`` whether the run is right about each face of a test of masks and bare faces."""
    right: NDArray[np.bool_] = (pair.truth == _MASK) == (pair.probabilities[:, _MASK] >= run.threshold)
    return right


def same_faces(tests: Sequence[Predictions]) -> bool:
    """Whether all are about the same faces, as far as labels and pictures show it."""
    first = tests[0]
    return all(
        np.array_equal(first.truth, p.truth) and np.array_equal(first.groups, p.groups) for p in tests[1:]
    )


def accuracy_difference(
    one: Sequence[StudyRun], two: Sequence[StudyRun], test: str
) -> tuple[float, float, float] | None:
    """How much more accurate the runs ``one`` are than ``two``, with a 95 % bootstrap interval.

    Each round draws pictures, and runs of both sides, with replacement: so the interval covers the
    luck of the test and, with several seeds, that of the training. With one run a side it covers
    the first only. None where the test is lacking, or was of other faces.
    """
    tests = tests_of([*one, *two], test)
    if tests is None or not same_faces(tests):
        return None

    def right(runs: Sequence[StudyRun], pairs: Sequence[Predictions]) -> NDArray[np.float64]:
        return np.array([correct(run, p) for run, p in zip(runs, pairs, strict=True)], np.float64)

    mine, theirs = right(one, tests[: len(one)]), right(two, tests[len(one) :])
    generator = np.random.default_rng(0)

    def drawn(items: NDArray[np.intp]) -> float:
        parts = []
        for side in (mine, theirs):
            times = np.bincount(generator.integers(len(side), size=len(side)), minlength=len(side))
            parts.append(times / len(side) @ side)
        return float((parts[0] - parts[1])[items].mean())

    low, high = bootstrap_interval(drawn, tests[0].groups)
    return float(mine.mean() - theirs.mean()), low, high


def comparisons(runs: Sequence[StudyRun]) -> list[Comparison]:
    """Each face start against ImageNet and against nothing, on equal networks and equal faces."""
    return [c for c in _pairs(runs) if isinstance(c, Comparison)]


def _pairs(runs: Sequence[StudyRun]) -> list[Comparison | str]:
    """Comparisons, and in their place a sentence where two starts were tested on other faces."""
    tuned = [run for run in runs if run.strategy == "finetune"]
    out: list[Comparison | str] = []
    for architecture in dict.fromkeys(run.architecture for run in tuned):
        own = [run for run in tuned if run.architecture == architecture]
        starts = list(dict.fromkeys(run.start for run in own))
        for face in (s for s in starts if s not in NOT_FACES):
            for other in (s for s in NOT_FACES if s in starts):
                one, two = ([run for run in own if run.start == s] for s in (face, other))
                for test in TESTS:
                    if tests_of([*one, *two], test) is None:
                        continue
                    difference = accuracy_difference(one, two, test)
                    if difference is None:
                        out.append(f"{architecture}: '{face}' and '{other}' were tested on different "
                                   f"{test} faces and are not compared.")  # fmt: skip
                        continue
                    count = min(len(one), len(two))
                    out.append(Comparison(architecture, face, other, test, *difference, count))
    return out


def findings(runs: Sequence[StudyRun]) -> list[str]:
    """What came out, in sentences that follow from the numbers.

    Of the comparisons those with ImageNet are told, or where there is none, those with nothing;
    :func:`comparisons` has all.
    """
    pairs = _pairs(runs)
    found = [c for c in pairs if isinstance(c, Comparison)]
    lines = [_claim(found)]
    lines += _speed(runs)
    lines += [line for test in TESTS if (line := _ahead(runs, test))]
    told = [c for c in found if c.other == "imagenet"] or found
    lines += [_sentence(c) for c in told] + [text for text in pairs if isinstance(text, str)]
    if any(c.runs == 1 for c in found):
        lines.append("Where a start has one run only, the interval is of the test's pictures, and not of "
                     "the luck of training.")  # fmt: skip
    return lines


def _claim(found: Sequence[Comparison]) -> str:
    """The paper's claim about quality, counted over the comparisons with ImageNet."""
    with_imagenet = [c.verdict for c in found if c.other == "imagenet"]
    if not with_imagenet:
        return ("No run here sets a face start beside an ImageNet start of the same network, so nothing is "
                "said about the paper's claim that faces are the better start.")  # fmt: skip
    count = {v: with_imagenet.count(v) for v in ("better", "worse", "no clear difference")}
    if count["better"] == len(with_imagenet):
        head = "A face start beats ImageNet here"
    elif count["better"]:
        losing = " and loses in others" if count["worse"] else ""
        head = f"A face start beats ImageNet in some cases{losing}"
    else:
        head = "A face start does not beat ImageNet here"
    return (
        f"{head}: of {len(with_imagenet)} comparisons on equal networks and faces, it is better in "
        f"{count['better']}, worse in {count['worse']}, and shows no clear difference in "
        f"{count['no clear difference']}."
    )


def _speed(runs: Sequence[StudyRun]) -> list[str]:
    """The paper's claim about speed, for each network with a face start and another."""
    lines = []
    tuned = [run for run in runs if run.strategy == "finetune"]
    for architecture in dict.fromkeys(run.architecture for run in tuned):
        own = grouped([run for run in tuned if run.architecture == architecture])
        starts = {group[0].start: group for group in own.values()}
        if not set(starts) - set(NOT_FACES) or len(starts) < 2:
            continue
        parts = [f"'{start}' {100 * best_within(group):.2f} % ({_first(group, 0.95)})"
                 for start, group in starts.items()]  # fmt: skip
        lines.append(f"{architecture}, best validation accuracy within {PAPER_EPOCHS} epochs: "
                     + "; ".join(parts) + ".")  # fmt: skip
    return lines


def best_within(group: Sequence[StudyRun], epochs: int = PAPER_EPOCHS) -> float:
    """Highest validation accuracy in the first epochs, runs averaged."""
    best = [max(row["val_accuracy"] for row in run.epochs if row["epoch"] <= epochs) for run in group]
    return float(np.mean(best))


def _first(group: Sequence[StudyRun], accuracy: float) -> str:
    first = [
        next((int(row["epoch"]) for row in run.epochs if row["val_accuracy"] >= accuracy), None)
        for run in group
    ]
    known = sorted(e for e in first if e is not None)
    if len(known) < len(group):
        return f"{len(known)} of {len(group)} runs reach {100 * accuracy:.0f} %"
    epochs = f"epoch {known[0]}" if known[0] == known[-1] else f"epochs {known[0]} to {known[-1]}"
    return f"{100 * accuracy:.0f} % after {epochs}"


def _ahead(runs: Sequence[StudyRun], test: str) -> str | None:
    """Which group leads, and by how much over the next."""
    groups = {name: group for name, group in grouped(runs).items() if tests_of(group, test)}
    ranked = sorted(groups, key=lambda name: -_mean_accuracy(groups[name], test))
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    head = f"Ahead on {test} faces: {first}, with {100 * _mean_accuracy(groups[first], test):.2f} %"
    difference = accuracy_difference(groups[first], groups[second], test)
    if difference is None:
        return f"{head}; next is {second}, tested on different faces."
    points, low, high = (100 * v for v in difference)
    if not points:
        return f"{head}, level with {second} ({low:+.2f} to {high:+.2f} points)."
    lead = f"{head}, {points:.2f} points before {second} ({low:+.2f} to {high:+.2f})"
    return f"{lead}, which is no clear difference." if low <= 0 else f"{lead}."


def _mean_accuracy(group: Sequence[StudyRun], test: str) -> float:
    pairs = tests_of(group, test)
    assert pairs is not None
    return float(np.mean([correct(run, p).mean() for run, p in zip(group, pairs, strict=True)]))


def _sentence(c: Comparison) -> str:
    words = {"better": "is better than", "worse": "is worse than",
             "no clear difference": "shows no clear difference from"}[c.verdict]  # fmt: skip
    return (
        f"{c.architecture}, {c.test} faces: the start '{c.face}' {words} '{c.other}': "
        f"{100 * c.difference:+.2f} points of accuracy ({100 * c.low:+.2f} to {100 * c.high:+.2f})."
    )
