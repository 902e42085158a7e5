from __future__ import annotations

from typing import Any

import numpy as np

from maskgate.training.occlusion.hoods import draw_hood


def test_a_hood_goes_round_the_face(portrait: Any) -> None:
    around = []
    for seed in range(40):
        out = draw_hood(portrait.image, portrait.landmarks, np.random.default_rng(seed))
        for place in ((-1.0, 0.0), (1.0, 0.0), (0.0, 0.55), (0.0, 1.0), (-0.8, 1.0), (0.8, 1.0)):
            assert portrait.change(out, place) < 16  # but for a shadow: eyes, nose and mouth stay
        around.append(
            [portrait.change(out, p) > 10 for p in ((-2.3, 0.3), (2.3, 0.3), (0.0, -1.9), (0.0, 2.8))]
        )
    assert (np.mean(around, 0) > 0.75).all()


def test_draws_repeat_and_faces_without_a_frame_stay(portrait: Any) -> None:
    def draw(points: np.ndarray, seed: int) -> np.ndarray:
        return draw_hood(portrait.image, points, np.random.default_rng(seed))

    assert np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 1))
    assert not np.array_equal(draw(portrait.landmarks, 1), draw(portrait.landmarks, 2))
    assert np.array_equal(draw(np.zeros((5, 2), np.float32), 1), portrait.image)
    assert np.array_equal(draw(portrait.landmarks - 2000, 1), portrait.image)
