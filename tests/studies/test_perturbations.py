from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.alignment import rotate_and_crop_matrix
from maskgate.errors import InputError
from maskgate.studies import perturbations as p
from maskgate.studies.perturbations import FaceView

UPRIGHT = np.array([[42, 45], [58, 45], [50, 53], [44, 61], [56, 61]], np.float32)
"""Landmarks in the box of :func:`view_of`."""


def lot(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def view_of(image: np.ndarray | None = None, **changes: object) -> FaceView:
    """A face of 40×48 pixels around (50, 50), by default in grey of 101×101 pixels."""
    if image is None:
        image = np.full((101, 101, 3), 100, np.uint8)
    return replace(FaceView(image, np.array([30, 26, 70, 74], np.float32), UPRIGHT, 1), **changes)


@pytest.fixture
def portrait(astronaut: np.ndarray) -> FaceView:
    """The astronaut's face; landmarks read off the picture."""
    marks = np.array([[203, 104], [247, 104], [226, 128], [208, 152], [244, 152]], np.float32)
    return FaceView(astronaut, np.array([172, 62, 276, 184], np.float32), marks, 1)


def test_roll_by_a_right_angle_is_rot90() -> None:
    image = lot().integers(0, 256, (101, 101, 3), np.uint8)
    turned = p.roll(view_of(image), 90, lot())
    np.testing.assert_array_equal(turned.image, np.rot90(image, -1))
    np.testing.assert_allclose(turned.box, [26, 30, 74, 70], atol=1e-4)  # sides change places
    np.testing.assert_allclose(turned.landmarks[0], [55, 42], atol=1e-4)  # from (42, 45) about (50, 50)


@given(st.floats(-60, 60), st.floats(-20, 20))
def test_roll_adds_to_the_face_s_own(degrees: float, own: float) -> None:
    view = p.roll(view_of(), own, lot())
    assert p.roll(view, degrees, lot()).roll == pytest.approx(own + degrees, abs=1e-3)


def test_landmarks_follow_the_turned_picture() -> None:
    for place in UPRIGHT:
        image = np.zeros((101, 101, 3), np.uint8)
        cv2.circle(image, tuple(place.astype(int).tolist()), 2, (255, 255, 255), -1)
        turned = p.roll(view_of(image, landmarks=np.tile(place, (5, 1))), -35, lot())
        y, x = np.nonzero(turned.image[..., 0] > 127)
        np.testing.assert_allclose(turned.landmarks[0], [x.mean(), y.mean()], atol=0.5)


def test_the_crop_of_a_turned_square_face_has_the_same_scale() -> None:
    view = view_of(box=np.array([30, 30, 70, 70], np.float32))
    turned = p.roll(view, 40, lot())
    scales = [np.linalg.det(rotate_and_crop_matrix(v.box, v.roll, 112, 1.35)[:, :2]) for v in (view, turned)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-5)


def test_exposure_by_hand() -> None:
    image = np.array([0, 10, 100, 200], np.uint8).repeat(30).reshape(4, 10, 3)
    view = FaceView(image, np.array([0, 0, 10, 4], np.float32), UPRIGHT, 1)
    # 2.2 stops are a factor of 2 in what is stored
    assert p.exposure(view, 2.2, lot()).image[:, 0, 0].tolist() == [0, 20, 200, 255]
    assert p.exposure(view, -2.2, lot()).image[:, 0, 0].tolist() == [0, 5, 50, 100]


def test_white_balance_by_hand() -> None:
    assert p.white_balance(view_of(), 4.4, lot()).image[0, 0].tolist() == [200, 100, 50]
    assert p.white_balance(view_of(), -4.4, lot()).image[0, 0].tolist() == [50, 100, 200]


def test_contrast_by_hand() -> None:
    image = np.full((101, 101, 3), 10, np.uint8)
    image[26:74, 30:50], image[26:74, 50:70] = 90, 110  # the face's mean is 100
    view = view_of(image)
    half = p.contrast(view, 0.5, lot()).image
    assert [half[50, x, 0] for x in (0, 40, 60)] == [55, 95, 105]
    twice = p.contrast(view, 2, lot()).image
    assert [twice[50, x, 0] for x in (0, 40, 60)] == [0, 80, 120]
    assert (p.contrast(view, 0, lot()).image == 100).all()
    with pytest.raises(InputError, match="contrast's factor is -1"):
        p.contrast(view, -1, lot())


def test_half_shadow_darkens_one_half_only() -> None:
    seen = set()
    for seed in range(8):
        dark = p.half_shadow(view_of(), 2.2, lot(seed)).image[..., 0]
        left, right = dark[:, :44], dark[:, 57:]
        assert {(int(left.min()), int(left.max())), (int(right.min()), int(right.max()))} == {
            (100, 100), (50, 50),
        }  # fmt: skip
        side = bool(left.max() == 50)
        # the same lot at another level darkens the same side
        assert (p.half_shadow(view_of(), 5, lot(seed)).image[0, 0, 0] < 50) == side
        seen.add(side)
    assert seen == {True, False}


def test_the_shadow_s_edge_turns_with_the_face() -> None:
    turned = UPRIGHT - 50
    view = view_of(landmarks=(turned @ np.array([[0, 1], [-1, 0]]) + 50).astype(np.float32))
    assert abs(view.roll) == pytest.approx(90)
    dark = p.half_shadow(view, 2.2, lot()).image[..., 0]
    assert {int(dark[:44].mean()), int(dark[57:].mean())} == {50, 100}


def test_noise_has_its_deviation() -> None:
    grains = p.noise(view_of(np.full((200, 200, 3), 128, np.uint8)), 10, lot()).image.astype(float) - 128
    assert grains.std() == pytest.approx(10, rel=0.03)
    assert grains.mean() == pytest.approx(0, abs=0.2)
    assert abs(np.corrcoef(grains[..., 0].ravel(), grains[..., 1].ravel())[0, 1]) < 0.03


def test_blur_has_its_deviation() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[50, 46:55] = image[46:55, 50] = image[48:53, 48:53] = 255
    before, after = (
        v.image[..., 0].astype(float) for v in (view_of(image), p.blur(view_of(image), 12.5, lot()))
    )
    x = np.arange(101) - 50
    variances = [(a.sum(0) * x**2).sum() / a.sum() for a in (before, after)]
    # variances add up; an eighth of the 48 pixels. What is under half a grey value is lost at the rim.
    assert np.sqrt(variances[1] - variances[0]) == pytest.approx(6, rel=0.06)


def test_jpeg_keeps_colours_and_loses_with_quality(portrait: FaceView) -> None:
    errors = [
        np.abs(p.jpeg(portrait, q, lot()).image.astype(int) - portrait.image).mean() for q in (95, 50, 10, 3)
    ]
    assert errors[0] < 3
    assert errors == sorted(errors)
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert (np.abs(p.jpeg(view_of(red), 30, lot()).image.astype(int) - red).max((0, 1)) < 12).all()
    for quality in (0, 101):
        with pytest.raises(InputError, match="JPEG quality"):
            p.jpeg(portrait, quality, lot())


@pytest.mark.parametrize("side", [8, 16, 25, 40])
def test_box_and_landmarks_follow_the_shrunk_picture(side: int) -> None:
    image = np.zeros((101, 141, 3), np.uint8)
    image[26:74, 30:70] = 255
    view = view_of(image)
    small = p.shrink(view, side, lot())
    assert small is not None
    assert small.image.shape == image.shape
    assert small.sides.min() == pytest.approx(side, rel=0.03)  # whole pixels of the picture
    x1, y1, x2, y2 = small.box
    bright = (small.image[..., 0] > 150).astype(float)  # the mean colour around is darker
    assert bright.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.15)
    y, x = np.nonzero(bright)
    np.testing.assert_allclose([x.mean() + 0.5, y.mean() + 0.5], small.centre, atol=0.5)
    relative = [(v.landmarks - v.box[:2]) / v.sides for v in (view, small)]
    np.testing.assert_allclose(*relative, atol=1e-4)


