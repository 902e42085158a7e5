from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from maskgate.studies.findings import accuracy_difference, comparisons, findings
from maskgate.studies.results import Predictions, StudyRun

Make = Callable[..., Predictions]
MakeRun = Callable[..., StudyRun]


@pytest.mark.parametrize(
    ("face", "imagenet", "verdict", "claim"),
    [
        (4.0, 1.5, "better", "A face start beats ImageNet here"),
        (1.5, 4.0, "worse", "A face start does not beat ImageNet here"),
        (2.5, 2.5, "no clear difference", "A face start does not beat ImageNet here"),
    ],
)
def test_verdict(study_run: MakeRun, face: float, imagenet: float, verdict: str, claim: str) -> None:
    runs = [study_run("imagenet", skill=imagenet), study_run("arcface", skill=face, seed=7)]
    found = comparisons(runs)
    assert [(c.test, c.face, c.other, c.runs) for c in found] == [
        ("held out", "arcface", "imagenet", 1), ("cross-source", "arcface", "imagenet", 1)
    ]  # fmt: skip
    for c in found:
        assert c.verdict == verdict
        assert c.low <= c.difference <= c.high
    lines = findings(runs)
    assert lines[0].startswith(f"{claim}: of 2 comparisons")
    words = "shows no clear difference from" if verdict == "no clear difference" else f"is {verdict} than"
    assert sum(f"the start 'arcface' {words} 'imagenet'" in line for line in lines) == 2
    assert any("one run only" in line for line in lines)


def test_mixed_outcomes_are_told_apart(study_run: MakeRun) -> None:
    runs = [study_run("imagenet", "a", skill=1.5), study_run("arcface", "a", skill=4.0),
            study_run("imagenet", "b", skill=4.0), study_run("arcface", "b", skill=1.5)]  # fmt: skip
    assert findings(runs)[0] == (
        "A face start beats ImageNet in some cases and loses in others: of 4 comparisons on equal networks "
        "and faces, it is better in 2, worse in 2, and shows no clear difference in 0."
    )


def test_difference_by_hand(study_run: MakeRun) -> None:
    truth = np.array([0, 0, 1, 1, 2])
    good = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.9, 0], [0.5, 0.4, 0.1]])
    bad = good.copy()
    bad[1] = [0.2, 0.8, 0]  # one of the four that count
    one, two = (Predictions(truth, p, np.arange(5)) for p in (good, bad))
    runs = [study_run("scratch", test=two, cross=None), study_run("face-metric", test=one, cross=None)]
    (c,) = comparisons(runs)
    assert c.difference == 0.25


def test_interval_covers_the_luck_of_training(study_run: MakeRun, predictions: Make) -> None:
    """Seeds that differ widely make a difference less sure, though their mean is the same."""
    strong, middle, weak = (predictions(2000, skill) for skill in (5.0, 2.6, 0.8))
    against = [study_run("imagenet", test=weak, seed=i) for i in range(3)]
    steady = [study_run("arcface", test=middle, seed=i) for i in range(3)]
    moody = [study_run("arcface", test=p, seed=i) for i, p in enumerate((weak, strong, weak))]
    widths = []
    for runs in (steady, moody):
        found = accuracy_difference(runs, against, "held out")
        assert found is not None
        assert found[0] > 0.05
        widths.append(found[2] - found[1])
        if runs is moody:
            assert found[1] <= 0.01  # two of three seeds are no better at all
    assert widths[1] > 2 * widths[0]


def test_other_networks_and_strategies_are_not_compared(study_run: MakeRun) -> None:
    runs = [study_run("imagenet", "resnet18"), study_run("arcface", "resnet34"),
            study_run("arcface", "resnet18", strategy="frozen")]  # fmt: skip
    assert comparisons(runs) == []
    assert "nothing is said about the paper's claim" in findings(runs)[0]


def test_other_faces_are_not_compared(study_run: MakeRun, predictions: Make) -> None:
    runs = [study_run("imagenet"), study_run("arcface", test=predictions(300, 3.0))]
    assert [c.test for c in comparisons(runs)] == ["cross-source"]
    lines = findings(runs)
    assert (
        "resnet18: 'arcface' and 'imagenet' were tested on different held out faces and are not compared."
        in (lines)
    )
    assert any("Ahead on held out" in line and "tested on different faces" in line for line in lines)


def test_learning_within_ten_epochs(study_run: MakeRun) -> None:
    def epochs(*accuracies: float) -> tuple[dict[str, float], ...]:
        return tuple({"epoch": float(e), "val_accuracy": a} for e, a in enumerate(accuracies, 1))

    late = [0.8] * 9 + [0.94, 0.99]
    runs = [study_run("imagenet", epochs=epochs(*late)), study_run("imagenet", epochs=epochs(*late), seed=1),
            study_run("arcface", epochs=epochs(0.9, 0.96, 0.97)),
            study_run("arcface", epochs=epochs(0.95, 0.99, 0.98), seed=1),
            study_run("face-metric", epochs=epochs(0.94))]  # fmt: skip
    assert (
        "resnet18, best validation accuracy within 10 epochs: 'imagenet' 94.00 % (95 % after epoch 11); "
        "'arcface' 98.00 % (95 % after epochs 1 to 2); 'face-metric' 94.00 % (0 of 1 runs reach 95 %)."
    ) in findings(runs)


@pytest.mark.parametrize(("second", "clear"), [(1.0, True), (2.9, False)])
def test_who_is_ahead(study_run: MakeRun, second: float, clear: bool) -> None:
    runs = [study_run("imagenet", skill=second, seed=3), study_run("arcface", skill=3.0)]
    (line,) = [x for x in findings(runs) if x.startswith("Ahead on held out faces")]
    assert ("points before" in line, "no clear difference" not in line) == (True, clear)
    if clear:
        assert line.startswith("Ahead on held out faces: arcface, resnet18, with")


def test_equal_runs_are_level(study_run: MakeRun) -> None:
    runs = [study_run("imagenet", skill=3.0), study_run("arcface", skill=3.0)]
    assert any(line.startswith("Ahead on held out faces: imagenet, resnet18") and "level with arcface" in line
               for line in findings(runs))  # fmt: skip


def test_without_imagenet_the_sentences_are_about_nothing_as_a_start(study_run: MakeRun) -> None:
    runs = [study_run("scratch", skill=1.5), study_run("arcface", skill=4.0)]
    assert sum("is better than 'scratch'" in line for line in findings(runs)) == 2
    lines = findings([*runs, study_run("imagenet", skill=2.0)])
    assert not any("'scratch':" in line for line in lines)
