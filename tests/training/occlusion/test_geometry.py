from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.training.occlusion.geometry import NOSE_Y, FaceFrame, smooth_outline

FRONTAL = np.array([[40, 50], [80, 50], [60, 72], [43, 90], [77, 90]], np.float32)


def frame_of(points: np.ndarray) -> FaceFrame:
    frame = FaceFrame.from_landmarks(points.astype(np.float32))
    assert frame is not None
    return frame


def test_frontal_face_by_hand() -> None:
    frame = frame_of(FRONTAL)
    assert frame.origin.tolist() == [60, 50]
    assert frame.right.tolist() == [20, 0]
    assert frame.down.tolist() == [0, 40]
    assert frame.turn == pytest.approx(0)
    assert frame.scale == 20
    face = np.array([[-1, 0], [1, 0], [0, NOSE_Y], [0, 1], [0, 1.8]])
    assert frame.to_pixels(face) == pytest.approx(
        np.array([[40, 50], [80, 50], [60, 72], [60, 90], [60, 122]])
    )


@given(st.floats(-180, 180), st.floats(0.3, 5), st.floats(-100, 100))
def test_frame_turns_and_grows_with_the_face(angle: float, scale: float, shift: float) -> None:
    a = np.deg2rad(angle)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    moved = FRONTAL @ turn.T + [shift, -shift]
    places = np.array([[0.5, 0.2], [-1.5, 1.2], [0, 1.9]])
    wanted = frame_of(FRONTAL).to_pixels(places) @ turn.T + [shift, -shift]
    assert frame_of(moved).to_pixels(places) == pytest.approx(wanted, abs=0.02 * scale)


def test_turned_face() -> None:
    """The nose tip stays under the face's middle line; the far side narrows."""
    points = FRONTAL.copy()
    points[2, 0] = 70  # half an eye distance to the right
    frame = frame_of(points)
    assert frame.turn == pytest.approx(0.5)
    middle = frame.to_pixels(np.array([[0.0, NOSE_Y]]))[0]
    assert 66 < middle[0] < 71
    right, left = frame.to_pixels(np.array([[1.9, 0.0], [-1.9, 0.0]]))[:, 0]
    assert right - 60 < 0.9 * (60 - left)
    points[2, 0] = 50
    assert frame_of(points).turn == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "points",
    [np.zeros((5, 2)), FRONTAL * [1, 0.01], (FRONTAL - 60) * [0.05, 1] + 60],
    ids=["dot", "flat", "edge-on"],
)
def test_degenerate_face_has_no_frame(points: np.ndarray) -> None:
    assert FaceFrame.from_landmarks(points.astype(np.float32)) is None


def test_outline_goes_through_its_points_and_closes() -> None:
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    curve = smooth_outline(square, steps=8)
    assert curve.shape == (32, 2)
    assert curve[::8] == pytest.approx(square)
    steps = np.hypot(*(np.roll(curve, -1, 0) - curve).T)
    assert steps.max() < 2.5  # no jump, at the end either
    assert curve[4] == pytest.approx([5, -1.25])  # Catmull-Rom at the half: (9 (b + c) - a - d) / 16
