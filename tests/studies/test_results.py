from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from maskgate.studies.results import Predictions, StudyRun, figures_of, quality, reached, summarise

Make = Callable[..., Predictions]
MakeRun = Callable[..., StudyRun]


def test_figures_against_scikit_learn(predictions: Make) -> None:
    p = predictions(900, 2.0)
    figures = figures_of(p, 0.35)
    two = p.truth != 2
    masked, score = p.truth[two] == 0, p.probabilities[two, 0]
    called = score >= 0.35
    assert figures["faces"] == 900
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(masked, called))
    assert figures["recall"] == pytest.approx(sk.recall_score(masked, called))
    assert figures["recall_no_mask"] == pytest.approx(sk.recall_score(~masked, ~called))
    assert figures["precision"] == pytest.approx(sk.precision_score(masked, called))
    assert figures["roc_auc"] == pytest.approx(sk.roc_auc_score(masked, score))
    likeliest = p.probabilities.argmax(1)
    assert figures["accuracy_three"] == pytest.approx(sk.accuracy_score(p.truth, likeliest))
    assert figures["confusion"] == sk.confusion_matrix(p.truth, likeliest).tolist()
    assert figures["incorrect_flagged"] == pytest.approx((p.probabilities[p.truth == 2, 0] < 0.35).mean())
    for name in ("accuracy", "roc_auc"):
        low, high = figures[f"{name}_interval"]
        assert low < figures[name] < high


def test_quality_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 2])
    p = np.array([[0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    # at 0.3 the first mask and the first bare face are right; by the likeliest label, two of five
    assert quality(Predictions(truth, p, np.arange(5)), 0.3) == {"two": 0.5, "three": 0.4}


def test_both_kinds(predictions: Make) -> None:
    p = predictions(100, 2.0)
    assert p.of_both_kinds
    assert p.pair().of_both_kinds
    for label in range(3):
        kept = p.truth != label
        part = Predictions(p.truth[kept], p.probabilities[kept], p.groups[kept])
        assert part.of_both_kinds == (label == 2)


def test_without_wrongly_worn_masks(predictions: Make) -> None:
    p = predictions(300, 2.0)
    assert figures_of(p.pair(), 0.5)["incorrect_flagged"] is None
    assert figures_of(p.pair(), 0.5)["accuracy"] == figures_of(p, 0.5)["accuracy"]


def test_time_to_an_accuracy_by_hand() -> None:
    rows = tuple(
        {"epoch": float(e), "seconds": s, "val_accuracy": a}
        for e, (s, a) in enumerate([(10, 0.85), (20, 0.96), (5, 0.94), (5, 0.971)], 1)
    )
    assert reached(rows) == {
        "0.90": {"epoch": 2, "seconds": 30}, "0.95": {"epoch": 2, "seconds": 30},
        "0.97": {"epoch": 4, "seconds": 40}, "0.98": None,
    }  # fmt: skip


def test_summary_has_what_others_read(study_run: MakeRun) -> None:
    run = study_run(seed=4)
    s = summarise(run)
    wanted = "start architecture strategy seed epochs accuracy_train accuracy_test recall_test roc_auc"
    assert list(s)[:10] == [*wanted.split(), "cross_source"]
    assert {"epoch", "train_loss", "val_loss", "val_accuracy"} <= set(s["epochs"][0])
    assert s["epochs"][0]["epoch"] == 1
    assert {"accuracy", "recall", "roc_auc"} <= set(s["cross_source"])
    assert s["accuracy_test"] == s["quality"]["two"] == figures_of(run.test, 0.4)["accuracy"]
    assert s["cross_source"]["recall"] == figures_of(run.cross, 0.4)["recall"]  # type: ignore[arg-type]
    assert summarise(study_run(cross=None))["cross_source"] is None


def test_predictions_keep(predictions: Make, tmp_path: Path) -> None:
    p = predictions(50, 1.0)
    p.save(tmp_path / "deep" / "p.npz")
    q = Predictions.load(tmp_path / "deep" / "p.npz")
    for one, two in ((p.truth, q.truth), (p.probabilities, q.probabilities), (p.groups, q.groups)):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["p.npz"]
