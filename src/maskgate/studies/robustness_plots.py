"""The study of robustness for readers: a plot a factor, and a table of where each method is weakest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskgate.studies.plots import level_curves
from maskgate.studies.robustness_results import Point, RobustnessCurve, RobustnessReport, Track

TRACKS: dict[Track, str] = {"faces": "given faces", "pictures": "end to end"}
"""What the tracks are called in texts."""

_PANELS = {
    "face_recall": "face recall",
    "accuracy": "accuracy mask / no mask",
    "recall_mask": "recall mask",
    "recall_no_mask": "recall no mask",
}


def robustness_plots(report: RobustnessReport) -> dict[tuple[Track, str], str]:
    """SVG by track and name of the factor, in the report's order; all methods are in each plot.

    The share of the faces that are found is drawn end to end only. A recall without faces of its kind, as
    with beards on masks, leaves a gap.
    """
    groups: dict[tuple[Track, str], list[RobustnessCurve]] = {}
    for curve in report.curves:
        groups.setdefault((curve.track, curve.factor), []).append(curve)
    tracks = [[c.method for c in report.curves if c.track == track] for track in TRACKS]
    order = list(dict.fromkeys(max(tracks, key=lambda methods: len(set(methods)))))
    return {key: _plot(*key, curves, order) for key, curves in groups.items()}


def _plot(track: Track, factor: str, curves: Sequence[RobustnessCurve], order: Sequence[str]) -> str:
    wanted = [name for name in _PANELS if track == "pictures" or name != "face_recall"]
    panels = {
        _PANELS[name]: {curve.method: [_value(point, name) for point in curve.points] for curve in curves}
        for name in wanted
    }
    first = curves[0]
    levels = [point.level for point in first.points]
    return level_curves(panels, levels, first.unit, f"{factor}, {TRACKS[track]}", log=first.log, order=order)


def _value(point: Point, name: str) -> tuple[float, float, float]:
    return getattr(point, name), *point.intervals[name]


TABLE_COLUMNS = (
    "factor", "track", "method", "accuracy as they are", "lowest", "95 % interval", "at", "faces",
    "lowest face recall",
)  # fmt: skip
"""Headings of :func:`robustness_rows`."""


def robustness_rows(report: RobustnessReport) -> list[list[str]]:
    """For each curve, the level with the lowest accuracy, beside the same faces as they are; and the lowest
    share of faces found at any level. Curves without :attr:`~RobustnessCurve.worst` have no row."""
    rows = []
    for curve in report.curves:
        worst = curve.worst
        if worst is None:
            continue
        low, high = worst.intervals["accuracy"]
        recalls = [point.face_recall for point in curve.points if np.isfinite(point.face_recall)]
        rows.append(
            [
                curve.factor, TRACKS[curve.track], curve.method, _share(worst.unperturbed["accuracy"]),
                _share(worst.accuracy), f"{_share(low)} to {_share(high)}",
                worst.level if isinstance(worst.level, str) else f"{worst.level:g}", str(worst.judged),
                _share(min(recalls)) if curve.track == "pictures" else "–",
            ]
        )  # fmt: skip
    return rows


def _share(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
