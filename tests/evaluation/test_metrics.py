"""Metrics against scikit-learn, slow plain references, and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from maskgate.errors import InputError
from maskgate.evaluation import metrics

# scores from a coarse grid, so that ties are common
GRID = st.integers(0, 12).map(lambda v: v / 12)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth with both classes in it, and scores in [0, 1]."""
    n = draw(st.integers(2, 60))
    truth = draw(arrays(np.bool_, n))
    truth[:2] = True, False
    elements = draw(st.sampled_from([GRID, st.floats(0, 1, width=32)]))
    return truth, draw(arrays(np.float64, n, elements=elements))


@given(labelled_scores())
def test_shares_equal_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = case
    predicted = scores >= 0.5
    assert metrics.accuracy(truth, predicted) == pytest.approx(reference.accuracy_score(truth, predicted))
    assert metrics.recall(truth, predicted) == pytest.approx(reference.recall_score(truth, predicted))
    if predicted.any():
        expected = reference.precision_score(truth, predicted)
        assert metrics.precision(truth, predicted) == pytest.approx(expected)
    else:
        assert np.isnan(metrics.precision(truth, predicted))


@given(labelled_scores())
def test_roc_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = case
    curve = metrics.roc_curve(truth, scores)
    false_rate, true_rate, thresholds = reference.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, false_rate)
    np.testing.assert_allclose(curve.true_positive_rate, true_rate)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert metrics.roc_auc(truth, scores) == pytest.approx(reference.roc_auc_score(truth, scores))


