from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskgate.training.occlusion.masks import Wearing, draw_mask
from maskgate.training.occlusion.recolour import recolour_mask


@pytest.fixture
def worn(portrait: Any) -> np.ndarray:
    """A plain blue mask on the face."""
    return draw_mask(
        portrait.image, portrait.landmarks, Wearing.RIGHT, np.random.default_rng(4), colour=(120, 170, 225)
    )


def test_the_mask_changes_and_the_face_stays(portrait: Any, worn: np.ndarray) -> None:
    changes = []
    for seed in range(30):
        out = recolour_mask(worn, portrait.landmarks, np.random.default_rng(seed))
        difference = np.abs(out.astype(int) - worn).mean(2)
        x, y = portrait.pixels((0.0, 1.1))[0].tolist()
        changes.append(difference[y - 8 : y + 8, x - 8 : x + 8].mean())
        eyes = portrait.pixels((0.0, 0.0))[0][1]
        assert difference[: eyes + 3].max() == 0
        assert (difference > 4).mean() <= 1.15 * (
            np.abs(worn.astype(int) - portrait.image).mean(2) > 4
        ).mean()
    assert np.mean(np.array(changes) > 12) > 0.8
    assert np.std(changes) > 5


def test_folds_stay(portrait: Any, worn: np.ndarray) -> None:
    x, y = portrait.pixels((0.0, 1.1))[0].tolist()
    folded = worn.copy()
    folded[y - 1 : y + 2, x - 20 : x + 20] = (folded[y - 1 : y + 2, x - 20 : x + 20] * 0.8).astype(np.uint8)
    darker = []
    for seed in range(20):
        out = recolour_mask(folded, portrait.landmarks, np.random.default_rng(seed)).astype(float)
        row = out[:, x - 15 : x + 15].mean((1, 2))
        darker.append(row[y] < (row[y - 6] + row[y + 6]) / 2)
    assert np.mean(darker) > 0.75


def test_prints_and_faces_without_a_frame_stay(portrait: Any, worn: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, worn.shape, dtype=np.uint8)
    assert np.array_equal(recolour_mask(noise, portrait.landmarks, np.random.default_rng(1)), noise)
    for points in (np.zeros((5, 2), np.float32), portrait.landmarks - 2000):
        assert np.array_equal(recolour_mask(worn, points, np.random.default_rng(1)), worn)
