from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from maskgate.studies import plots
from maskgate.studies.results import Predictions, StudyRun

Make = Callable[..., Predictions]
MakeRun = Callable[..., StudyRun]


def paths(svg: str) -> int:
    """Number of drawn paths of a well-formed SVG."""
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return len(root.findall(".//{http://www.w3.org/2000/svg}path"))


def test_curves(study_run: MakeRun) -> None:
    one, two = (
        [study_run(s, skill=k, seed=i).epochs for i in range(2)] for s, k in (("imagenet", 2), ("arcface", 3))
    )
    assert paths(plots.four_panels(("imagenet", one), ("arcface", two))) > 50
    few = paths(plots.learning_curves({"imagenet": one}))
    assert paths(plots.learning_curves({"imagenet": one, "arcface": two})) > few


def test_tests(predictions: Make) -> None:
    tests = {"imagenet, a": predictions(300, 2.0), "arcface, a": predictions(300, 3.0)}
    assert paths(plots.roc_curves(tests, "title")) > paths(
        plots.roc_curves(dict([*tests.items()][:1]), "title")
    )
    assert paths(plots.precision_recall_curves(tests, "title")) > 20
    assert paths(plots.reliability_diagrams(tests)) > 20
    assert paths(plots.confusion_matrices({"one": np.array([[9, 1, 0], [0, 5, 0], [1, 1, 2]])})) > 20
    assert paths(plots.final_figures({"accuracy": {"imagenet, a": [0.9, 0.91], "scratch, a": [0.8]}})) > 10


def test_same_plot_same_bytes(predictions: Make) -> None:
    tests = {"imagenet": predictions(100, 2.0)}
    assert plots.precision_recall_curves(tests, "t") == plots.precision_recall_curves(tests, "t")


def test_a_start_keeps_its_colour() -> None:
    one = plots.styles_of(["imagenet, a", "scratch, a", "imagenet, b"])
    two = plots.styles_of(["mine", "imagenet, c"])
    assert one["imagenet, a"]["color"] == one["imagenet, b"]["color"] == two["imagenet, c"]["color"]
    assert one["imagenet, a"]["ls"] != one["imagenet, b"]["ls"]
    assert len({one["imagenet, a"]["color"], one["scratch, a"]["color"], two["mine"]["color"]}) == 3


def test_starts_keep_their_colours_across_plots() -> None:
    starts = ["imagenet", "mine", "yours", "theirs"]
    alone = {s: plots.styles_of([s], starts)[s]["color"] for s in starts}
    together = plots.styles_of(starts[::-1], starts)
    assert alone == {s: together[s]["color"] for s in starts}
    assert len(set(alone.values())) == 4


def colours(svg: str) -> set[str]:
    return {c for c in plots.COLOURS if c.lower() in svg.lower()}


def test_rows_of_other_starts_are_told_apart(study_run: MakeRun) -> None:
    curves = [study_run().epochs]
    svg = plots.four_panels(("mine", curves), ("yours", curves), starts=["other", "yours", "mine"])
    assert colours(svg) == {plots.COLOURS[4], plots.COLOURS[5]}


def test_runs_that_stop_early_are_drawn_whole(study_run: MakeRun) -> None:
    long, short = study_run().epochs, study_run().epochs[:2]
    svgs = [
        plots.four_panels(("imagenet", c), ("arcface", [short])) for c in ([long, short], [long[:2], short])
    ]
    assert svgs[0] != svgs[1]


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5), (2, 0.7), (3, 0.6), (4, 0.9)], [0, 1, 3]),
        ([(2, 0.9), (1, 0.9)], [1]),
        ([], []),
    ],
)
def test_pareto_front_by_hand(points: list[tuple[float, float]], front: list[int]) -> None:
    assert plots.pareto_front(points) == front


def test_accuracy_against_time() -> None:
    assert paths(plots.accuracy_against_time([("a", 1.0, 0.9, 1_000_000), ("b", 3.0, 0.95, 6_000_000)])) > 10


def test_level_curves() -> None:
    rows = [(0.9, 0.8, 1.0), (np.nan, np.nan, np.nan), (0.5, 0.4, 0.6)]
    one = plots.level_curves({"accuracy": {"a": rows}}, [16, 32, 64], "pixels", log=True)
    two = plots.level_curves({"accuracy": {"a": rows, "b": rows}}, [16, 32, 64], "pixels", log=True)
    named = plots.level_curves({"accuracy": {"a": rows, "b": rows}}, ["none", "hood", "beard"], "")
    assert paths(two) > paths(one)
    assert colours(one) == {plots.COLOURS[0]}
    assert colours(two) == colours(named) == set(plots.COLOURS[:2])
    many = {f"m{i}": rows for i in range(9)}
    assert colours(plots.level_curves({"accuracy": many}, [1, 2, 3], "x")) == set(plots.COLOURS)
