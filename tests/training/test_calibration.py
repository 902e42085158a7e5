from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from scipy.special import softmax as scipy_softmax

from maskgate.training.calibration import fit_temperature, fit_threshold, negative_log_likelihood


def draw(seed: int, true_temperature: float, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``true_temperature`` times too sure, and labels drawn from what is true."""
    rng = np.random.default_rng(seed)
    fair = rng.normal(0, 2, (n, 3))
    labels = np.array([rng.choice(3, p=p) for p in scipy_softmax(fair, axis=1)])
    return fair * true_temperature, labels


def test_likelihood_against_scipy() -> None:
    logits, labels = draw(1, 2.0)
    wanted = -log_softmax(logits / 1.7, axis=1)[np.arange(len(labels)), labels].mean()
    assert negative_log_likelihood(logits, labels, 1.7) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("true", [0.4, 1.0, 2.5, 6.0])
def test_temperature_against_scipy_and_a_grid(seed: int, true: float) -> None:
    logits, labels = draw(seed, true)
    fitted = fit_temperature(logits, labels)

    def cost(t: float) -> float:
        return float(-log_softmax(logits / t, axis=1)[np.arange(len(labels)), labels].mean())

    assert fitted == pytest.approx(minimize_scalar(cost, bounds=(0.2, 10), method="bounded").x, rel=1e-3)
    assert cost(fitted) <= min(cost(t) for t in np.geomspace(0.2, 10, 200)) + 1e-9
    assert fitted == pytest.approx(true, rel=0.25)  # what the labels were drawn with


def test_temperature_stays_within_bounds() -> None:
    always = np.array([[1.0, 0, 0]] * 10)
    assert fit_temperature(always, np.zeros(10, np.int64)) == pytest.approx(0.2, rel=1e-3)
    assert fit_temperature(always, np.ones(10, np.int64)) == pytest.approx(10, rel=1e-3)


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize("middle", [0.2, 0.5, 0.8])
def test_threshold_lies_in_the_middle_of_faces_that_mirror_each_other(middle: float) -> None:
    offsets = np.array([0.5, 1.0, 2.5, 4.0])
    z = np.concatenate([log_odds(middle) + offsets, log_odds(middle) - offsets])
    labels = np.array([0] * 4 + [1] * 4)
    assert fit_threshold(1 / (1 + np.exp(-z)), labels) == pytest.approx(middle, abs=0.01)


def test_threshold_against_a_slow_search() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(3, 200, p=[0.5, 0.4, 0.1])
    p_mask = 1 / (1 + np.exp(-(np.where(labels == 0, 2.0, -3.0) + rng.normal(0, 2, 200))))

    def cost(threshold: float) -> float:
        total = 0.0
        for p, label in zip(p_mask, labels, strict=True):
            wrong = expit((log_odds(p) - log_odds(threshold)) / 0.7 * (-1 if label == 0 else 1))
            total += wrong / (labels == label).sum() * (1.0 if label == 0 else 0.5)
        return total

    grid = np.linspace(0.05, 0.95, 400)
    best = min(cost(t) for t in grid)
    assert cost(fit_threshold(p_mask, labels, 0.7)) == pytest.approx(best, rel=1e-3)


def test_wrong_labels_hardly_move_the_threshold() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    z = np.where(labels == 0, 3.5, -3.5) + rng.normal(0, 1.5, 1000)
    fair = fit_threshold(1 / (1 + np.exp(-z)), labels)
    z[:25] = -7.0  # bare faces that someone labelled mask
    assert abs(log_odds(fit_threshold(1 / (1 + np.exp(-z)), labels)) - log_odds(fair)) < 0.3


def test_threshold_at_the_bounds() -> None:
    assert fit_threshold(np.array([0.001, 0.0001]), np.array([0, 1])) == pytest.approx(0.05)
    assert fit_threshold(np.array([0.9999, 0.999]), np.array([0, 2])) == pytest.approx(0.95)
    assert fit_threshold(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(0.5, abs=0.01)
    assert fit_threshold(np.array([0.3]), np.array([1])) == 0.5  # no wearer to go by
    assert fit_threshold(np.array([0.3]), np.array([0])) == 0.5
