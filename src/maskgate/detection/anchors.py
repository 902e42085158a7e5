"""Anchors ("default boxes") on three pyramid levels, and the boxes and landmarks coded on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDES: tuple[int, ...] = (8, 16, 32)
VARIANCES: tuple[float, float] = (0.1, 0.2)
"""Scale of centre offsets and of log sizes in the network's output (Liu et al. 2016, SSD)."""


@lru_cache(maxsize=32)
def _anchors(height: int, width: int, sizes: tuple[tuple[float, ...], ...]) -> NDArray[np.float32]:
    levels = []
    for stride, side in zip(STRIDES, sizes, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        centres = (np.stack([x, y], -1) + 0.5) * stride
        cell = np.empty((rows, columns, len(side), 4), np.float32)
        cell[..., :2] = centres[:, :, None]
        cell[..., 2:] = np.array(side, np.float32)[:, None]
        levels.append(cell.reshape(-1, 4))
    anchors = np.concatenate(levels)
    anchors.flags.writeable = False
    return anchors


def make_anchors(height: int, width: int, sizes: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """All anchors of an input of ``height`` × ``width`` pixels.

    Args:
        sizes: sides in pixels of the square anchors of each level, one sequence per stride of
            :data:`STRIDES`.

    Returns ``(A, 4)`` float32 centre x, centre y, width, height in pixels, level by level, row by
    row, read-only (kept in a cache).
    """
    return _anchors(height, width, tuple(tuple(float(v) for v in level) for level in sizes))


def decode_boxes(deltas: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corner boxes ``(K, 4)`` from ``(K, 4)`` offsets on ``(K, 4)`` anchors (SSD, eq. 2)."""
    centre = anchors[:, :2] + deltas[:, :2] * VARIANCES[0] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(deltas[:, 2:] * VARIANCES[1]) / 2
    return np.concatenate([centre - half, centre + half], 1)


def decode_landmarks(deltas: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points ``(K, 5, 2)`` from ``(K, 10)`` offsets on ``(K, 4)`` anchors."""
    offsets = deltas.reshape(-1, 5, 2) * VARIANCES[0]
    points: NDArray[np.float32] = anchors[:, None, :2] + offsets * anchors[:, None, 2:]
    return points


def encode_boxes(boxes: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of :func:`decode_boxes`; boxes must have positive sides."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = boxes[:, 2:] - boxes[:, :2]
    shift = (centre - anchors[:, :2]) / (anchors[:, 2:] * VARIANCES[0])
    return np.concatenate([shift, np.log(size / anchors[:, 2:]) / VARIANCES[1]], 1)


def encode_landmarks(points: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of :func:`decode_landmarks`: ``(K, 5, 2)`` to ``(K, 10)``."""
    offsets = (points - anchors[:, None, :2]) / (anchors[:, None, 2:] * VARIANCES[0])
    return offsets.reshape(-1, 10)
