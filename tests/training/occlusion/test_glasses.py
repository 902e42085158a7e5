from __future__ import annotations

from typing import Any

import numpy as np

from maskgate.training.occlusion.glasses import draw_glasses


def test_only_the_eyes_change(portrait: Any) -> None:
    dark = []
    for seed in range(40):
        out = draw_glasses(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        assert portrait.change(out, (0.0, 1.0)) == 0
        assert portrait.change(out, (0.0, -0.8)) == 0
        y, x = np.nonzero((out != portrait.image).any(2))
        low, high = portrait.pixels((-2.4, -0.6), (2.4, 0.7))
        assert low[0] < x.min()
        assert x.max() < high[0]
        assert low[1] < y.min()
        assert y.max() < high[1]
        sides = [portrait.change(out, (side, 0.02)) for side in (-1.0, 1.0)]
        dark.append(min(sides) > 50)
    assert 0.2 < np.mean(dark) < 0.8  # glass to look through, and sunglasses


def test_draws_repeat_and_faces_without_a_frame_stay(portrait: Any) -> None:
    def draw(points: np.ndarray, seed: int) -> np.ndarray:
        return draw_glasses(portrait.image, points, np.random.default_rng(seed))

    assert np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 1))
    assert not np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 2))
    assert np.array_equal(draw(np.zeros((5, 2), np.float32), 1), portrait.image)
    assert np.array_equal(draw(portrait.landmarks - 900, 1), portrait.image)