def test_nothing_is_enlarged() -> None:
    assert p.shrink(view_of(), 41, lot()) is None
    same = p.shrink(view_of(box=np.array([30.1, 26.3, 70.1, 74.3], np.float32)), 40, lot())
    assert same is not None


def test_covers_take_their_share() -> None:
    image = np.full((101, 101, 3), 5, np.uint8)  # no board is so dark
    sides = set()
    for seed in range(8):
        face = p.cover_side(view_of(image), 0.25, lot(seed)).image[26:74, 30:70, 0] != 5
        assert face.mean() == 0.25
        sides.add(bool(face[:, 0].all()))
        assert (p.cover_above(view_of(image), 0.25, lot(seed)).image[26:74, 30:70, 0] != 5).mean() == 0.25
    assert sides == {True, False}
    above = p.cover_above(view_of(image), 0.25, lot()).image[..., 0] != 5
    assert above[26:38].all()
    assert not above[38:].any()


def test_cut_moves_box_and_landmarks(portrait: FaceView) -> None:
    part = portrait.cut(0.75)
    corner = portrait.box[:2] - part.box[:2]
    assert part.image.shape == (184, 184, 3)  # from 31.5 to 214.5: a pixel begun counts
    np.testing.assert_allclose(portrait.landmarks - part.landmarks, np.tile(corner, (5, 1)))
    x, y = corner.astype(int)
    np.testing.assert_array_equal(part.image, portrait.image[y : y + 184, x : x + 184])
    corner_face = replace(portrait, box=np.array([-3, 0, 60, 60], np.float32)).cut(1.0)
    assert corner_face.box[0] == -3
    assert corner_face.image.shape[:2] == (93, 92)


def test_views_without_landmarks() -> None:
    view = view_of(landmarks=np.full((5, 2), np.nan, np.float32))
    assert view.roll == 0
    turned = p.roll(view, 30, lot())
    assert np.isnan(turned.landmarks).all()
    assert np.isfinite(turned.box).all()
    assert np.isnan(view.cut(1).landmarks).all()


@pytest.mark.parametrize(
    ("change", "neutral"),
    [
        (p.roll, 0), (p.exposure, 0), (p.white_balance, 0), (p.contrast, 1), (p.half_shadow, 0), (p.noise, 0),
        (p.blur, 0), (p.cover_side, 0), (p.cover_above, 0),
    ],
)  # fmt: skip
def test_no_change_is_the_same_view(change: p.Any, neutral: float) -> None:
    view = view_of()
    assert change(view, neutral, lot()) is view
