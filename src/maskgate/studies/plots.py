"""Plots of studies, as SVG text: no display, no global state of matplotlib."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from maskgate.evaluation.curves import precision_recall_curve, reliability, roc_band
from maskgate.evaluation.metrics import bootstrap_interval, expected_calibration_error, roc_auc, roc_curve
from maskgate.studies.results import ROUNDS, Predictions, seconds_of
from maskgate.types import LABELS

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#8B6F00")
"""Told apart by colour-blind eyes too (Okabe and Ito 2008)."""

Curve = Sequence[Mapping[str, float]]
"""Rows of one run, an epoch each."""


def svg(figure: Figure) -> str:
    """The figure as an SVG element, the same for the same figure."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "maskgate", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            out, metadata={"Date": None, "Creator": None}
        )
    text = out.getvalue()
    return text[text.index("<svg") :]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _tidy(axes: Axes, x: str, y: str, title: str = "") -> None:
    axes.set_xlabel(x)
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def styles_of(names: Sequence[str], starts: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Colour and line of each name: names with the same text up to the first comma, a start, share
    their colour and differ by their lines.

    ``starts`` are all those of a report, in one order: with them a start has the same colour in
    every plot, whichever others are beside it.
    """
    known = {"imagenet": COLOURS[0], "arcface": COLOURS[1], "face-metric": COLOURS[2], "scratch": COLOURS[6]}
    spare = itertools.cycle([*COLOURS[3:6], COLOURS[7]])
    for start in starts:
        if start not in known:
            known[start] = next(spare)
    seen: dict[str, int] = {}
    styles: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(names):
        start = name.split(",")[0]
        if start not in known:
            known[start] = next(spare)
        styles[name] = {"color": known[start], "ls": ("-", "--", ":", "-.")[seen.get(start, 0) % 4]}
        seen[start] = seen.get(start, 0) + 1
    return styles


def styles_in_order(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and line of each name by its place."""
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "ls": ("-", "--", ":")[i // len(COLOURS) % 3]}
        for i, name in enumerate(names)
    }


def _draw_runs(axes: Axes, curves: Sequence[Curve], key: str, style: Mapping[str, Any], name: str) -> None:
    """Every run thin, their mean thick."""
    shortest = min(len(c) for c in curves)  # of runs that stop early the mean ends first
    values = np.array([[row[key] for row in c[:shortest]] for c in curves])
    epochs = [row["epoch"] for row in curves[0][:shortest]]
    if len(curves) > 1:
        for curve in curves:
            x, y = [row["epoch"] for row in curve], [row[key] for row in curve]
            axes.plot(x, y, **style, lw=0.8, alpha=0.5)
    axes.plot(epochs, values.mean(0), **style, lw=2, label=name, marker="o", ms=3)


def four_panels(
    first: tuple[str, Sequence[Curve]], second: tuple[str, Sequence[Curve]], *, starts: Sequence[str] = ()
) -> str:
    """Fig. 6 of the paper: validation error and accuracy by epoch, for two starts one above the other.

    Each is a name and its runs. Scales are shared, so that the rows can be compared.
    """
    figure = _figure(8, 5.6)
    grid = figure.subplots(2, 2, sharex=True)
    styles = styles_of([first[0], second[0]], starts)
    for row, (name, curves) in enumerate((first, second)):
        for column, (key, what) in enumerate((("val_loss", "error"), ("val_accuracy", "accuracy"))):
            axes = grid[row][column]
            _draw_runs(axes, curves, key, styles[name], name)
            letter = "abcd"[2 * row + column]
            _tidy(axes, "epoch" if row else "", what, f"{letter}) {what}, start: {name}")
    for column in range(2):
        low = min(grid[r][column].get_ylim()[0] for r in range(2))
        high = max(grid[r][column].get_ylim()[1] for r in range(2))
        for r in range(2):
            grid[r][column].set_ylim(low, high)
    return svg(figure)


def learning_curves(runs: Mapping[str, Sequence[Curve]], *, starts: Sequence[str] = ()) -> str:
    """All starts in one: validation error and accuracy by epoch, accuracy by seconds of training."""
    figure = _figure(11, 3.8)
    left, middle, right = figure.subplots(1, 3)
    for name, style in styles_of(list(runs), starts).items():
        _draw_runs(left, runs[name], "val_loss", style, name)
        _draw_runs(middle, runs[name], "val_accuracy", style, name)
        for i, curve in enumerate(runs[name]):
            seconds = np.cumsum([seconds_of(row) for row in curve])
            accuracy = [row["val_accuracy"] for row in curve]
            right.plot(seconds, accuracy, **style, lw=1.5, alpha=0.8, label=name if i == 0 else None)
    _tidy(left, "epoch", "validation error (cross-entropy)")
    left.set_yscale("log")
    _tidy(middle, "epoch", "validation accuracy")
    _tidy(right, "seconds of training", "validation accuracy")
    middle.legend(fontsize=7, loc="lower right")
    return svg(figure)


def roc_curves(
    tests: Mapping[str, Predictions], title: str, *, zoom: float = 0.1, starts: Sequence[str] = (),
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:  # fmt: skip
    """Fig. 7: rates of true and false "mask", with area and its 95 % bootstrap interval; beside it the
    corner up to ``zoom``. The band of the first curve is drawn.

    Names are starts and get their colours as :func:`styles_of` gives them, or those of ``styles``.
    """
    figure = _figure(9, 4.2)
    whole, corner = figure.subplots(1, 2)
    chosen = styles_of(list(tests), starts) if styles is None else {name: styles[name] for name in tests}
    for i, (name, style) in enumerate(chosen.items()):
        pair = tests[name].pair()
        truth, score = pair.truth == 0, pair.probabilities[:, 0]
        curve = roc_curve(truth, score)
        low, high = _area_interval(truth, score, pair.groups)
        label = f"{name}: {curve.area:.4f} ({low:.4f} to {high:.4f})"
        for axes in (whole, corner):
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, **style, lw=1.6, label=label)
            if i == 0:
                rate, lower, upper = roc_band(truth, score, pair.groups, rounds=100)
                axes.fill_between(rate, lower, upper, color=style["color"], alpha=0.15, lw=0)
    _tidy(whole, "false positive rate", "true positive rate", title)
    _tidy(corner, "false positive rate", "", "the corner")
    corner.set_xlim(0, zoom)
    corner.set_ylim(1 - zoom, 1.002)
    corner.legend(fontsize=7, loc="lower right", title="area under the curve", title_fontsize=7)
    return svg(figure)


def _area_interval(
    truth: NDArray[np.bool_], score: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, float]:
    return bootstrap_interval(lambda k: roc_auc(truth[k], score[k]), groups, rounds=ROUNDS)


def precision_recall_curves(
    tests: Mapping[str, Predictions], title: str, *, starts: Sequence[str] = ()
) -> str:
    """Precision against recall of "mask": the corner, where all curves pass through it, else all."""
    figure = _figure(5, 4)
    axes = figure.subplots()
    floor = 0.8
    for name, style in styles_of(list(tests), starts).items():
        pair = tests[name].pair()
        precision, recall, _ = precision_recall_curve(pair.truth == 0, pair.probabilities[:, 0])
        axes.plot(recall, precision, **style, lw=1.6, label=name)
        if np.minimum(precision, recall).max() < 0.85:
            floor = 0.0
    _tidy(axes, "recall (completeness)", "precision", title)
    axes.set_xlim(floor, 1.002)
    axes.set_ylim(floor, 1.005)
    axes.legend(fontsize=7, loc="lower left")
    return svg(figure)


def confusion_matrices(matrices: Mapping[str, NDArray[np.integer[Any]]]) -> str:
    """``(3, 3)`` counts, truth down and call across, one matrix a test."""
    figure = _figure(4.2 * len(matrices), 3.6)
    row = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, matrix) in zip(row, matrices.items(), strict=True):
        shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i in range(len(matrix)):
            for j in range(len(matrix)):
                colour = "white" if shares[i, j] > 0.5 else "black"
                text = f"{matrix[i, j]}\n{shares[i, j]:.1%}"
                axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
        words = [str(label) for label in LABELS]
        axes.set_xticks(range(len(words)), words, fontsize=8)
        axes.set_yticks(range(len(words)), words, fontsize=8)
        axes.set_xlabel("called")
        axes.set_ylabel("truth")
        axes.set_title(name, fontsize=10)
    return svg(figure)


