from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from maskgate.classification.quality import UncertainLimits, sharpness
from maskgate.types import Faces


def faces(*sides: tuple[float, float]) -> Faces:
    boxes = np.array([[5, 7, 5 + w, 7 + h] for w, h in sides], np.float32)
    return Faces(boxes, np.ones(len(sides), np.float32), np.zeros((len(sides), 5, 2), np.float32))


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> np.ndarray:
    """(112, 112, 3) the astronaut's face, sharp."""
    return np.ascontiguousarray(cv2.resize(astronaut[60:184, 162:286], (112, 112)))


def judge(limits: UncertainLimits, found: Faces, crop: np.ndarray, p: Any, threshold: float = 0.5) -> Any:
    p = np.asarray(p, np.float32)
    rows = np.stack([p, 1 - p, 0 * p], 1)
    return limits.uncertain(found, np.stack([crop] * len(found)), rows, threshold).tolist()


def test_size_is_the_shorter_side(face: np.ndarray) -> None:
    found = faces((20, 20), (19.5, 60), (60, 19.5), (60, 60))
    assert judge(UncertainLimits(), found, face, [0.99] * 4) == [False, True, True, False]
    assert judge(UncertainLimits(size=61), found, face, [0.99] * 4) == [True] * 4


@given(p=st.floats(0.001, 0.999), threshold=st.floats(0.02, 0.98), margin=st.floats(0.1, 3))
def test_closeness_is_in_log_odds(p: float, threshold: float, margin: float) -> None:
    p = float(np.float32(p))
    distance = abs(float(logit(p)) - float(logit(threshold)))
    if abs(distance - margin) < 1e-4:
        return
    limits = UncertainLimits(size=0, sharpness=0, margin=margin)
    crop = np.zeros((16, 16, 3), np.uint8)
    assert judge(limits, faces((50, 50)), crop, [p], threshold) == [distance < margin]


def test_a_low_threshold_leaves_bare_faces_certain(face: np.ndarray) -> None:
    # in log-odds 0.005 is 2.9 below 0.08; as a difference it would be close
    found = faces(*[(60, 60)] * 4)
    assert judge(UncertainLimits(), found, face, [0.005, 0.05, 0.15, 0.5], 0.08) == [False, True, True, False]


def test_probabilities_of_nothing_and_all(face: np.ndarray) -> None:
    with np.errstate(all="raise"):
        assert judge(UncertainLimits(), faces((60, 60), (60, 60)), face, [0.0, 1.0]) == [False, False]


def test_no_faces() -> None:
    out = UncertainLimits().uncertain(
        Faces.empty(), np.zeros((0, 16, 16, 3), np.uint8), np.zeros((0, 3), np.float32), 0.5
    )
    assert out.shape == (0,)
    assert out.dtype == np.bool_


def test_blur_makes_it_uncertain(face: np.ndarray) -> None:
    found = faces((60, 60))
    assert judge(UncertainLimits(), found, face, [0.99]) == [False]
    assert judge(UncertainLimits(), found, cv2.GaussianBlur(face, None, 9), [0.99]) == [True]
    assert judge(UncertainLimits(sharpness=0), found, cv2.GaussianBlur(face, None, 9), [0.99]) == [False]


def test_sharpness_falls_with_blur(face: np.ndarray) -> None:
    values = [sharpness(face)] + [sharpness(cv2.GaussianBlur(face, None, s)) for s in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10
    assert values[-1] < 3


def test_sharpness_does_not_depend_on_light(face: np.ndarray) -> None:
    dark = (face.astype(np.float32) * 0.25).round().astype(np.uint8)
    assert sharpness(dark) == pytest.approx(sharpness(face), rel=0.1)


def test_an_even_crop_has_none() -> None:
    assert sharpness(np.full((112, 112, 3), 77, np.uint8)) == 0


def test_sharpness_against_plain_loops(face: np.ndarray) -> None:
    size = len(face)
    rim = size // 6
    red, green, blue = np.moveaxis(face[rim : size - rim, rim : size - rim].astype(float), 2, 0)
    grey = np.round(0.299 * red + 0.587 * green + 0.114 * blue)
    half = grey.reshape(len(grey) // 2, 2, -1, 2).mean((1, 3))
    padded = np.pad(half, 1, "reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    wanted = 100 * np.abs(around - 4 * half).mean() / (4 * half.std())
    assert sharpness(face) == pytest.approx(wanted, rel=0.01)
