from __future__ import annotations

import numpy as np
import pytest

from maskgate.training.occlusion.fabric import draw_pattern, draw_weave


def test_plain_cloth_is_almost_even() -> None:
    for seed in range(20):
        weave = draw_weave((60, 80), np.random.default_rng(seed))
        assert (weave.shape, weave.dtype) == ((60, 80, 3), np.float32)
        assert np.array_equal(weave[..., 0], weave[..., 2])
        assert weave.mean() == pytest.approx(0, abs=0.3)
        assert 0.4 < weave.std() < 4.5


def test_prints_are_varied() -> None:
    spreads, colours = [], []
    for seed in range(200):
        pattern = draw_pattern((60, 80), 20.0, np.random.default_rng(seed))
        assert (pattern.shape, pattern.dtype) == ((60, 80, 3), np.float32)
        assert np.isfinite(pattern).all()
        assert np.abs(pattern).max() < 400
        spreads.append(pattern.std())
        colours.append(len(np.unique(pattern.reshape(-1, 3), axis=0)))
    plain = np.array(spreads) < 4.5
    assert 0.35 < plain.mean() < 0.6
    flat = (np.array(colours) <= 5) & ~plain  # stripes, checks, dots, camouflage: few colours
    assert 0.15 < flat.mean() < 0.5
    assert ((np.array(colours) > 50) & ~plain).mean() > 0.1  # knit and soft blots


@pytest.mark.parametrize("shape", [(4, 4), (1, 200), (160, 160)])
@pytest.mark.parametrize("scale", [0.5, 60.0])
def test_any_size(shape: tuple[int, int], scale: float) -> None:
    for seed in range(40):
        assert draw_pattern(shape, scale, np.random.default_rng(seed)).shape == (*shape, 3)