def reliability_diagrams(tests: Mapping[str, Predictions]) -> str:
    """Stated against met probability of the likeliest label, with the calibration error."""
    figure = _figure(4 * len(tests), 3.6)
    row = figure.subplots(1, len(tests), squeeze=False)[0]
    for axes, (name, p) in zip(row, tests.items(), strict=True):
        stated, right = p.probabilities.max(1), p.probabilities.argmax(1) == p.truth
        bins = reliability(stated, right)
        axes.plot([0, 1], [0, 1], color="#999999", lw=1, ls="--")
        used = bins.count > 0
        area = 8 + 90 * np.sqrt(bins.count[used] / bins.count.max())
        axes.scatter(bins.stated[used], bins.met[used], s=area, color=COLOURS[0], alpha=0.8)
        error = expected_calibration_error(stated, right)
        _tidy(axes, "stated probability", "share that was right", f"{name}: ECE {error:.4f}")
        axes.set_xlim(0.3, 1.02)
        axes.set_ylim(0, 1.02)
    return svg(figure)


def final_figures(values: Mapping[str, Mapping[str, Sequence[float]]], *, starts: Sequence[str] = ()) -> str:
    """A dot a run: for each figure (a panel), the values of each group."""
    names = list(dict.fromkeys(name for groups in values.values() for name in groups))
    styles = styles_of(names, starts)
    figure = _figure(3.4 * len(values), 0.9 + 0.3 * len(names))
    row = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axes, (title, groups) in zip(row, values.items(), strict=True):
        for y, name in enumerate(names):
            dots = list(groups.get(name, ()))
            axes.plot(dots, [y] * len(dots), "o", color=styles[name]["color"], ms=5, alpha=0.75)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        _tidy(axes, "", "", title)
    row[0].invert_yaxis()
    return svg(figure)


