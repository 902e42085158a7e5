from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from maskgate.errors import InputError
from maskgate.evaluation.curves import free_response, precision_recall_curve, reliability, roc_band
from maskgate.evaluation.metrics import expected_calibration_error


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_precision_recall_against_scikit_learn(faces: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in faces])
    scores = np.array([s / 6 for _, s in faces])
    if not truth.any():
        with pytest.raises(InputError, match="one that is true"):
            precision_recall_curve(truth, scores)
        return
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    p, r, t = sk.precision_recall_curve(truth, scores)
    assert thresholds == pytest.approx(t[::-1])
    assert precision == pytest.approx(p[:-1][::-1])
    assert recall == pytest.approx(r[:-1][::-1])


def test_shapes() -> None:
    with pytest.raises(InputError):
        precision_recall_curve(np.array([True, False]), np.array([0.5]))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40), st.integers(1, 5), st.integers(0, 9)
)
def test_free_response_against_all_scores_one_by_one(
    rows: list[tuple[bool, int]], pictures: int, missed: int
) -> None:
    hits, scores = np.array([h for h, _ in rows], bool), np.array([s / 6 for _, s in rows])
    faces, limits = max(int(hits.sum()) + missed, 1), [0.0, 0.2, 1.0, 100.0]
    expected = []
    for limit in limits:
        best = 0
        for least in range(7):
            kept = [h for h, s in rows if s >= least]
            if kept.count(False) <= limit * pictures:
                best = max(best, kept.count(True))
        expected.append(best / faces)
    assert free_response(hits, scores, faces, pictures, limits) == pytest.approx(expected)


def test_free_response_refuses_no_faces() -> None:
    for hits, scores, faces in ((np.array([True]), np.array([0.5]), 0), (np.array([True]), np.zeros(2), 1)):
        with pytest.raises(InputError, match="a face at least"):
            free_response(hits, scores, faces, 1, [0.1])


def test_reliability_is_what_the_calibration_error_sums() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=500)
    came = rng.uniform(size=500) < p**2
    bins = reliability(p, came, bins=10)
    assert bins.count.sum() == 500
    used = bins.count > 0
    apart = np.abs(bins.stated - bins.met)[used] * bins.count[used]
    assert apart.sum() / 500 == pytest.approx(expected_calibration_error(p, came, bins=10))
    inside = (p > 0.3) & (p <= 0.4)
    assert bins.met[3] == pytest.approx(came[inside].mean())
    assert bins.stated[3] == pytest.approx(p[inside].mean())


def test_band_holds_the_curve_and_narrows_with_more_faces() -> None:
    widths = []
    for count in (100, 3000):
        rng = np.random.default_rng(1)
        truth = rng.uniform(size=count) < 0.5
        scores = rng.normal(size=count) + 1.5 * truth
        rate, low, high = roc_band(truth, scores, np.arange(count), rounds=100)
        false, true, _ = sk.roc_curve(truth, scores)
        middle = np.array([true[false <= r].max() for r in rate])
        assert ((middle >= low - 1e-9) & (middle <= high + 1e-9)).mean() > 0.95
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 3
