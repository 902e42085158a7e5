"""Tables worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from maskgate.studies.comparison_report import (
    cost_table,
    difference_table,
    given_table,
    roc_plots,
    table_2,
    whole_table,
)
from maskgate.studies.comparison_results import Comparison, Test
from maskgate.types import Label

GIVEN: Test = ("test", "given")
TRUTH = [0, 0, 0, 1, 1, 2]
"""Three masks, two bare faces, a wrongly worn one: the faces of all answers."""

Make = Callable[..., Any]


def test_table_2_has_the_papers_figures_beside_ours(answers: Make, result: Make) -> None:
    learnt = answers([0.9, 0.8, 0.7, 0.4, 0.1, 0.7])
    pca = result(answers={**result().answers, ("train", "given"): learnt})
    columns, rows = table_2([pca, result("unheard-of")])
    assert columns[0] == "method"
    assert all(len(row) == len(columns) for row in rows)
    assert rows[0][:7] == ["PCA", "100.00", "–", "80.00", "83.11", "66.67", "–"]
    assert rows[0][7].startswith("0.8333 (")
    assert rows[0][8:] == ["83.33", "12.3", "1.23", "2.5"]
    assert rows[1][:7] == ["UNHEARD-OF", "–", "–", "80.00", "–", "66.67", "–"]


def test_other_tables(result: Make) -> None:
    cascade = result("cascade-cnn", (Label.MASK,), speed=None, bytes=None)
    comparison = Comparison((result(), cascade), "pca")
    for columns, rows in (given_table(comparison.results), whole_table(comparison.results),
                          cost_table(comparison.results), difference_table(comparison)):  # fmt: skip
        assert rows
        assert all(len(row) == len(columns) for row in rows)
    commoner = given_table(comparison.results)[1][-1]
    assert commoner[1:4] == ["always the commoner class", "6", "0.6000"]
    assert whole_table(comparison.results)[1][1][3].endswith(", masked faces")
    assert cost_table(comparison.results)[1][1][2:] == ["–", "–", "–"]


def test_a_roc_plot_for_each_test_has_all_methods(answers: Make, result: Make) -> None:
    comparison = Comparison((result("a"), result("b")), "b")
    drawn = roc_plots(comparison)
    assert [caption for caption, _ in drawn["given"]] == ["ROC on held-out faces, given"]
    one = roc_plots(Comparison((result("a"),), "a"))
    assert drawn["given"][0][1].count("<path") > one["given"][0][1].count("<path")
    masks = answers([0.5] * 6).select(np.array(TRUTH) == 0)
    assert roc_plots(Comparison((result(answers={GIVEN: masks}),), "pca"))["given"] == []