def accuracy_against_time(
    points: Sequence[tuple[str, float, float, int]], *, x: str = "milliseconds a face", y: str = "accuracy"
) -> str:
    """Networks as (name, milliseconds a face, accuracy, bytes of the file); the area of a dot grows
    with the file. Those that none is both faster and more accurate than are joined by a line."""
    figure = _figure(7, 4.4)
    axes = figure.subplots()
    for (name, milliseconds, accuracy, size), colour in zip(points, COLOURS * 9, strict=False):
        axes.scatter([milliseconds], [accuracy], s=20 + 12 * size / 1e6, color=colour, alpha=0.8)
        axes.annotate(name, (milliseconds, accuracy), xytext=(6, 4), textcoords="offset points", fontsize=7)
    best = pareto_front([(m, a) for _, m, a, _ in points])
    axes.plot([points[i][1] for i in best], [points[i][2] for i in best], color="#999999", lw=1, zorder=0)
    _tidy(axes, x, y)
    axes.set_xscale("log")
    return svg(figure)


def level_curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]], levels: Sequence[float | str],
    x: str, title: str = "", *, log: bool = False, order: Sequence[str] = (),
) -> str:  # fmt: skip
    """Figures of several methods by the level of something that is varied, with their intervals.

    Args:
        panels: by the figure's name, and by the method's: a value, lower and upper end for each level, NaN
            where there is none.
        levels: numbers, joined by lines with a band; or names, a dot with its interval each.
        x: name of the axis.
        title: above all panels.
        log: whether the axis of numbers is logarithmic.
        order: methods, also of other plots: a method's place gives its colour. Those that are not in it
            come after it, as they are in the first panel.
    """
    names = list(dict.fromkeys(name for methods in panels.values() for name in methods))
    styles = styles_in_order(list(dict.fromkeys([*order, *names])))
    named = any(isinstance(level, str) for level in levels)
    places = np.arange(len(levels)) if named else np.array(levels, np.float64)
    figure = _figure(0.6 + 3.4 * len(panels), 3.9 if named else 3.4)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (what, methods) in zip(row, panels.items(), strict=True):
        for name, rows in methods.items():
            value, low, high = np.array(rows, np.float64).reshape(-1, 3).T
            if named:
                # beside each other, so that none hides another
                shift = 0.6 * ((names.index(name) + 0.5) / len(names) - 0.5)
                axes.vlines(places + shift, low, high, color=styles[name]["color"], lw=1.2, alpha=0.6)
                axes.plot(places + shift, value, "o", color=styles[name]["color"], ms=4, label=name)
            else:
                axes.fill_between(places, low, high, color=styles[name]["color"], alpha=0.13, lw=0)
                axes.plot(places, value, **styles[name], lw=1.6, marker="o", ms=3, label=name)
        _tidy(axes, x, "", what)
        if named:
            axes.set_xticks(places, [str(level) for level in levels], rotation=35, ha="right", fontsize=8)
        elif log:
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{level:g}" for level in places], fontsize=7)
            axes.minorticks_off()
    row[0].legend(fontsize=7, loc="lower left")
    figure.suptitle(title, fontsize=11)
    return svg(figure)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, value) points that no other one beats in both, by rising cost."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front
