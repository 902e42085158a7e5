from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("matplotlib")

from maskgate.studies import plots
from maskgate.studies.robustness_plots import TABLE_COLUMNS, robustness_plots, robustness_rows
from maskgate.studies.robustness_results import Point, RobustnessCurve, RobustnessReport, Track

NAN = float("nan")


def curve_of(
    method: str, accuracies: dict[float | str, float], track: Track = "faces", factor: str = "noise"
) -> RobustnessCurve:
    points = [
        Point(
            level, 14, 12, 0.7 if track == "pictures" else 1.0, a, a, NAN, 0.5, NAN, a - 0.95,
            {"accuracy": 0.95, "face_recall": 1.0},
            dict.fromkeys(("accuracy", "recall_mask", "face_recall"), (a - 0.1, a + 0.1))
            | {"recall_no_mask": (NAN, NAN)},
        )
        for level, a in accuracies.items()
    ]  # fmt: skip
    return RobustnessCurve(method, factor, 3, track, "grey values", False, tuple(points))


LEVELS: dict[float | str, float] = {0: 0.9, 10: 0.8, 20: NAN, 30: 0.6}
NAMES: dict[float | str, float] = {"as it is": 0.9, "glasses": 0.8}
REPORT = RobustnessReport(
    10, 4, 0, 0, "d",
    (curve_of("a", LEVELS), curve_of("b", LEVELS), curve_of("a", NAMES, "pictures", "occluders"),
     curve_of("none", {1: NAN}, "pictures", "size")),
)  # fmt: skip


def test_a_plot_for_each_factor_and_track() -> None:
    drawn = robustness_plots(REPORT)
    assert list(drawn) == [("faces", "noise"), ("pictures", "occluders"), ("pictures", "size")]
    for text in drawn.values():
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn == robustness_plots(REPORT)
    noise = drawn["faces", "noise"].lower()
    assert plots.COLOURS[0].lower() in noise
    assert plots.COLOURS[1].lower() in noise
    assert plots.COLOURS[1].lower() not in drawn["pictures", "occluders"].lower()


def test_a_method_has_the_same_colour_in_every_plot() -> None:
    curves = (curve_of("b", LEVELS), curve_of("a", LEVELS, "pictures"), curve_of("b", LEVELS, "pictures"))
    drawn = robustness_plots(RobustnessReport(10, 4, 0, 0, "d", curves))
    alone = drawn["faces", "noise"].lower()
    assert plots.COLOURS[1].lower() in alone
    assert plots.COLOURS[0].lower() not in alone


def test_the_table_by_hand() -> None:
    rows = robustness_rows(REPORT)
    assert {len(row) for row in rows} == {len(TABLE_COLUMNS)}
    assert rows == [
        ["noise", "given faces", "a", "0.950", "0.600", "0.500 to 0.700", "30", "12", "–"],
        ["noise", "given faces", "b", "0.950", "0.600", "0.500 to 0.700", "30", "12", "–"],
        ["occluders", "end to end", "a", "0.950", "0.800", "0.700 to 0.900", "glasses", "12", "0.700"],
    ]
