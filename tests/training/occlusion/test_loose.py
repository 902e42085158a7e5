from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.loose import hang_mask, hold_mask

HAND = Hand(np.full((100, 42, 3), 120, np.uint8), np.ones((100, 42), np.float32))
BARE = [(0.0, 0.5), (0.0, 1.0), (-0.6, 1.0), (0.6, 1.0), (-1.0, 0.0), (1.0, 0.0)]


@pytest.mark.parametrize("draw", [hang_mask, hold_mask])
def test_nose_and_mouth_stay_bare(draw: Any, portrait: Any) -> None:
    for seed in range(40):
        out = draw(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        assert (out != portrait.image).any()
        for place in BARE:
            assert portrait.change(out, place) < 12, (seed, place)


def test_a_hanging_mask_is_below_one_ear(portrait: Any) -> None:
    sides = []
    for seed in range(30):
        out = hang_mask(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        y, x = np.nonzero(np.abs(out.astype(int) - portrait.image).max(2) > 10)
        left = x < portrait.pixels((0, 0))[0, 0]
        assert max(left.mean(), 1 - left.mean()) > 0.95
        assert np.median(y) > portrait.pixels((0, 0.4))[0, 1]
        sides.append(left.mean() > 0.5)
    assert 0.2 < np.mean(sides) < 0.8


def test_a_hidden_ear_holds_no_mask(portrait: Any) -> None:
    turned = portrait.landmarks.copy()
    turned[2, 0] += 25  # the nose points to the picture's right
    for seed in range(20):
        out = hang_mask(portrait.image, turned, np.random.default_rng(seed))
        _, x = np.nonzero(np.abs(out.astype(int) - portrait.image).max(2) > 10)
        assert np.median(x) < portrait.pixels((0, 0))[0, 0]


def test_a_hand_holds_the_mask(portrait: Any) -> None:
    wide = np.pad(portrait.image, ((0, 0), (100, 100), (0, 0)), "edge")
    points = portrait.landmarks + np.array([100, 0], np.float32)
    for seed in range(10):
        alone = hold_mask(wide, points, np.random.default_rng(seed))
        held = hold_mask(wide, points, np.random.default_rng(seed), HAND)
        changed = (held != alone).any(2)
        assert changed.sum() > 300
        assert not changed[110:190, 232:268].any()  # nose and mouth


@pytest.mark.parametrize("draw", [hang_mask, hold_mask])
def test_draws_repeat_and_faces_without_a_frame_stay(draw: Any, portrait: Any) -> None:
    one, two, other = (draw(portrait.image, portrait.landmarks, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    for points in (np.zeros((5, 2), np.float32), portrait.landmarks - 900):
        assert np.array_equal(draw(portrait.image, points, np.random.default_rng(0)), portrait.image)
