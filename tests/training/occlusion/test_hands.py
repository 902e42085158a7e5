from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.training.occlusion.hand_poses import HandPose, place_hands
from maskgate.training.occlusion.hands import Hand, cut_out_hand, lay_hand, lay_hand_at, read_hands

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


def test_hand_is_about_as_long_as_a_face(portrait: Any) -> None:
    """A face is about 6 half eye distances high, here of 30 pixels; the arm behind goes out of view."""
    shape = np.zeros((150, 60), np.float32)
    shape[:, 5:55] = 1
    long = Hand(np.full((150, 60, 3), (60, 200, 230), np.uint8), shape)
    fist = Hand(np.full((100, 90, 3), (60, 200, 230), np.uint8), np.ones((100, 90), np.float32))
    assert (long.compact, fist.compact) == (False, True)
    for hand, least, most in ((long, 4.3, 5.9), (fist, 3.3, 4.4)):
        for seed in range(20):
            place = place_hands(HandPose.PALM, hand.compact, np.random.default_rng(seed))[0]
            assert least <= place.length <= most
            straight = replace(place, x=0.0, y=-0.6, anchor=1.0, angle=0.0)  # fingertips at the brow
            rng = np.random.default_rng(seed)
            out = lay_hand_at(portrait.image, portrait.landmarks, hand, straight, rng)
            rows = np.flatnonzero((np.abs(out.astype(int) - portrait.image).max(2) > 12).sum(1) > 20)
            assert rows.min() == pytest.approx(portrait.pixels((0, -0.6))[0, 1], abs=8)
            widths = (np.abs(out.astype(int) - portrait.image).max(2) > 12).sum(1)[140:220]
            wanted = (50 / 150 if hand is long else 90 / 100) * place.length * 30
            assert np.median(widths) == pytest.approx(wanted, rel=0.35)


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


@pytest.fixture
def fist() -> Hand:
    """An ellipse with an arm."""
    cover = np.zeros((120, 100), np.float32)
    cv2.ellipse(cover, (50, 55), (48, 55), 0, 0, 360, (1.0,), -1)
    cover[100:, 25:75] = 1
    return Hand(np.full((120, 100, 3), (70, 60, 50), np.uint8), cover, 1)


@pytest.mark.parametrize("pose", list(HandPose))
def test_every_pose(portrait: Any, fist: Hand, pose: HandPose) -> None:
    mouth, nose, eyes = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image = portrait.image.copy()
        # a pattern that a hand hides
        image[::2, ::2] += 40
        out = lay_hand(image, portrait.landmarks, fist, rng, pose=pose).astype(int)

        def hidden(x: float, y: float, out: np.ndarray = out) -> bool:
            column, row = portrait.pixels((x, y))[0].tolist()
            part = out[row - 3 : row + 4, column - 3 : column + 4, 1]
            return bool(part.std() < 8)

        mouth.append(hidden(0.0, 1.0))
        nose.append(hidden(0.0, 0.7))
        eyes += [hidden(side, 0.0) for side in (-1.0, 1.0)]
    if pose is HandPose.TOUCHING:
        assert np.mean(mouth) < 0.3
    else:
        assert np.mean(mouth) > 0.9
    if pose is HandPose.PALM:
        assert np.mean(nose) > 0.7
    assert np.mean(eyes) < 0.2


def test_the_arm_leaves_the_picture_below_or_at_a_side(portrait: Any, hand: Hand) -> None:
    for seed in range(30):
        out = lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(seed))
        changed = (np.abs(out.astype(int) - portrait.image).max(2)) > 12
        assert not changed[:10].any()
        assert changed[-30:].any() or changed[:, :30].any() or changed[:, -30:].any()


@pytest.mark.parametrize("turns", range(4))
def test_fingers_point_up(turns: int) -> None:
    """A triangle with its tip away from the wrist, wherever the wrist was in the photograph."""
    cover = np.zeros((100, 100), np.float32)
    cv2.fillPoly(cover, [np.array([[50, 0], [0, 99], [99, 99]])], (1.0,))
    turned = np.ascontiguousarray(np.rot90(cover, turns))
    side = (1, 3, 0, 2)[turns]
    hand = Hand(np.full((100, 100, 3), 150, np.uint8), turned, side)
    _, up, wrist = hand.upright
    rows = up.sum(1)
    assert 80 < wrist <= 97
    assert rows[5] < 15
    assert rows[int(wrist) - 1] > 80
    assert (rows[int(wrist) + 1 :] > 80).all()  # the arm


@pytest.mark.parametrize(("ground", "side"), [(250, 0), (4, 1)], ids=["white", "black"])
def test_wrist_is_found(ground: int, side: int) -> None:
    """Such photographs mostly show it at the top, or below; one that lies across has it at a side."""
    image = np.full((300, 200, 3), ground, np.uint8)
    cv2.ellipse(image, (100, 150), (50, 70), 0, 0, 360, SKIN, -1)
    hand = cut_out_hand(image)
    assert hand is not None
    assert hand.wrist_side == side
    across = np.full((200, 300, 3), ground, np.uint8)
    cv2.fillPoly(across, [np.array([[20, 100], [290, 40], [290, 160]])], SKIN)
    lying = cut_out_hand(across)
    assert lying is not None
    assert lying.wrist_side == 3


def test_hand_takes_on_the_tone_of_the_face(portrait: Any) -> None:
    hand = Hand(np.full((120, 90, 3), (120, 130, 150), np.uint8), np.ones((120, 90), np.float32))
    x, y = portrait.pixels((0.0, 1.0))[0]
    skin = portrait.image[y, x].astype(float)
    colours = []
    for seed in range(40):
        out = lay_hand(portrait.image, portrait.landmarks, hand, np.random.default_rng(seed))
        colour = out[y, x].astype(float)
        colours.append(np.abs(colour / colour.sum() - skin / skin.sum()).max())
    assert np.median(colours) < 0.04  # the hand itself is 0.11 away
    grey = np.repeat(portrait.image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    for seed in range(10):
        out = lay_hand(grey, portrait.landmarks, hand, np.random.default_rng(seed)).astype(int)
        assert np.ptp(out, axis=2).max() <= 1
