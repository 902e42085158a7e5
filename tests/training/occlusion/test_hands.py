from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.training.occlusion.hands import Hand, cut_out_hand, lay_hand, read_hands

SKIN = (190, 130, 100)


def photograph(ground: int, size: tuple[int, int] = (200, 300)) -> np.ndarray:
    """A hand of 80×120 pixels in the middle of a plain ground."""
    image = np.full((*size, 3), ground, np.uint8)
    cv2.ellipse(image, (size[1] // 2, size[0] // 2), (60, 40), 0, 0, 360, SKIN, -1)
    return image


@pytest.mark.parametrize("ground", [250, 4], ids=["white", "black"])
def test_hand_is_cut_out(ground: int) -> None:
    hand = cut_out_hand(photograph(ground), side=100)
    assert hand is not None
    assert (hand.rgb.dtype, hand.cover.dtype) == (np.uint8, np.float32)
    assert hand.rgb.shape[:2] == hand.cover.shape
    assert max(hand.cover.shape) == 100
    assert hand.cover.shape[0] / 100 == pytest.approx(80 / 120, abs=0.04)
    assert 0 <= hand.cover.min() <= hand.cover.max() <= 1
    assert hand.cover.mean() == pytest.approx(np.pi / 4, abs=0.04)  # an ellipse in its box
    colours = hand.rgb[hand.cover > 0.95]
    assert np.abs(colours.astype(int) - SKIN).max(1).mean() < 10  # nothing of the ground
    assert hand.cover[0, 0] == 0


@pytest.mark.parametrize("ground", [250, 4])
def test_nothing_like_a_hand(ground: int) -> None:
    assert cut_out_hand(np.full((100, 100, 3), ground, np.uint8)) is None
    speck = np.full((100, 100, 3), ground, np.uint8)
    speck[50:54, 50:54] = SKIN
    assert cut_out_hand(speck) is None
    filled = np.full((100, 100, 3), ground, np.uint8)
    filled[3:97, 3:97] = SKIN
    assert cut_out_hand(filled) is None


def test_read_hands(tmp_path: Path) -> None:
    files = [tmp_path / "hand.png", tmp_path / "empty.png"]
    cv2.imwrite(str(files[0]), photograph(250)[..., ::-1])
    cv2.imwrite(str(files[1]), np.full((50, 50, 3), 250, np.uint8))
    hands = read_hands(files)
    assert len(hands) == 1
    assert hands[0].rgb[hands[0].cover > 0.95].mean(0) == pytest.approx(np.array(SKIN), abs=8)  # RGB
    with pytest.raises(DataError, match=r"gone\.png cannot be read as a picture"):
        read_hands([tmp_path / "gone.png"])


def test_hands_of_the_data(shared: Path) -> None:
    for folder in ("dorsal", "signs"):
        files = sorted((shared / "data" / "hands" / folder).glob("*.jpg"))[::60]
        hands = read_hands(files)
        assert len(hands) >= 0.8 * len(files)
        for hand in hands:
            assert 0.25 < hand.cover.mean() < 0.95


@pytest.fixture
def hand() -> Hand:
    """A whole rectangle in a colour of its own."""
    return Hand(np.full((120, 90, 3), (60, 200, 230), np.uint8), np.ones((120, 90), np.float32))


def test_hand_covers_the_mouth_and_leaves_the_eyes(portrait: Any, hand: Hand) -> None:
    mouth, brow = [], []
    for seed in range(60):
        out = lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(seed))
        assert (out.shape, out.dtype) == (portrait.image.shape, np.uint8)
        mouth.append(portrait.change(out, (0.0, 1.0)))
        brow.append(portrait.change(out, (0.0, -1.6)))
    assert (np.array(mouth) > 15).mean() > 0.95
    assert np.median(brow) < 1


def test_hand_is_of_the_size_of_a_hand(portrait: Any, hand: Hand) -> None:
    """3.2 to 5.6 half eye distances long, here of 30 pixels."""
    for seed in range(30):
        out = lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(seed))
        strong = np.abs(out.astype(int) - portrait.image).max(2) > 25
        area = strong.sum() / 30**2
        assert 0.6 * 3.2**2 * 0.7 < area < 1.25 * 5.6**2 * 0.8


def test_hand_takes_on_the_light(portrait: Any, hand: Hand) -> None:
    x, y = portrait.pixels((0.0, 1.0))[0]
    bright = lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(2))[y, x]
    dark_picture = (portrait.image * 0.25).astype(np.uint8)
    dark = lay_hand(dark_picture, portrait.landmarks, hand, np.random.default_rng(2))[y, x]
    assert dark.mean() < bright.mean() - 25


def test_same_draws_same_hand(portrait: Any, hand: Hand) -> None:
    outs = [
        [
            lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(s)).tobytes()
            for s in range(5)
        ]
        for _ in range(2)
    ]
    assert outs[0] == outs[1]
    assert len(set(outs[0])) == 5


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.array([[0, 0], [60, 0], [30, 33], [5, 60], [55, 60]]) - 900]
)
def test_no_face_to_lay_it_on(portrait: Any, hand: Hand, points: np.ndarray) -> None:
    out = lay_hand(portrait.image, points.astype(np.float32), hand, np.random.default_rng(0))
    assert np.array_equal(out, portrait.image)
