from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from maskgate.training.calibration import fit_temperature, fit_threshold, negative_log_likelihood, softmax


def draw(seed: int, true_temperature: float, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``true_temperature`` times too sure, and labels drawn from what is true."""
    rng = np.random.default_rng(seed)
    fair = rng.normal(0, 2, (n, 3))
    labels = np.array([rng.choice(3, p=p) for p in scipy_softmax(fair, axis=1)])
    return fair * true_temperature, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_softmax_against_scipy(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 50, (40, 3))
    logits[0] = [1e4, -1e4, 9e3]
    assert softmax(logits, temperature) == pytest.approx(
        scipy_softmax(logits / temperature, axis=1), abs=1e-12
    )


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


def test_threshold_by_hand() -> None:
    p_mask = np.array([0.9, 0.2, 0.7, 0.4, 0.8, 0.99, 0.01])
    labels = np.array([0, 0, 0, 0, 0, 1, 2])  # five wearers: 0.2, 0.4, 0.7, 0.8, 0.9
    assert fit_threshold(p_mask, labels, 0.0) == pytest.approx(0.2)
    assert fit_threshold(p_mask, labels, 0.19) == pytest.approx(0.2)
    assert fit_threshold(p_mask, labels, 0.2) == pytest.approx(0.4)  # one wearer in five
    assert fit_threshold(p_mask, labels, 0.4) == pytest.approx(0.7)
    assert fit_threshold(p_mask, labels, 1.0) == pytest.approx(0.9)


def test_threshold_at_the_bounds() -> None:
    assert fit_threshold(np.array([0.001, 0.9]), np.array([0, 0]), 0.0) == 0.05
    assert fit_threshold(np.array([0.999, 0.998]), np.array([0, 0]), 0.5) == 0.95
    assert fit_threshold(np.array([0.3]), np.array([1]), 0.1) == 0.5  # no wearer to go by


@given(
    st.lists(st.floats(0.06, 0.94), min_size=1, max_size=40),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), max_size=10),
)
def test_threshold_is_the_highest_that_keeps_the_promise(
    wearers: list[float], share: float, others: list[float]
) -> None:
    p_mask = np.array([*wearers, *others])
    labels = np.array([0] * len(wearers) + [1] * len(others))
    threshold = fit_threshold(p_mask, labels, share)
    own = np.array(wearers)
    allowed = share * len(own)
    assert (own < threshold).sum() <= allowed
    higher = math.nextafter(threshold, 2)
    assert (own < higher).sum() > allowed or (own <= threshold).all()
