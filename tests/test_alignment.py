from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform, rotate

from maskgate.alignment import (
    ARCFACE_TEMPLATE,
    CropSpec,
    align_five_points,
    rotate_and_crop,
    rotate_and_crop_matrix,
    similarity_matrix,
)
from maskgate.errors import InputError
from maskgate.types import Faces


@pytest.fixture(scope="module")
def faces() -> Faces:
    """The astronaut's face, and a place on her suit."""
    boxes = np.array([[178, 62, 272, 182], [60, 300, 160, 420]], np.float32)
    places = np.array([[0.3, 0.4], [0.7, 0.45], [0.5, 0.6], [0.35, 0.78], [0.65, 0.8]], np.float32)
    landmarks = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.array([0.9, 0.8], np.float32), landmarks)


def test_a_crop_spec_cuts_by_its_kind(astronaut: np.ndarray, faces: Faces) -> None:
    rotated = CropSpec("rotate", 64, 1.6).cut(astronaut, faces)
    np.testing.assert_array_equal(rotated, rotate_and_crop(astronaut, faces, size=64, margin=1.6))
    aligned = CropSpec("five-point", 64, 1.6).cut(astronaut, faces)
    np.testing.assert_array_equal(aligned, align_five_points(astronaut, faces, size=64))
    assert rotated.shape == aligned.shape == (2, 64, 64, 3)
    assert rotated.dtype == aligned.dtype == np.uint8
    assert not np.array_equal(rotated, aligned)


def test_faces_without_landmarks_are_upright_average_ones(astronaut: np.ndarray) -> None:
    box = np.array([[178, 62, 272, 182]], np.float32)
    places = [[0.3, 0.38], [0.7, 0.38], [0.5, 0.58], [0.34, 0.77], [0.66, 0.77]]
    points = np.array([178, 62]) + np.array(places) * [94, 120]
    known = Faces(box, np.ones(1, np.float32), points[None])
    blind = Faces(box, np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))
    for spec in (CropSpec("rotate", 64, 1.6), CropSpec("five-point", 64)):
        crop = spec.cut(astronaut, blind)
        assert crop.std() > 20
        np.testing.assert_allclose(crop.astype(int), spec.cut(astronaut, known), atol=1)


@pytest.mark.parametrize("kind", ["rotate", "five-point"])
def test_no_face_gives_no_crop(astronaut: np.ndarray, kind: Any) -> None:
    assert CropSpec(kind, 32).cut(astronaut, Faces.empty()).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    "fields", [{"kind": "square"}, {"size": 7}, {"margin": 0.4}, {"margin": 4.1}, {"margin": float("nan")}]
)
def test_a_crop_spec_out_of_range(fields: dict[str, Any]) -> None:
    (value,) = fields.values()
    with pytest.raises(InputError, match=f"^the crop's .*{value}"):
        CropSpec(**fields)


def test_a_crop_spec_stays_as_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        CropSpec().size = 224  # type: ignore[misc]


UPRIGHT = np.array([[-20, -18], [20, -18], [0, 4], [-14, 24], [14, 24]], np.float64)
"""Landmarks of an upright face about its box's centre, pixels."""


def turned(degrees: float, centre: tuple[float, float] = (100, 90), scale: float = 1.0) -> Faces:
    """A face of 80 × 80 pixels, times ``scale``, turned clockwise as seen, with a box that stays put."""
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = scale * UPRIGHT @ turn.T + centre
    half = 40 * scale
    box = [centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half]
    return Faces(np.array([box], np.float32), np.ones(1, np.float32), points[None].astype(np.float32))


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


