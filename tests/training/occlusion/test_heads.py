from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from maskgate.training.occlusion.heads import draw_head, lay_neighbour


def test_a_head_hides_the_chin_and_never_the_eyes(portrait: Any) -> None:
    chin, mouth = [], []
    for seed in range(60):
        out = draw_head(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        assert portrait.change(out, (0.0, -0.6)) < 12  # its soft shadow, at most
        chin.append(portrait.change(out, (0.0, 1.7)) > 20)
        mouth.append(portrait.change(out, (0.0, 1.0)) > 20)
    assert np.mean(chin) > 0.6
    assert 0.2 < np.mean(mouth) < 0.8
    assert np.mean(mouth) < np.mean(chin)


def test_head_repeats_and_faces_without_a_frame_stay(portrait: Any) -> None:
    def draw(points: np.ndarray, seed: int) -> np.ndarray:
        return draw_head(portrait.image, points, np.random.default_rng(seed))

    assert np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 1))
    assert not np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 2))
    assert np.array_equal(draw(np.zeros((5, 2), np.float32), 1), portrait.image)
    assert np.array_equal(draw(portrait.landmarks - 2000, 1), portrait.image)


def test_a_neighbour_leaves_the_middle_of_the_face() -> None:
    crop = np.full((160, 160, 3), 40, np.uint8)
    other = np.full((160, 160, 3), 220, np.uint8)
    cv2.circle(other, (80, 80), 6, (250, 0, 0), -1)
    seen, below = np.zeros((160, 160)), 0
    for seed in range(200):
        out = lay_neighbour(crop, other, np.random.default_rng(seed))
        assert (out.shape, out.dtype) == (crop.shape, np.uint8)
        assert (np.abs(out[60:90, 72:88].astype(int) - 40) < 25).all()  # at most its shadow
        changed = out[..., 0] > 130
        seen += changed
        if changed.any():
            below += int(np.nonzero(changed)[0].mean() > 80)
    assert (seen[:, 150:] > 0).any()
    assert (seen[:, :10] > 0).any()
    assert seen[:30].max() < 60  # hardly ever from above
    assert below > 130


def test_a_neighbour_is_the_other_face() -> None:
    crop = np.zeros((160, 160, 3), np.uint8)
    other = np.zeros((160, 160, 3), np.uint8)
    other[70:90, 70:90] = (0, 255, 0)
    greens = [
        (lay_neighbour(crop, other, np.random.default_rng(seed))[..., 1] > 200).sum() for seed in range(40)
    ]
    assert 100 < np.median(greens) < 700  # 400 pixels, scaled by 0.6 to 1.25, some of them out of view
