"""Overlap of boxes and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N,)`` areas of ``(N, 4)`` boxes; 0 where a side is negative."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return product


def intersection(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, M)`` areas that ``(N, 4)`` and ``(M, 4)`` boxes share."""
    top = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(bottom - top, 0)
    shared: NDArray[np.float32] = sides[..., 0] * sides[..., 1]
    return shared


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, M)`` intersection over union in [0, 1]."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    ratio: NDArray[np.float32] = shared / np.maximum(union, 1e-9)
    return ratio


def share_of_smaller(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, M)`` intersection over the smaller of the two areas, in [0, 1]."""
    smaller = np.maximum(np.minimum(area(a)[:, None], area(b)[None]), 1e-9)
    return np.asarray(intersection(a, b) / smaller, np.float32)


Overlap = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""How far ``(N, 4)`` and ``(M, 4)`` boxes are the same, ``(N, M)``: :func:`iou`, say."""


def non_maximum_suppression(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, overlap: Overlap = iou
) -> NDArray[np.intp]:
    """Indices to keep, best score first: greedy, dropping overlaps (by default the IoU) above
    ``threshold``.

    Boxes ``(N, 4)``, scores ``(N,)``; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(int(best))
        order = rest[overlap(boxes[best : best + 1], boxes[rest])[0] <= threshold]
    return np.array(keep, np.intp)
