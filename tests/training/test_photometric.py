from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.training.photometric import vary_light, vary_sharpness

CHANGES = [vary_light, vary_sharpness]
Change = Callable[..., np.ndarray]


@pytest.mark.parametrize("change", CHANGES)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([0, 7, 255, None]))
@settings(max_examples=60, deadline=None)
def test_shape_and_type_stay(change: Change, height: int, width: int, seed: int, grey: int | None) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if grey is not None:
        image[:] = grey
    before = image.copy()
    out = change(image, rng)
    assert (out.shape, out.dtype) == (image.shape, np.uint8)
    assert np.array_equal(image, before)  # a new picture, the old one as it was


@pytest.mark.parametrize("change", CHANGES)
def test_same_draws_same_picture(change: Change, astronaut: np.ndarray) -> None:
    image = astronaut[50:180, 170:280].copy()
    pictures = [change(image, np.random.default_rng(seed)) for seed in range(12)]
    again = [change(image, np.random.default_rng(seed)) for seed in range(12)]
    assert all(np.array_equal(a, b) for a, b in zip(pictures, again, strict=True))
    assert len({p.tobytes() for p in pictures}) > 6


def test_light_keeps_what_is_seen(astronaut: np.ndarray) -> None:
    """Brighter or darker, but the same picture: edges stay where they are."""
    image = astronaut[50:180, 170:280].copy()
    likeness, brightness = [], []
    for seed in range(60):
        out = vary_light(image, np.random.default_rng(seed))
        brightness.append(out.mean() - image.mean())
        if out.std() > 5:
            likeness.append(np.corrcoef(image.mean(2).ravel(), out.mean(2).ravel())[0, 1])
    assert len(likeness) > 50
    assert np.median(likeness) > 0.95
    assert min(brightness) < -25
    assert max(brightness) > 25


def test_light_is_sometimes_grey(astronaut: np.ndarray) -> None:
    image = astronaut[50:180:4, 170:280:4].copy()
    colour = [
        np.ptp(vary_light(image, np.random.default_rng(s)).astype(int), axis=2).max() for s in range(200)
    ]
    assert 2 <= sum(c <= 1 for c in colour) <= 25  # one in twenty


def test_sharpness_never_adds_much_and_often_takes(astronaut: np.ndarray) -> None:
    image = astronaut[50:180, 170:280].copy()

    def detail(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())

    changed = [vary_sharpness(image, np.random.default_rng(s)) for s in range(80)]
    levels = np.array([detail(p) for p in changed]) / detail(image)
    assert (levels < 0.8).mean() > 0.15
    assert abs(np.median([p.mean() for p in changed]) - image.mean()) < 2  # no change of light


def test_strength_nought_changes_nothing(astronaut: np.ndarray) -> None:
    image = astronaut[:60, :80].copy()
    for seed in range(10):
        assert np.array_equal(vary_sharpness(image, np.random.default_rng(seed), strength=0.0), image)
