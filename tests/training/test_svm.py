from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from maskgate.classification.svm import svm_from_bytes, svm_to_bytes
from maskgate.errors import DataError
from maskgate.training.svm import Candidate, SvmSettings, fit_svm


def directions(
    count: int, labels: int = 3, seed: int = 0, noise: float = 0.9
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Unit vectors about a direction for each label, overlapping; two of a kind a group."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(count // 2) % labels, 2)
    middles = np.random.default_rng(9).normal(size=(3, 6))
    x = middles[y] + noise * rng.normal(size=(count, 6))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), y, [f"{i // 2}.jpg" for i in range(count)]


ONE: dict[str, Any] = {"costs": (2.0,), "gammas": (1.5,), "folds": 3}


@pytest.mark.parametrize(("kernel", "gamma"), [("linear", 0.0), ("rbf", 1.5)])
@pytest.mark.parametrize("labels", [3, 2])
def test_arrays_say_what_scikit_learn_says(kernel: Any, gamma: float, labels: int) -> None:
    x, y, groups = directions(240, labels)
    fitted = fit_svm(x, y, groups, SvmSettings(kernels=(kernel,), **ONE), seed=1, quiet=True)
    assert fitted.chosen == Candidate(kernel, 2.0, gamma)
    new = directions(100, labels, seed=5)[0]
    machines = [
        SVC(C=2.0, kernel=kernel, gamma=gamma or "scale", class_weight="balanced").fit(x, y == k)
        for k in range(labels)
    ]
    wanted = np.stack([machine.decision_function(new) for machine in machines], 1)
    np.testing.assert_allclose(fitted.svm.decisions(new)[:, :labels], wanted, atol=2e-5)
    # the calibration is a softmax of decision values: of these weights scikit-learn makes the same
    calibration = LogisticRegression().fit(wanted, np.arange(100) % labels)
    two = labels == 2
    calibration.coef_ = fitted.svm.weights[1:2, :2] if two else fitted.svm.weights
    calibration.intercept_ = fitted.svm.bias[1:2] if two else fitted.svm.bias
    p = fitted.svm.probabilities(new)
    np.testing.assert_allclose(p[:, :labels], calibration.predict_proba(wanted), atol=1e-4)
    assert (p[:, labels:] == 0).all()
    again = svm_from_bytes(svm_to_bytes(fitted.svm))
    np.testing.assert_array_equal(again.probabilities(new), p)


def test_three_machines_are_one_against_the_rest() -> None:
    x, y, groups = directions(240)
    fitted = fit_svm(x, y, groups, SvmSettings(kernels=("rbf",), **ONE), seed=1, quiet=True)
    rest = OneVsRestClassifier(SVC(C=2.0, gamma=1.5, class_weight="balanced")).fit(x, y)
    new = directions(100, seed=5)[0]
    np.testing.assert_allclose(fitted.svm.decisions(new), rest.decision_function(new), atol=2e-5)


def test_probabilities_are_calibrated() -> None:
    x, y, groups = directions(900, noise=2.0)
    fitted = fit_svm(x, y, groups, SvmSettings(kernels=("rbf",), **ONE), seed=1, quiet=True)
    new, truth, _ = directions(3000, seed=6, noise=2.0)
    p = fitted.svm.probabilities(new)
    assert 0.6 < (p.argmax(1) == truth).mean() < 0.98
    for low, high in ((0.05, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        here = (p[:, 0] >= low) & (p[:, 0] < high)
        assert here.sum() > 50
        assert (truth[here] == 0).mean() == pytest.approx(p[here, 0].mean(), abs=0.08)


def test_what_is_chosen_is_best_in_cross_validation() -> None:
    """A ring about the others: no plane tells it apart."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    angle = rng.uniform(0, 2 * np.pi, 300)
    far = np.where(y == 0, 0.1, np.where(y == 1, 0.6, 1.0)) + rng.normal(0, 0.08, 300)
    x = (far[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.float32)
    groups = [f"{i}" for i in range(300)]
    settings = SvmSettings(costs=(1.0, 30.0), gammas=(0.01, 5.0), folds=4)
    fitted = fit_svm(x, y, groups, settings, seed=0, threads=2, quiet=True)
    assert fitted.chosen.kernel == "rbf"
    assert fitted.chosen.gamma == 5.0
    assert [c for c, _ in fitted.selection] == settings.candidates
    assert len(fitted.selection) == 6
    for candidate, score in fitted.selection:
        if candidate.gamma < 5:
            assert score > 0.7  # nearly as much as by lot, log 3
            continue
        # with scikit-learn's own tools and other folds
        rest = OneVsRestClassifier(SVC(C=candidate.cost, gamma=5.0, class_weight="balanced"))
        decisions = cross_val_predict(rest, x, y, groups=groups, cv=GroupKFold(4), method="decision_function")
        told = LogisticRegression().fit(decisions, y).predict_proba(decisions)
        assert score == pytest.approx(log_loss(y, told), abs=0.05)


def test_faces_of_a_picture_are_in_one_fold() -> None:
    """Each face twice with a label drawn by lot: who has seen its twin knows it, others cannot."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(150, 8)).astype(np.float32)
    y = np.repeat(rng.integers(0, 2, 150), 2)
    x = np.repeat(one, 2, 0)
    settings = SvmSettings(kernels=("rbf",), costs=(100.0, 1000.0), gammas=(1.0,), folds=3)
    together = fit_svm(x, y, [f"{i // 2}" for i in range(300)], settings, seed=0, quiet=True)
    apart = fit_svm(x, y, [f"{i}" for i in range(300)], settings, seed=0, quiet=True)
    assert min(score for _, score in together.selection) > 0.6  # by lot it is log 2
    assert min(score for _, score in apart.selection) < 0.45


def test_the_same_again_whatever_the_threads() -> None:
    x, y, groups = directions(240)
    settings = SvmSettings(costs=(1.0, 10.0), gammas=(1.0,), folds=3, searched=120, faces=200)
    one = fit_svm(x, y, groups, settings, seed=3, threads=1, quiet=True)
    two = fit_svm(x, y, groups, settings, seed=3, threads=2, quiet=True)
    assert svm_to_bytes(one.svm) == svm_to_bytes(two.svm)
    other = fit_svm(x, y, groups, settings, seed=4, quiet=True)
    assert svm_to_bytes(other.svm) != svm_to_bytes(one.svm)


def test_what_cannot_be_fitted() -> None:
    x, y, groups = directions(60)
    with pytest.raises(DataError, match=r"^all faces to learn from have the same label"):
        fit_svm(x, np.zeros(60, np.int64), groups, SvmSettings(), seed=0)
    few = np.where(np.arange(60) < 4, 2, y % 2)
    with pytest.raises(DataError, match=r"^fewer than 5 pictures show a face labelled incorrect"):
        fit_svm(x, few, groups, SvmSettings(), seed=0)


@pytest.mark.parametrize(
    "values",
    [
        {"folds": 1},
        {"searched": 4},
        {"faces": 0},
        {"kernels": ()},
        {"costs": (0.0,)},
        {"gammas": (1.0, -1.0)},
    ],
)
def test_settings_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^\[svm\] wants "):
        SvmSettings(**values)
