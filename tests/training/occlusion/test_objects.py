from __future__ import annotations

import numpy as np
import pytest

from maskgate.training.occlusion.hair import draw_hair
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.objects import draw_object
from maskgate.types import Faces


@pytest.mark.parametrize("draw", [draw_object, draw_hair])
class TestBoth:
    def test_same_seed_same_picture(self, draw, astronaut: np.ndarray, astronaut_face: Faces) -> None:
        before = astronaut.copy()
        points = astronaut_face.landmarks[0]
        one, two, other = (draw(astronaut, points, np.random.default_rng(s)) for s in (1, 1, 2))
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)
        assert np.array_equal(astronaut, before)

    def test_far_from_the_face_nothing_changes(
        self, draw, astronaut: np.ndarray, astronaut_face: Faces
    ) -> None:
        for seed in range(12):
            drawn = draw(astronaut, astronaut_face.landmarks[0], np.random.default_rng(seed))
            changed = (drawn != astronaut).any(2)
            assert changed.any()
            y, x = np.nonzero(changed)
            assert y.min() > 20
            assert y.max() < 360
            assert x.min() > 100
            assert x.max() < 360

    def test_a_face_without_a_frame_stays_as_it_is(self, draw, astronaut: np.ndarray) -> None:
        points = np.full((5, 2), 100, np.float32)
        assert np.array_equal(draw(astronaut, points, np.random.default_rng(0)), astronaut)

    def test_a_face_at_the_edge(self, draw, astronaut: np.ndarray, astronaut_face: Faces) -> None:
        for shift in ((-230, 0), (250, 0), (0, -150), (0, 390), (900, 900)):
            points = astronaut_face.landmarks[0] + np.array(shift, np.float32)
            assert draw(astronaut, points, np.random.default_rng(3)).shape == astronaut.shape


def test_an_object_hides_the_mouth_and_not_the_eyes(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    points = astronaut_face.landmarks[0]
    mouth = points[3:].mean(0).round().astype(int)
    hidden = []
    for seed in range(30):
        drawn = draw_object(astronaut, points, np.random.default_rng(seed)).astype(int)
        for x, y in points[:2].round().astype(int):
            patch = np.s_[y - 2 : y + 3, x - 2 : x + 3]
            assert np.abs(drawn[patch] - astronaut[patch]).max() < 60  # at most in its shadow
        patch = np.s_[mouth[1] - 3 : mouth[1] + 4, mouth[0] - 3 : mouth[0] + 4]
        hidden.append(np.abs(drawn[patch] - astronaut[patch]).max() > 25)
    assert np.mean(hidden) > 0.8


def test_a_hand_holds_it_below_the_eyes(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    points = astronaut_face.landmarks[0]
    hand = Hand(np.full((90, 60, 3), 120, np.uint8), np.ones((90, 60), np.float32))
    below = []
    for seed in range(25):
        alone = draw_object(astronaut, points, np.random.default_rng(seed))
        held = draw_object(astronaut, points, np.random.default_rng(seed), hand)
        y, _ = np.nonzero((held != alone).any(2))
        assert len(y) > 200
        below.append(np.median(y) > points[3:, 1].mean())
    assert np.mean(below) > 0.8
