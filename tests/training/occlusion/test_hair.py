from __future__ import annotations

import numpy as np

from maskgate.training.occlusion.hair import draw_hair
from maskgate.types import Faces


def test_hair_comes_from_the_sides_and_leaves_gaps(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    shares = []
    for seed in range(20):
        drawn = draw_hair(astronaut, astronaut_face.landmarks[0], np.random.default_rng(seed))
        face = np.s_[80:180, 180:270]
        shares.append((np.abs(drawn[face].astype(int) - astronaut[face]).max(2) > 20).mean())
    assert 0.03 < np.mean(shares) < 0.6
    assert max(shares) < 0.9