@given(degrees=st.floats(-179, 179), scale=st.floats(0.1, 10))
def test_any_roll_ends_upright(degrees: float, scale: float) -> None:
    faces = turned(degrees, scale=scale)
    assert faces.roll[0] == pytest.approx(degrees, abs=0.01)
    matrix = rotate_and_crop_matrix(faces.boxes[0], float(faces.roll[0]), 112, 1.35)
    left, right, nose, *_ = mapped(matrix, faces.landmarks[0].astype(np.float64))
    assert left[1] == pytest.approx(right[1], abs=0.05)
    assert left[0] < right[0]
    assert nose[1] > left[1]
    box = faces.boxes[0].astype(np.float64)  # as rounded: its middle is (100, 90) but for that
    middle = (box[:2] + box[2:]) / 2
    np.testing.assert_allclose(middle, [100, 90], atol=1e-4)
    np.testing.assert_allclose(mapped(matrix, middle[None]), [[55.5, 55.5]], atol=1e-6)


def test_crop_of_an_upright_face_by_hand() -> None:
    # a square of 1.5 × 80 = 120 pixels becomes 60: half the scale, box centre to (29.5, 29.5)
    matrix = rotate_and_crop_matrix(np.array([60, 50, 140, 130], np.float32), 0.0, 60, 1.5)
    np.testing.assert_allclose(matrix, [[0.5, 0, 29.5 - 50], [0, 0.5, 29.5 - 45]])


def test_crop_of_a_face_on_its_side_by_hand() -> None:
    # roll +90°: the picture's downward direction is the crop's right, its left the crop's down
    matrix = rotate_and_crop_matrix(np.array([60, 50, 140, 130], np.float32), 90.0, 80, 1.0)
    np.testing.assert_allclose(mapped(matrix, np.array([[100, 100]])), [[49.5, 39.5]], atol=1e-9)
    np.testing.assert_allclose(mapped(matrix, np.array([[90, 90]])), [[39.5, 49.5]], atol=1e-9)


@pytest.mark.parametrize("degrees", [-150, -90, -30, 15, 45, 120])
def test_a_turned_picture_gives_the_same_crop(astronaut: np.ndarray, faces: Faces, degrees: float) -> None:
    """Independent of ours, scikit-image turns the picture about the face's centre."""
    face = faces.select([0])
    box = face.boxes[0]
    # a square box about the same centre, as its size in the turned picture follows from the formula
    centre = (box[:2] + box[2:]) / 2
    level = face.landmarks[0] - centre
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    # scikit-image turns counter-clockwise for positive angles; roll is clockwise
    picture = rotate(astronaut, -degrees, center=centre, preserve_range=True, order=1, mode="edge")
    half = 50.0
    grow = 1 + 0.5 * (abs(np.cos(np.deg2rad(face.roll[0] + degrees))) + abs(
        np.sin(np.deg2rad(face.roll[0] + degrees))) - 1)  # fmt: skip
    upright = 1 + 0.5 * (abs(np.cos(np.deg2rad(face.roll[0]))) + abs(np.sin(np.deg2rad(face.roll[0]))) - 1)

    def square(side: float) -> np.ndarray:
        return np.array([[*(centre - side), *(centre + side)]], np.float32)

    before = Faces(square(half * upright), face.scores, face.landmarks)
    after = Faces(square(half * grow), face.scores, (level @ turn.T + centre)[None])
    (crop,) = rotate_and_crop(astronaut, before, 64, 1.0)
    (other,) = rotate_and_crop(np.round(picture).astype(np.uint8), after, 64, 1.0)
    assert np.abs(crop.astype(int) - other).mean() < 4  # two interpolations instead of one


