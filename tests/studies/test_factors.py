from __future__ import annotations

import numpy as np
import pytest

from maskgate.studies.factors import NOSE_DEPTH, YAW_BINS, Factor, standard_factors, yaw_bin, yaw_of
from maskgate.studies.perturbations import FaceView
from maskgate.training.occlusion.hands import Hand

HANDS = [Hand(np.full((200, 100, 3), (180, 120, 100), np.uint8), np.ones((200, 100), np.float32), 1)]
FACTORS = standard_factors(HANDS)

HEAD = np.array([[-1, 0, 0], [1, 0, 0], [0, 0.9, NOSE_DEPTH], [-0.8, 1.7, 0.3], [0.8, 1.7, 0.3]])
"""Eyes, nose and mouth in space, in half eye distances."""


def turned(yaw: float, roll: float = 0, size: float = 30) -> np.ndarray:
    """Landmarks of the head as a far camera sees it."""
    a, b = np.deg2rad([yaw, roll])
    across = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    flat = (HEAD @ across.T)[:, :2] @ np.array([[np.cos(b), np.sin(b)], [-np.sin(b), np.cos(b)]])
    return (flat * size + 100).astype(np.float32)


@pytest.mark.parametrize("yaw", [0, 5, 17, 30, -30, 44, -61, 80])
@pytest.mark.parametrize("roll", [0, 25, -70])
def test_yaw_of_a_head_in_space(yaw: float, roll: float) -> None:
    assert yaw_of(turned(yaw, roll)) == pytest.approx(abs(yaw), abs=0.05)


def test_yaw_that_cannot_be_told() -> None:
    marks = turned(10)
    marks[3] = np.nan
    assert np.isnan(yaw_of(marks))
    assert np.isnan(yaw_of(np.full((5, 2), 7, np.float32)))


def test_each_face_is_in_one_bin() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((9, 9, 3), np.uint8)
    box = np.array([0, 0, 9, 9], np.float32)
    for yaw in [*range(0, 90, 7), 88]:
        view = FaceView(image, box, turned(yaw), 0)
        names = [name for name in YAW_BINS if yaw_bin(view, name, rng) is view]
        assert len(names) == 1
        low, high = YAW_BINS[names[0]]
        assert low <= yaw + 0.05
        assert yaw - 0.05 < high
    unknown = FaceView(image, box, np.full((5, 2), np.nan, np.float32), 0)
    assert all(yaw_bin(unknown, name, rng) is None for name in YAW_BINS)


def test_factors_are_whole() -> None:
    names = [factor.name for factor in FACTORS]
    assert len(set(names)) == len(names)
    # all of the paper's but the expression
    assert {factor.number for factor in FACTORS} == {1, 2, 3, 4, 5, 6}
    for factor in FACTORS:
        assert set(factor.coarse) <= set(factor.levels)
        if not isinstance(factor.levels[0], str):
            assert list(factor.levels) == sorted(factor.levels)  # type: ignore[type-var]
    roll, size = (next(f for f in FACTORS if f.name == name) for name in ("roll", "size"))
    assert (roll.levels[0], roll.levels[-1]) == (-60, 60)
    assert (size.levels[0], size.levels[-1]) == (16, 160)


@pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: factor.name)
@pytest.mark.parametrize("label", [0, 1])
def test_every_level_on_a_real_face(astronaut: np.ndarray, factor: Factor, label: int) -> None:
    marks = np.array([[203, 104], [247, 104], [226, 128], [208, 152], [244, 152]], np.float32)
    whole = FaceView(astronaut, np.array([172, 62, 276, 184], np.float32), marks, label)
    view = whole.cut(1.0)
    view = FaceView(view.image, view.box, view.landmarks, label, other=astronaut[300:, :200])
    before = view.image.copy()
    made = 0
    for level in factor.levels:
        one, two = (factor.perturb(view, level, np.random.default_rng(5)) for _ in range(2))
        if one is None or two is None:
            assert one is two
            continue
        made += 1
        np.testing.assert_array_equal(one.image, two.image)
        assert one.image.dtype == np.uint8
        assert one.image.shape == view.image.shape
        assert np.isfinite(one.box).all()
        assert (one.label, one.picture) == (view.label, view.picture)
    assert made
    np.testing.assert_array_equal(view.image, before)
