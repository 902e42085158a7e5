from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.types import Faces

COVERS = ("hands", "objects", "scarves", "beards", "hair")
NONE = replace(OcclusionShares(), **dict.fromkeys(COVERS, 0.0))
GREEN = Hand(
    np.broadcast_to(np.array([0, 255, 0], np.uint8), (90, 60, 3)).copy(), np.ones((90, 60), np.float32)
)


def test_without_any_share_nothing_covers(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    painter = Painter(hands=[GREEN], shares=NONE)
    for seed in range(5):
        drawn = painter.bare_cover(astronaut, astronaut_face.landmarks[0], np.random.default_rng(seed))
        assert np.array_equal(drawn, astronaut)


@pytest.mark.parametrize("kind", COVERS)
def test_one_kind_alone(kind: str, astronaut: np.ndarray, astronaut_face: Faces) -> None:
    painter = Painter(hands=[GREEN], shares=replace(NONE, **{kind: 1.0}))
    points = astronaut_face.landmarks[0]
    changed = [
        (painter.bare_cover(astronaut, points, np.random.default_rng(s)) != astronaut).any() for s in range(5)
    ]
    assert all(changed)


def is_green(image: np.ndarray) -> bool:
    r, g, b = (image[..., k].astype(int) for k in range(3))
    return bool(((g > r + 40) & (g > b + 40)).sum() > 60)


def test_a_share_of_0_draws_no_hands(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    points = astronaut_face.landmarks[0]
    with_hands = Painter(hands=[GREEN], shares=replace(NONE, hands=1.0))
    without = Painter(hands=[GREEN], shares=replace(OcclusionShares(), hands=0.0, objects=0.0, touched=0.0))
    assert not is_green(astronaut)
    for seed in range(12):
        assert is_green(with_hands.bare_cover(astronaut, points, np.random.default_rng(seed)))
    beards = replace(without.shares, scarves=0.0, hair=0.0)
    for seed in range(12):
        painter = replace(without, shares=beards)
        assert not is_green(painter.bare_cover(astronaut, points, np.random.default_rng(seed)))


def test_a_hand_touches_a_mask(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    points = astronaut_face.landmarks[0]
    for touched in (0.0, 1.0):
        painter = Painter(hands=[GREEN], shares=replace(OcclusionShares(), touched=touched))
        plain = replace(painter, hands=())
        for seed in range(6):
            drawn = painter.mask(astronaut, points, Wearing.RIGHT, np.random.default_rng(seed))
            same = np.array_equal(
                drawn, plain.mask(astronaut, points, Wearing.RIGHT, np.random.default_rng(seed))
            )
            assert same == (touched == 0)


@pytest.mark.parametrize("name", [f.name for f in fields(OcclusionShares)])
def test_impossible_shares(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} = -0.1"):
        OcclusionShares(**{name: -0.1})


@pytest.mark.parametrize("name", ["over_mouth", "templates", "touched"])
def test_shares_of_one_thing_are_at_most_1(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} = 1.5"):
        OcclusionShares(**{name: 1.5})