@given(labelled_scores())
def test_auc_is_the_share_of_ordered_pairs(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = case
    pairs = [(scores[i], scores[j]) for i in np.flatnonzero(truth) for j in np.flatnonzero(~truth)]
    expected = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
    assert metrics.roc_auc(truth, scores) == pytest.approx(expected)


@given(labelled_scores())
def test_auc_of_reversed_scores_is_the_rest(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = case
    assert metrics.roc_auc(truth, -scores) == pytest.approx(1 - metrics.roc_auc(truth, scores))


@given(labelled_scores())
def test_brier_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = case
    assert metrics.brier_score(scores, truth) == pytest.approx(reference.brier_score_loss(truth, scores))


@given(labelled_scores(), st.sampled_from([1, 4, 10, 12, 15]))
def test_calibration_error_equals_scikit_learns_curve(case: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    truth, scores = case
    met, stated = calibration_curve(truth, scores, n_bins=bins)
    # the curve leaves out the bins' sizes and the empty bins: count them with plain comparisons
    edges = np.linspace(0, 1, bins + 1)
    lower = np.where(np.arange(bins) == 0, -1, edges[:-1])
    upper = np.where(np.arange(bins) == bins - 1, 2, edges[1:])
    sizes = np.array([((scores > a) & (scores <= b)).sum() for a, b in zip(lower, upper, strict=True)])
    expected = (np.abs(met - stated) * sizes[sizes > 0]).sum() / len(scores)
    assert metrics.expected_calibration_error(scores, truth, bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_by_hand() -> None:
    # two bins: (0.1 + 0.3) stated 0.2, met 0.5; (0.9) stated 0.9, met 1
    error = metrics.expected_calibration_error(np.array([0.1, 0.3, 0.9]), np.array([False, True, True]), 2)
    assert error == pytest.approx(2 / 3 * 0.3 + 1 / 3 * 0.1)


@given(
    st.integers(0, 40).flatmap(lambda n: st.tuples(*[arrays(np.int64, n, elements=st.integers(0, 2))] * 2))
)
def test_confusion_matrix_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = case
    matrix = metrics.confusion_matrix(truth, predicted, 3)
    expected = (
        reference.confusion_matrix(truth, predicted, labels=[0, 1, 2]) if len(truth) else np.zeros((3, 3))
    )
    np.testing.assert_array_equal(matrix, expected)


def _slow_average_precision(hits: np.ndarray, scores: np.ndarray, positives: int) -> float:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points = []
    true = false = 0
    for i in order:
        true, false = (true + 1, false) if hits[i] else (true, false + 1)
        points.append((true / positives, true / (true + false)))
    total = 0.0
    for level in np.linspace(0, 1, 101):
        total += max((p for r, p in points if r >= level), default=0.0)
    return total / 101


@given(labelled_scores(), st.integers(0, 20))
def test_average_precision_equals_slow_reference(case: tuple[np.ndarray, np.ndarray], missed: int) -> None:
    hits, scores = case
    positives = int(hits.sum()) + missed
    expected = _slow_average_precision(hits, scores, positives)
    assert metrics.average_precision(hits, scores, positives) == pytest.approx(expected)


def test_average_precision_by_hand() -> None:
    # recall .5 at precision 1, recall 1 at precision 2/3: 51 levels (0 to .50) and 50 levels
    hits, scores = np.array([True, False, True]), np.array([0.9, 0.8, 0.7])
    assert metrics.average_precision(hits, scores, 2) == pytest.approx((51 + 50 * 2 / 3) / 101)


NOTHING = np.zeros(0)
NONE = np.zeros(0, np.bool_)


def test_nothing_has_no_figure() -> None:
    assert np.isnan(metrics.accuracy(NONE, NONE))
    assert np.isnan(metrics.recall(NONE, NONE))
    assert np.isnan(metrics.precision(NONE, NONE))
    assert np.isnan(metrics.roc_auc(NONE, NOTHING))
    assert np.isnan(metrics.brier_score(NOTHING, NONE))
    assert np.isnan(metrics.expected_calibration_error(NOTHING, NONE))
    assert np.isnan(metrics.average_precision(NONE, NOTHING, 0))
    assert metrics.average_precision(NONE, NOTHING, 3) == 0
    low, high = metrics.bootstrap_interval(lambda i: 1.0, np.zeros(0, np.int64))
    assert np.isnan(low)
    assert np.isnan(high)


@pytest.mark.parametrize("kind", [True, False])
def test_auc_of_one_class_is_nan(kind: bool) -> None:
    assert np.isnan(metrics.roc_auc(np.full(4, kind), np.array([0.1, 0.2, 0.3, 0.4])))


def test_wrong_input_is_an_input_error() -> None:
    with pytest.raises(InputError, match="equal length"):
        metrics.accuracy(np.zeros(2), np.zeros(3))
    with pytest.raises(InputError, match="one dimension"):
        metrics.roc_auc(np.zeros((2, 2), np.bool_), np.zeros((2, 2)))
    with pytest.raises(InputError, match="NaN"):
        metrics.roc_auc(np.array([True, False]), np.array([np.nan, 0.5]))
    with pytest.raises(InputError, match="outside 0 to 1"):
        metrics.expected_calibration_error(np.array([1.2]), np.array([True]))


class TestBootstrap:
    def test_interval_of_a_mean_is_that_of_theory(self) -> None:
        # one item a group: the plain bootstrap, whose interval of a share is p ± 1.96 √(p(1-p)/n)
        n, p = 1000, 0.8
        right = np.arange(n) < n * p
        low, high = metrics.bootstrap_interval(lambda i: float(right[i].mean()), np.arange(n), rounds=2000)
        half = 1.96 * np.sqrt(p * (1 - p) / n)
        assert low == pytest.approx(p - half, abs=0.004)
        assert high == pytest.approx(p + half, abs=0.004)

    def test_groups_are_drawn_whole(self) -> None:
        # ten equal faces in a picture tell no more than one: wider by √10 than face by face
        right = np.repeat(np.arange(100) < 80, 10)
        groups = np.repeat(np.arange(100), 10)

        def share(i: np.ndarray) -> float:
            return float(right[i].mean())

        low, high = metrics.bootstrap_interval(share, groups, rounds=2000)
        narrow = metrics.bootstrap_interval(share, np.arange(1000), rounds=2000)
        assert (high - low) / (narrow[1] - narrow[0]) == pytest.approx(np.sqrt(10), rel=0.15)

    def test_order_and_names_of_groups_do_not_matter(self) -> None:
        # the statistic sees all of a group or nothing of it
        groups = np.array([7, 3, 7, 5, 3, 7])

        def whole(i: np.ndarray) -> float:
            times = np.bincount(i, minlength=6)
            assert times[0] == times[2] == times[5]
            assert times[1] == times[4]
            return float(len(i))

        metrics.bootstrap_interval(whole, groups, rounds=50)

    def test_seed_fixes_it_and_undefined_rounds_are_left_out(self) -> None:
        truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.1, 0.4, 0.6])

        def auc(i: np.ndarray) -> float:
            return metrics.roc_auc(truth[i], scores[i])

        first = metrics.bootstrap_interval(auc, np.arange(4), rounds=200)
        assert first == metrics.bootstrap_interval(auc, np.arange(4), rounds=200)
        assert 0 <= first[0] <= 0.75 <= first[1] <= 1
