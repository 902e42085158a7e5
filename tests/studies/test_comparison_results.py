"""Figures worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from maskgate.files import plain
from maskgate.studies.answers import TestAnswers
from maskgate.studies.comparison_results import Test, differences, majority, method_figures, summarise_method
from maskgate.studies.results import Predictions
from maskgate.types import Label

GIVEN: Test = ("test", "given")
WHOLE: Test = ("test", "pictures")
CROSS: Test = ("cross", "pictures")
TRUTH = [0, 0, 0, 1, 1, 2]
"""Three masks, two bare faces, a wrongly worn one: the faces of all answers."""

Make = Callable[..., Any]


def test_given_faces(result: Make) -> None:
    f = method_figures(result(), GIVEN)
    assert f is not None
    assert f["accuracy"] == pytest.approx(4 / 5)  # the third mask is missed
    assert f["recall"] == pytest.approx(2 / 3)
    assert f["recall_no_mask"] == 1
    assert f["roc_auc"] == pytest.approx(5 / 6)  # one of six pairs the wrong way round: 0.3 under 0.4
    assert f["incorrect_flagged"] == 0
    assert f["majority"] == pytest.approx(3 / 5)
    assert "face_recall" not in f
    assert method_figures(result(), CROSS) is None


def test_end_to_end(result: Make) -> None:
    f = method_figures(result(), WHOLE)
    assert f is not None
    assert f["faces"] == 6
    assert f["face_recall"] == pytest.approx(5 / 6)
    assert f["accuracy"] == pytest.approx(2 / 4)  # of the found: 0.9 and 0.4 are right
    assert f["recall"] == pytest.approx(1 / 2)
    assert f["told_rightly"] == pytest.approx(2 / 5)  # the missed one counts against it
    assert f["incorrect_flagged"] == 1
    assert f["false_faces_per_picture"] == pytest.approx(2 / 5)
    assert f["face_recall_interval"][0] < 5 / 6 < f["face_recall_interval"][1]


def test_what_looks_for_masked_faces_only(answers: Make, result: Make) -> None:
    """A missed face counts as not masked, one found with a low score too; recall is of masks."""
    whole = answers([0.9, 0.0, 0.3, 0.0, 0.6, 0.0], [True, False, True, False, True, False])
    cascade = result("cascade-cnn", (Label.MASK,), answers={WHOLE: whole})
    f = method_figures(cascade, WHOLE)
    assert f is not None
    assert f["face_recall"] == f["recall"] == pytest.approx(1 / 3)
    assert (
        f["accuracy"] == f["told_rightly"] == pytest.approx(2 / 5)
    )  # the first mask and the first bare face
    assert f["recall_no_mask"] == pytest.approx(1 / 2)
    # masks 0.9 0 0.3 against bare 0 0.6: 2 + 0.5 + 1 of 6 pairs
    assert f["roc_auc"] == pytest.approx(3.5 / 6)


def test_majority_counts_two_classes(answers: Make) -> None:
    assert majority(answers([0.5] * 6)) == pytest.approx(3 / 5)
    none = answers([0.5] * 6).select(np.array(TRUTH) == 2)
    assert math.isnan(majority(none))


def test_differences_of_the_default(answers: Make, result: Make) -> None:
    worse = answers([0.4, 0.1, 0.3, 0.6, 0.1, 0.5])  # of two classes it has the last one right
    default, other = result("default"), result("other", answers={GIVEN: worse})
    first, second = differences([other, default], "default")
    assert (first.default, first.other, first.test, first.figure) == ("default", "other", GIVEN, "accuracy")
    assert first.difference == pytest.approx(4 / 5 - 1 / 5)
    assert first.low <= first.difference <= first.high
    # pairs the other has right: 0.4, 0.1 and 0.3 against 0.6 and 0.1
    assert second.figure == "roc_auc"
    assert second.difference == pytest.approx(5 / 6 - 2.5 / 6)


def test_the_interval_of_a_difference_draws_pictures(result: Make) -> None:
    """Right on the same three of four faces, and one more in the fourth picture: 0 or 1/4 … 4/4."""
    truth, groups = np.array([0, 0, 1, 1]), np.arange(4)

    def one(p: list[float]) -> TestAnswers:
        rows = np.stack([np.array(p), 1 - np.array(p), np.zeros(4)], 1)
        return TestAnswers(Predictions(truth, rows, groups), np.ones(4, np.bool_), 0, 4)

    a = result("a", answers={GIVEN: one([0.9, 0.9, 0.1, 0.1])})
    b = result("b", answers={GIVEN: one([0.9, 0.9, 0.1, 0.6])})
    d = differences([a, b], "a")[0]
    assert d.difference == 0.25
    assert d.low == 0
    assert d.verdict == "no clear difference"
    assert differences([b, a], "b")[0].difference == -0.25


def test_other_faces_are_not_compared(answers: Make, result: Make) -> None:
    fewer = answers([0.5] * 6).select(np.arange(6) < 5)
    assert differences([result("a"), result("b", answers={GIVEN: fewer})], "a") == []


def test_fields_that_others_rely_on(result: Make) -> None:
    summary = json.loads(json.dumps(plain(summarise_method(result())), allow_nan=False))
    assert list(summary)[:10] == [
        "name", "accuracy_train", "accuracy_test", "recall_test", "roc_auc", "face_recall",
        "milliseconds_per_picture", "milliseconds_per_face", "model_bytes", "cross_source",
    ]  # fmt: skip
    assert summary["accuracy_train"] is None  # no such test here
    assert summary["accuracy_test"] == pytest.approx(0.8)
    assert summary["recall_test"] == pytest.approx(2 / 3)
    assert summary["face_recall"] == pytest.approx(5 / 6)
    assert summary["cross_source"] is None
    crossed = result(answers={CROSS: result().answers[WHOLE]})
    assert summarise_method(crossed)["cross_source"]["accuracy"] == pytest.approx(1 / 2)