@given(
    st.floats(-3.1, 3.1), st.floats(0.05, 20), st.floats(-500, 500), st.floats(-500, 500), st.integers(0, 999)
)
def test_similarity_is_that_of_scikit_image(
    angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    noise = np.random.default_rng(seed).normal(0, 2, (5, 2))
    source = mapped(SimilarityTransform(scale=scale, rotation=angle, translation=(x, y)).params[:2], UPRIGHT)
    source = (source + scale * noise).astype(np.float32)
    wanted = SimilarityTransform.from_estimate(source.astype(np.float64), ARCFACE_TEMPLATE.astype(np.float64))
    ours = similarity_matrix(source, ARCFACE_TEMPLATE)
    corners = source.astype(np.float64)
    np.testing.assert_allclose(mapped(ours, corners), mapped(wanted.params[:2], corners), atol=1e-2)


def test_five_points_end_on_the_template() -> None:
    """White dots at the landmarks of a black picture appear where the template has them."""
    faces = Faces(np.array([[0, 0, 300, 300]], np.float32), np.ones(1, np.float32),
                  (mapped(SimilarityTransform(scale=2, rotation=0.6, translation=(120, 10)).params[:2],
                          ARCFACE_TEMPLATE.astype(np.float64)))[None])  # fmt: skip
    picture = np.zeros((400, 400, 3), np.uint8)
    for x, y in faces.landmarks[0]:
        cv2.circle(picture, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    (crop,) = align_five_points(picture, faces)
    for x, y in ARCFACE_TEMPLATE:
        assert crop[round(float(y)), round(float(x))].min() > 200
    assert crop.mean() < 12


def test_coinciding_landmarks() -> None:
    with pytest.raises(InputError, match="landmarks coincide"):
        similarity_matrix(np.ones((5, 2), np.float32), ARCFACE_TEMPLATE)


def test_large_faces_are_averaged_not_sampled() -> None:
    """A fine chequerboard, shrunk eightfold, is grey; single pixels would be black or white."""
    board = np.indices((800, 800)).sum(0) % 2 * 255
    picture = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    faces = turned(20, (400, 400), scale=8)
    (crop,) = rotate_and_crop(picture, faces, 64, 1.0)
    assert np.abs(crop.astype(int) - 127).max() <= 12


@pytest.mark.parametrize("kind", ["rotate", "five-point"])
def test_shrinking_moves_nothing(kind: Any) -> None:
    """On a picture whose grey value is a linear function of the place, a crop's are too."""
    y, x = np.mgrid[:640, :640]
    picture = np.repeat(((x + y) / 5)[..., None], 3, 2).round().astype(np.uint8)
    faces = turned(10, (320, 320), scale=5)
    spec = CropSpec(kind, 48, 1.0)
    (crop,) = spec.cut(picture, faces)
    if kind == "rotate":
        matrix = rotate_and_crop_matrix(faces.boxes[0], float(faces.roll[0]), 48, 1.0)
    else:
        matrix = similarity_matrix(faces.landmarks[0], ARCFACE_TEMPLATE * np.float32(48 / 112))
    back = cv2.invertAffineTransform(matrix)
    v, u = np.mgrid[4:44, 4:44]
    places = mapped(back, np.stack([u.ravel(), v.ravel()], 1).astype(np.float64))
    inside = ((places > 6) & (places < 633)).all(1)
    difference = crop[v.ravel(), u.ravel(), 0] - places.sum(1) / 5
    assert np.abs(difference[inside]).max() < 1.5
    assert abs(difference[inside].mean()) < 0.3


@pytest.mark.parametrize("kind", ["rotate", "five-point"])
def test_outside_the_picture_the_edge_goes_on(kind: Any) -> None:
    picture = np.full((50, 50, 3), (10, 200, 90), np.uint8)
    for centre in ((0, 0), (49, 20), (500, -300)):
        (crop,) = CropSpec(kind, 40).cut(picture, turned(33, centre))
        assert (crop == (10, 200, 90)).all()
        (crop,) = CropSpec(kind, 40).cut(picture, turned(33, centre, scale=6))
        assert (crop == (10, 200, 90)).all()


def test_degenerate_boxes_give_crops(astronaut: np.ndarray) -> None:
    box = np.array([[30, 30, 30, 30]], np.float32)
    face = Faces(box, np.ones(1, np.float32), np.full((1, 5, 2), 30, np.float32))
    assert rotate_and_crop(astronaut, face, 16).shape == (1, 16, 16, 3)
