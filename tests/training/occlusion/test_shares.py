from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.shares import COVERS, OcclusionShares
from maskgate.types import Faces

NONE = replace(OcclusionShares(), **dict.fromkeys(COVERS, 0.0), glasses=0.0)
STRIPES = np.broadcast_to(
    np.where(np.arange(90) // 9 % 2, 250, 90).astype(np.uint8)[:, None, None], (90, 60, 3)
)
HAND = Hand(STRIPES.copy(), np.ones((90, 60), np.float32))


def test_without_any_share_nothing_covers(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    painter = Painter(hands=[HAND], shares=NONE)
    for seed in range(5):
        drawn = painter.bare_cover(astronaut, astronaut_face.landmarks[0], np.random.default_rng(seed))
        assert np.array_equal(drawn, astronaut)


@pytest.mark.parametrize("kind", COVERS)
def test_one_kind_alone(kind: str, astronaut: np.ndarray, astronaut_face: Faces) -> None:
    painter = Painter(hands=[HAND], shares=replace(NONE, **{kind: 1.0}))
    points = astronaut_face.landmarks[0]
    changed = [
        (painter.bare_cover(astronaut, points, np.random.default_rng(s)) != astronaut).any() for s in range(5)
    ]
    assert all(changed)


def same(one: Painter, other: Painter, method: str, image: np.ndarray, faces: Faces, seed: int) -> bool:
    points = faces.landmarks[0]
    return bool(
        np.array_equal(
            *(getattr(p, method)(image, points, rng=np.random.default_rng(seed)) for p in (one, other))
        )
    )


@pytest.mark.parametrize("kind", ["objects", "held_masks"])
def test_hands_hold_things_unless_they_are_left_out(
    kind: str, astronaut: np.ndarray, astronaut_face: Faces
) -> None:
    whole = replace(NONE, **{kind: 1e9}, hands=1e-9, holding=1.0)
    for shares, hidden in (
        (whole, True),
        (replace(whole, holding=0.0), False),
        (replace(whole, hands=0), False),
    ):
        painter = Painter(hands=[HAND], shares=shares)
        bare = Painter(shares=shares)
        for seed in range(6):
            assert same(painter, bare, "bare_cover", astronaut, astronaut_face, seed) != hidden


@pytest.mark.parametrize("method", ["bare_cover", "wrong_mask"])
def test_glasses_come_on_everything(method: str, astronaut: np.ndarray, astronaut_face: Faces) -> None:
    plain = Painter(
        shares=replace(OcclusionShares(), scarves=1, over_mouth=0, objects=0, hair=0, beards=0, glasses=0)
    )
    for share in (0.0, 1.0):
        painter = Painter(shares=replace(plain.shares, glasses=share))
        x, y = astronaut_face.landmarks[0, 0].round().astype(int)
        eye = np.s_[y - 9 : y + 10, x - 14 : x + 15]
        for seed in range(6):
            drawn = getattr(painter, method)(
                astronaut, astronaut_face.landmarks[0], rng=np.random.default_rng(seed)
            )
            assert (np.abs(drawn[eye].astype(int) - astronaut[eye]).max() > 20) == (share == 1)


def test_every_wrong_mask_hangs_or_none(portrait: Any) -> None:
    for share in (0.0, 1.0):
        painter = Painter(shares=replace(OcclusionShares(), hanging=share, glasses=0.0))
        chin = []
        for seed in range(12):
            drawn = painter.wrong_mask(portrait.image, portrait.landmarks, np.random.default_rng(seed))
            chin.append(portrait.change(drawn, (0.0, 1.8)) > 8)
        assert np.mean(chin) == (1 - share)


def test_a_share_of_masks_has_the_colour_of_skin(portrait: Any) -> None:
    x, y = portrait.pixels((0.0, 1.2))[0]
    skin = portrait.image[y, x] / portrait.image[y, x].sum()
    near = []
    for share in (0.0, 1.0):
        painter = Painter(shares=replace(OcclusionShares(), skin_toned=share, glasses=0.0))
        found = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            worn = painter.mask(portrait.image, portrait.landmarks, Wearing.RIGHT, rng)
            colour = worn[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
            found.append(np.abs(colour / colour.sum() - skin).max() < 0.05)
        near.append(np.mean(found))
    assert near[0] < 0.35
    assert near[1] > 0.75


def test_a_hand_touches_a_mask(astronaut: np.ndarray, astronaut_face: Faces) -> None:
    points = astronaut_face.landmarks[0]
    for touched in (0.0, 1.0):
        painter = Painter(hands=[HAND], shares=replace(OcclusionShares(), touched=touched))
        plain = replace(painter, hands=())
        for seed in range(6):
            drawn = painter.mask(astronaut, points, Wearing.RIGHT, np.random.default_rng(seed))
            alike = np.array_equal(
                drawn, plain.mask(astronaut, points, Wearing.RIGHT, np.random.default_rng(seed))
            )
            assert alike == (touched == 0)


@pytest.mark.parametrize("name", [f.name for f in fields(OcclusionShares)])
def test_impossible_shares(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} = -0.1"):
        OcclusionShares(**{name: -0.1})


@pytest.mark.parametrize(
    "name", ["over_mouth", "templates", "touched", "skin_toned", "holding", "hanging", "glasses"]
)
def test_shares_of_one_thing_are_at_most_1(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} = 1.5"):
        OcclusionShares(**{name: 1.5})
