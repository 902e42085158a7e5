from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from maskgate.studies.robustness_results import (
    Answers,
    Point,
    RobustnessCurve,
    RobustnessReport,
    load_points,
    point_of,
    save_points,
)

NAN = float("nan")


def test_a_point_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 0, 1])
    usable = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)  # the last two are no part of anything
    before = Answers(np.array([0.5] * 4 + [NAN] + [0.5] * 3), np.array([1, 1, 1, 0, 0, 0, 1, 1], bool))
    after = Answers(np.array([0.9, 0.2, NAN, 0.1, 0.3, 0.8, 0, 1]), np.array([1, 0, 0, 0, 0, 1, 0, 1], bool))
    point = point_of(20, labels, np.arange(8), usable, before, after)
    assert (point.level, point.faces, point.judged) == (20, 6, 4)
    assert point.face_recall == pytest.approx(5 / 6)
    assert point.accuracy == 0.75
    assert (point.recall_mask, point.recall_no_mask, point.incorrect_flagged) == (0.5, 1, 0)
    assert point.roc_auc == 0.75
    # of the three found both times one got wrong
    assert point.change == pytest.approx(-1 / 3)
    assert point.unperturbed == pytest.approx(
        {"face_recall": 5 / 6, "accuracy": 1, "recall_mask": 1, "recall_no_mask": 1}
    )
    low, high = point.intervals["accuracy"]
    assert 0 <= low <= 0.75 <= high <= 1


def test_a_point_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    score = np.clip(0.35 * (1 - labels) + rng.uniform(0, 0.65, 400), 0, 1)
    answers = Answers(score, score >= 0.5)
    point = point_of("x", labels, np.arange(400), np.ones(400, bool), answers, answers)
    masked = labels == 0
    assert point.accuracy == pytest.approx(accuracy_score(masked, answers.masked))
    assert point.recall_mask == pytest.approx(recall_score(masked, answers.masked))
    assert point.recall_no_mask == pytest.approx(recall_score(~masked, ~answers.masked))
    assert point.roc_auc == pytest.approx(roc_auc_score(masked, score))
    low, high = point.intervals["accuracy"]
    spread = np.sqrt(point.accuracy * (1 - point.accuracy) / 400)  # of a binomial share
    assert (high - low) == pytest.approx(2 * 1.96 * spread, rel=0.2)
    assert point.intervals["change"] == (0, 0)


def test_faces_of_one_picture_are_drawn_together() -> None:
    labels = np.zeros(60, np.int64)
    masked = np.arange(60) < 30
    answers = Answers(masked.astype(np.float64), masked)
    alone, together = (
        point_of(0, labels, pictures, np.ones(60, bool), answers, answers).intervals["accuracy"]
        for pictures in (np.arange(60), np.arange(60) // 10)
    )
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def a_point(level: float | str = 1.0, accuracy: float = 0.5) -> Point:
    interval = {"accuracy": (0.4, 0.6), "recall_mask": (NAN, NAN)}
    return Point(level, 12, 10, 1.0, accuracy, NAN, 0.5, NAN, 0.7, -0.1, {"accuracy": 0.9}, interval)


def test_points_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "points.json"
    assert load_points(file) is None
    points = [a_point(1.5), a_point("glasses")]
    save_points(points, file)
    json.loads(file.read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    assert repr(load_points(file)) == repr(tuple(points))  # NaN does not equal itself


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": [{}]}', '{"points": [{"level": 1}]}', "null"])
def test_broken_files_are_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "points.json"
    file.write_text(text)
    assert load_points(file) is None


def test_the_worst_point() -> None:
    points = (a_point(1, 0.9), a_point(2, NAN), a_point(3, 0.4), a_point(4, 0.6))
    curve = RobustnessCurve("m", "noise", 3, "faces", "grey values", False, points)
    assert curve.worst is points[2]
    assert replace(curve, points=points[1:2]).worst is None
    few = replace(points[2], judged=9)  # as low by luck
    assert replace(curve, points=(few, points[3])).worst is points[3]


def test_report_as_json() -> None:
    curve = RobustnessCurve("m", "noise", 3, "faces", "grey values", False, (a_point(2.0),))
    values = RobustnessReport(9, 0, 1, 0, "retinaface", (curve,)).to_json()
    json.dumps(values, allow_nan=False)
    point = values["curves"][0]["points"][0]
    assert values["reference"] == "retinaface"
    assert (point["level"], point["accuracy"], point["recall_mask"]) == (2.0, 0.5, None)
    assert point["intervals"]["accuracy"] == [0.4, 0.6]
