from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.detection.anchors import (
    decode_boxes,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
    make_anchors,
)

SIZES = ((16, 32), (64, 128), (256, 512))


@given(height=st.integers(1, 150), width=st.integers(1, 150))
def test_anchors_against_plain_loops(height: int, width: int) -> None:
    wanted = []
    for stride, sides in zip((8, 16, 32), SIZES, strict=True):
        for row in range(math.ceil(height / stride)):
            for column in range(math.ceil(width / stride)):
                for side in sides:
                    wanted.append([stride * (column + 0.5), stride * (row + 0.5), side, side])
    np.testing.assert_array_equal(make_anchors(height, width, SIZES), wanted)


def test_number_at_vga() -> None:
    assert make_anchors(480, 640, SIZES).shape == (2 * (60 * 80 + 30 * 40 + 15 * 20), 4)


def test_the_cached_array_cannot_be_spoilt() -> None:
    anchors = make_anchors(64, 64, [[16, 32], [64, 128], [256, 512]])
    with pytest.raises(ValueError, match="read-only"):
        anchors[0] = 0
    assert make_anchors(64, 64, SIZES) is anchors


def test_other_numbers_of_sides() -> None:
    anchors = make_anchors(32, 32, ((10,), (20, 30, 40), (50,)))
    assert len(anchors) == 16 + 3 * 4 + 1
    assert anchors[16:19, 2].tolist() == [20, 30, 40]


def test_decoding_by_hand() -> None:
    anchors = np.array([[100, 60, 40, 40]], np.float32)
    deltas = np.array([[1, -2, 5 * math.log(2), 5 * math.log(0.5)]], np.float32)
    # centre (100 + 0.1·40, 60 - 0.2·40), width 40·2, height 40/2
    np.testing.assert_allclose(decode_boxes(deltas, anchors), [[64, 42, 144, 62]], rtol=1e-6)
    points = np.array([[0, 0, 10, 0, 0, 10, -10, 0, 5, 5]], np.float32)
    wanted = [[[100, 60], [140, 60], [100, 100], [60, 60], [120, 80]]]
    np.testing.assert_allclose(decode_landmarks(points, anchors), wanted, rtol=1e-6)


def test_decoding_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    anchors = make_anchors(70, 90, SIZES)
    deltas = rng.normal(0, 2, (len(anchors), 4)).astype(np.float32)
    points = rng.normal(0, 2, (len(anchors), 10)).astype(np.float32)
    boxes, landmarks = decode_boxes(deltas, anchors), decode_landmarks(points, anchors)
    for i in range(0, len(anchors), 37):
        x, y, w, h = (float(v) for v in anchors[i])
        dx, dy, dw, dh = (float(v) for v in deltas[i])
        cx, cy = x + 0.1 * dx * w, y + 0.1 * dy * h
        ww, hh = w * math.exp(0.2 * dw), h * math.exp(0.2 * dh)
        np.testing.assert_allclose(
            boxes[i], [cx - ww / 2, cy - hh / 2, cx + ww / 2, cy + hh / 2], rtol=1e-4, atol=1e-3
        )
        for k in range(5):
            wanted = [x + 0.1 * points[i, 2 * k] * w, y + 0.1 * points[i, 2 * k + 1] * h]
            np.testing.assert_allclose(landmarks[i, k], wanted, rtol=1e-4, atol=1e-3)


@given(seed=st.integers(0, 9999))
def test_encoding_is_the_inverse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = make_anchors(40, 40, SIZES)
    corner = rng.uniform(-50, 200, (len(anchors), 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 300, (len(anchors), 2))], 1).astype(np.float32)
    points = rng.uniform(-50, 300, (len(anchors), 5, 2)).astype(np.float32)
    np.testing.assert_allclose(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes, atol=1e-2)
    np.testing.assert_allclose(
        decode_landmarks(encode_landmarks(points, anchors), anchors), points, atol=1e-2
    )
