from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion.masks import Wearing, cloth_colour, draw_mask, skin_colour
from maskgate.types import Label

NOSE, MOUTH, CHIN, EYES, BROW = (0.0, 0.5), (0.0, 1.0), (0.0, 1.65), [(-1.0, 0.0), (1.0, 0.0)], (0.0, -0.5)
SEEDS = range(25)
GREEN = (0, 255, 0)


def changes(portrait: Any, wearing: Wearing, place: tuple[float, float]) -> np.ndarray:
    outs = (
        draw_mask(portrait.image, portrait.landmarks, wearing, np.random.default_rng(s), GREEN) for s in SEEDS
    )
    return np.array([portrait.change(out, place) for out in outs])


@pytest.mark.parametrize(
    ("wearing", "covered", "bare"),
    [
        (Wearing.RIGHT, [NOSE, MOUTH, CHIN], [BROW, *EYES]),
        (Wearing.NOSE_OUT, [MOUTH, CHIN], [NOSE, BROW, *EYES]),
        (Wearing.MOUTH_OUT, [CHIN], [NOSE, (0.0, 0.85), BROW, *EYES]),
        (Wearing.CHIN, [(0.0, 1.8)], [NOSE, MOUTH, BROW, *EYES]),
    ],
)
def test_what_is_covered_and_what_is_out(
    portrait: Any, wearing: Wearing, covered: list[tuple[float, float]], bare: list[tuple[float, float]]
) -> None:
    for place in covered:
        assert changes(portrait, wearing, place).min() > 40, place
    for place in bare:
        found = changes(portrait, wearing, place)  # a soft shadow may reach it, cloth may not
        assert np.median(found) < 3, place
        assert found.max() < 22, place


@pytest.mark.parametrize("wearing", list(Wearing))
def test_only_the_lower_face_changes(portrait: Any, wearing: Wearing) -> None:
    for seed in SEEDS:
        out = draw_mask(portrait.image, portrait.landmarks, wearing, np.random.default_rng(seed))
        y, x = np.nonzero((out != portrait.image).any(2))
        left, right = portrait.pixels((-2.6, 0), (2.6, 0))[:, 0]
        top, bottom = portrait.pixels((0, -0.15), (0, 2.8))[:, 1]
        assert left < x.min()
        assert x.max() < right
        assert top < y.min()
        assert y.max() < bottom


def test_label_of_a_wearing() -> None:
    assert Wearing.RIGHT.label is Label.MASK
    assert {w.label for w in Wearing if w is not Wearing.RIGHT} == {Label.INCORRECT}


@pytest.mark.parametrize("colour", [None, (10, 200, 30)])
def test_same_draws_same_mask(portrait: Any, colour: tuple[int, int, int] | None) -> None:
    before = portrait.image.copy()
    outs = [
        [
            draw_mask(portrait.image, portrait.landmarks, Wearing.RIGHT, np.random.default_rng(s), colour)
            for s in range(8)
        ]
        for _ in range(2)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*outs, strict=True))
    assert len({out.tobytes() for out in outs[0]}) == 8
    assert np.array_equal(portrait.image, before)


def test_mask_takes_the_colour_and_the_light(portrait: Any) -> None:
    x, y = portrait.pixels((0.0, 1.2))[0]
    rng = np.random.default_rng(3)
    bright = draw_mask(portrait.image, portrait.landmarks, Wearing.RIGHT, rng, (30, 60, 220))[y, x].astype(
        int
    )
    assert bright[2] > bright[1] > bright[0]
    dark_picture = (portrait.image * 0.3).astype(np.uint8)
    rng = np.random.default_rng(3)
    dark = draw_mask(dark_picture, portrait.landmarks, Wearing.RIGHT, rng, (30, 60, 220))[y, x].astype(int)
    assert dark[2] < 0.75 * bright[2]


def test_mask_turns_with_the_face(portrait: Any) -> None:
    """A face on its side: what was below is now at the left."""
    image = np.ascontiguousarray(np.rot90(portrait.image, -1))
    height = portrait.image.shape[0]
    points = np.stack([height - 1 - portrait.landmarks[:, 1], portrait.landmarks[:, 0]], 1)
    upright = draw_mask(portrait.image, portrait.landmarks, Wearing.RIGHT, np.random.default_rng(1), GREEN)
    turned = draw_mask(image, points, Wearing.RIGHT, np.random.default_rng(1), GREEN)
    back = np.rot90(turned, 1)
    changed = [(a != portrait.image).any(2) for a in (upright, back)]
    assert (changed[0] & changed[1]).sum() > 0.93 * (changed[0] | changed[1]).sum()


@pytest.mark.parametrize("shift", [(-400, 0), (0, 500)])
def test_face_out_of_the_picture(portrait: Any, shift: tuple[int, int]) -> None:
    points = portrait.landmarks + np.array(shift, np.float32)
    out = draw_mask(portrait.image, points, Wearing.RIGHT, np.random.default_rng(0))
    assert np.array_equal(out, portrait.image)
    assert out is not portrait.image


def test_face_without_a_frame(portrait: Any) -> None:
    out = draw_mask(portrait.image, np.zeros((5, 2), np.float32), Wearing.RIGHT, np.random.default_rng(0))
    assert np.array_equal(out, portrait.image)


def test_face_at_the_edge(portrait: Any) -> None:
    points = portrait.landmarks + np.array([100, 100], np.float32)
    for seed in range(10):
        out = draw_mask(portrait.image, points, Wearing.RIGHT, np.random.default_rng(seed))
        assert out.shape == portrait.image.shape
        assert (out != portrait.image).any()


def test_colours_are_those_of_masks() -> None:
    rng = np.random.default_rng(0)
    colours = np.stack([cloth_colour(rng) for _ in range(800)])
    assert colours.dtype == np.float32
    assert colours.min() >= 0
    assert colours.max() <= 255
    sold = np.array([[150, 195, 225], [236, 238, 240], [28, 28, 32]])
    near = np.abs(colours[:, None] - sold).max(2).min(1) < 40
    assert near.mean() == pytest.approx(0.5, abs=0.08)  # blue, white, black
    strong = np.ptp(colours, axis=1) > 110  # yellow, red, and other strong ones
    assert 0.1 < strong.mean() < 0.35


def test_skin_toned_masks_are_near_the_skin_below() -> None:
    part = np.full((40, 40, 3), (180, 140, 120), np.uint8)
    part[:, 20:] = 0
    cover = np.zeros((40, 40), np.float32)
    cover[:, :20] = 1
    colours = np.stack([skin_colour(part, cover, np.random.default_rng(s)) for s in range(200)])
    assert colours.mean(0) == pytest.approx(np.array([180, 140, 120]) * 1.075, abs=12)
    shade = colours / colours.sum(1, keepdims=True)
    assert shade.mean(0) == pytest.approx(np.array([180, 140, 120]) / 440, abs=0.02)
