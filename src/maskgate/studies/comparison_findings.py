"""What a comparison's numbers say, in sentences that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from maskgate.studies.comparison_results import TESTS, Comparison, MethodResult, Test

PAPER_TABLE_2: Mapping[str, tuple[float | None, float | None, float | None]] = {
    "mtcnn-facenet-svm": (99.7862, 82.4862, None),
    "pca": (None, 83.11, None),
    "cascade-cnn": (None, 86.6, 87.8),
    "retinaface-resnet": (99.8542, 91.5621, 92.4562),
}
"""Table II of the paper in %: accuracy on the learning and the test sample, completeness."""

WIDE = 0.1
"""By so much more than the commoner class a method's accuracy is called ahead of it by a wide margin."""


def comparison_findings(comparison: Comparison) -> list[str]:
    """What came out: the methods' order beside the paper's, the default's lead, who guesses, cost."""
    results = comparison.results
    figures = {test: {r.title: r.figures[test] for r in results if test in r.figures} for test in TESTS}
    lines = [line for test in TESTS if test[0] != "train" and (line := _order(results, figures[test], test))]
    lines += [line for test in TESTS if (line := _lead(comparison, test))]
    lines += _guessing(figures)
    timed = [result for result in results if result.speed is not None]
    if timed:
        parts = [f"{r.title} {r.speed.per_picture:.1f}" for r in timed if r.speed is not None]
        lines.append(f"Milliseconds a picture, on the same pictures in turn: {', '.join(parts)}.")
    return lines


def _order(
    results: Sequence[MethodResult], figures: Mapping[str, Mapping[str, Any]], test: Test
) -> str | None:
    """Methods by accuracy on a test; on given faces beside the paper's order."""
    key, of = _main_figure(test)
    known = {title: f[key] for title, f in figures.items() if math.isfinite(f[key])}
    if len(known) < 2:
        return None
    ranked = sorted(known, key=lambda title: -known[title])
    line = f"{_capital(TESTS[test])}, {of}: " + ", ".join(f"{t} {100 * known[t]:.2f} %" for t in ranked) + "."
    if test[1] != "given":
        return line
    printed = {r.title: p[1] for r in results if (p := PAPER_TABLE_2.get(r.name)) and r.title in known}
    paper = sorted(printed, key=lambda title: -(printed[title] or 0))
    if len(paper) < 2:
        return line
    same = [title for title in ranked if title in printed] == paper
    return f"{line} The paper's order is {'the same' if same else 'another one: ' + ', '.join(paper)}."


def _lead(comparison: Comparison, test: Test) -> str | None:
    """The default method against the best other one; the report's table has all of them."""
    key, of = _main_figure(test)
    rivals = [d for d in comparison.differences if d.test == test and d.figure == key]
    if not rivals:
        return None
    d = min(rivals, key=lambda d: d.difference)
    words = {
        "better": "is ahead of",
        "worse": "is behind",
        "no clear difference": "is not clearly apart from",
    }
    default, other = comparison.titles[d.default], comparison.titles[d.other]
    return (
        f"{_capital(TESTS[test])}: {default} {words[d.verdict]} {other}, the best other method, by "
        f"{100 * d.difference:+.2f} points of {of} ({100 * d.low:+.2f} to {100 * d.high:+.2f})."
    )


def _main_figure(test: Test) -> tuple[str, str]:
    """The figure that methods are ranked by, and what it is called."""
    return (
        ("accuracy", "accuracy") if test[1] == "given" else ("told_rightly", "faces found and told rightly")
    )


def _guessing(figures: Mapping[Test, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Methods that are not far ahead of always saying the commoner class."""
    lines = []
    for test in TESTS:
        if test[0] == "train" or test[1] != "given":
            continue
        for title, f in figures[test].items():
            if f["accuracy"] - f["majority"] < WIDE:
                own, common, masks, bare = (
                    f"{100 * f[key]:.2f} %" for key in ("accuracy", "majority", "recall", "recall_no_mask")
                )
                lines.append(
                    f"{_capital(TESTS[test])}: {title} has {own} where always saying the commoner class has "
                    f"{common}, which is no wide margin; it tells {masks} of the masks, {bare} of the bare "
                    "faces."
                )
    return lines


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
