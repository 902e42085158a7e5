from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion.cloth import draw_beard, draw_scarf

SEEDS = range(30)
DRAWINGS = [partial(draw_scarf, over_mouth=True), partial(draw_scarf, over_mouth=False), draw_beard]
Draw = Callable[..., np.ndarray]


def changes(portrait: Any, draw: Draw, place: tuple[float, float]) -> np.ndarray:
    outs = (draw(portrait.image, portrait.landmarks, np.random.default_rng(s)) for s in SEEDS)
    return np.array([portrait.change(out, place) for out in outs])


def test_scarf_over_the_mouth(portrait: Any) -> None:
    draw = DRAWINGS[0]
    assert np.median(changes(portrait, draw, (0.0, 1.3))) > 25
    assert np.median(changes(portrait, draw, (0.0, 1.05))) > 15
    assert changes(portrait, draw, (0.0, 0.0)).max() < 12


def test_scarf_at_the_chin_leaves_the_mouth_free(portrait: Any) -> None:
    draw = DRAWINGS[1]
    assert np.median(changes(portrait, draw, (0.0, 2.4))) > 25
    for place in ((0.0, 0.55), (0.0, 0.9), (1.0, 0.0)):
        assert changes(portrait, draw, place).max() < 12


def test_beard_leaves_mouth_and_nose_free(portrait: Any) -> None:
    assert np.median(changes(portrait, draw_beard, (0.0, 1.5))) > 40  # chin
    assert np.median(changes(portrait, draw_beard, (1.2, 1.1))) > 25  # cheek
    mouth = np.median(changes(portrait, draw_beard, (0.0, 1.0)))
    assert mouth < 0.5 * np.median(changes(portrait, draw_beard, (0.0, 1.5)))
    assert changes(portrait, draw_beard, (0.0, 0.3)).max() < 6


@pytest.mark.parametrize("draw", DRAWINGS)
def test_upper_face_stays_and_draws_repeat(portrait: Any, draw: Draw) -> None:
    before = portrait.image.copy()
    top = portrait.pixels((0.0, -0.3))[0, 1]
    seen = set()
    for seed in range(8):
        out = draw(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        again = draw(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        assert np.array_equal(out, again)
        assert (out.shape, out.dtype) == (portrait.image.shape, np.uint8)
        assert np.array_equal(out[:top], portrait.image[:top])
        seen.add(out.tobytes())
    assert len(seen) == 8
    assert np.array_equal(portrait.image, before)


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("shift", [None, (0, 500), (-600, 0)])
def test_no_face_to_draw_on(portrait: Any, draw: Draw, shift: tuple[int, int] | None) -> None:
    points = np.zeros((5, 2)) if shift is None else portrait.landmarks + np.array(shift)
    out = draw(portrait.image, points.astype(np.float32), np.random.default_rng(0))
    assert np.array_equal(out, portrait.image)
    assert out is not portrait.image
