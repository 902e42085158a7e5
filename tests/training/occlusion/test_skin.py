from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.skin import Skin, blur_like


def skin_of(image: np.ndarray, landmarks: np.ndarray) -> Skin | None:
    frame = FaceFrame.from_landmarks(landmarks)
    assert frame is not None
    return Skin.of_face(image, frame)


def test_tone_is_that_of_the_face(portrait: Any) -> None:
    image = portrait.image.copy()
    for x, y in portrait.landmarks[:2].astype(int):
        image[y - 6 : y + 6, x - 10 : x + 10] = 20  # eyes are no skin
    skin = skin_of(image, portrait.landmarks)
    assert skin is not None
    assert skin.tone == pytest.approx(np.array([209, 164, 139]), abs=4)
    assert not skin.grey
    grey = np.repeat(portrait.image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    assert (found := skin_of(grey, portrait.landmarks)) is not None
    assert found.grey


def test_light_from_a_side(portrait: Any) -> None:
    slope = 0.004
    ramp = 1 + slope * (np.arange(300) - 150)
    image = np.clip(portrait.image * 0.7 * ramp[None, :, None], 0, 255).astype(np.uint8)
    skin = skin_of(image, portrait.landmarks)
    assert skin is not None
    assert skin.slope == pytest.approx([slope, 0], abs=0.0012)
    light = skin.light((20, 60), np.array([120.0, 140.0]), 1.0)
    assert light.dtype == np.float32
    assert (np.diff(light[5]) > 0).all()
    assert light[5].mean() == pytest.approx(1, abs=0.06)
    assert skin.light((20, 60), np.array([120.0, 140.0]), 0.0) == pytest.approx(np.ones((20, 60)))


def test_face_out_of_view(portrait: Any) -> None:
    assert skin_of(portrait.image, portrait.landmarks - 900) is None


def test_tint_brings_the_mean_there(portrait: Any) -> None:
    skin = skin_of(portrait.image, portrait.landmarks)
    assert skin is not None
    rgb = np.random.default_rng(0).uniform(60, 120, (30, 30, 3)).astype(np.float32)
    inside = np.ones((30, 30), np.bool_)
    alike = skin.tint(rgb, inside, 1.0, 0.5)
    assert alike.mean((0, 1)) == pytest.approx(skin.tone, abs=1)
    contrast = (alike.std((0, 1)) / alike.mean((0, 1))) / (rgb.std((0, 1)) / rgb.mean((0, 1)))
    assert contrast == pytest.approx(np.full(3, 0.5), abs=0.01)
    other = skin.tint(rgb, inside, 0.0, 1.0)
    gain = other.mean((0, 1)) / rgb.mean((0, 1))
    assert gain == pytest.approx(np.full(3, gain.mean()), rel=0.01)  # brightness only
    assert np.array_equal(skin.tint(rgb, ~inside, 1.0, 1.0), rgb)


def test_blur_only_what_is_sharper() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.uniform(0, 255, (40, 40, 3)).astype(np.float32)
    inside = np.ones((40, 40), np.bool_)
    assert np.array_equal(blur_like(sharp, inside, sharp.astype(np.uint8), rng), sharp)
    soft = blur_like(sharp, inside, np.full((40, 40, 3), 128, np.uint8), rng)
    assert soft.std() < 0.8 * sharp.std()
