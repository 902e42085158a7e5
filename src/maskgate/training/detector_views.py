"""Square pictures that detectors learn from: what becomes of their faces when they are cut, mirrored,
turned and put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.views import MIRRORED_ORDER
from maskgate.types import Image

GREY = (123, 117, 104)
"""The mean colour that the networks subtract: what is filled with it is nothing to them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A square picture and its faces, in its pixels.

    Attributes:
        image: ``(S, S, 3)`` uint8 RGB.
        boxes: ``(N, 4)``; landmarks ``(N, 5, 2)``, valid where ``has_landmarks`` ``(N,)``.
        labels: ``(N,)`` int64 places in LABELS, or UNKNOWN.
        ignore: ``(M, 4)`` regions that may or may not be faces.
    """

    image: Image
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    has_landmarks: NDArray[np.bool_]
    labels: NDArray[np.int64]
    ignore: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def keep_seen(
    image: Image,
    boxes: NDArray[np.floating[Any]],
    points: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    labels: NDArray[np.int64],
    ignore: NDArray[np.floating[Any]],
    smallest: float,
) -> Sample:
    """The sample of a square picture: faces that are mostly in view; what is cut off, or smaller than
    ``smallest`` pixels, becomes a region to ignore."""
    side = image.shape[0]
    clipped = np.clip(boxes, 0, side)
    sides = np.maximum(clipped[:, 2:] - clipped[:, :2], 0)
    seen = sides.prod(1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    keep = (seen >= 0.6) & (sides.max(1, initial=0) >= smallest) & (sides.min(1, initial=99) >= 3)
    doubtful = ~keep & (seen > 0.05)
    regions = np.concatenate([np.clip(ignore, 0, side), clipped[doubtful]])
    regions = regions[((regions[:, 2:] - regions[:, :2]) > 0).all(1)]
    return Sample(
        image,
        clipped[keep].astype(np.float32),
        points[keep].astype(np.float32),
        valid[keep] & (seen[keep] > 0.8),
        labels[keep],
        regions.astype(np.float32),
    )


def tile(parts: Sequence[Sample], side: int) -> Sample:
    """One sample of ``side`` pixels from a square number of smaller ones, row by row.

    What they do not fill at the right and the lower edge is grey.
    """
    rows = round(len(parts) ** 0.5)
    step = side // rows
    image = np.full((side, side, 3), GREY, np.uint8)
    boxes, points, ignore = [], [], []
    for k, part in enumerate(parts):
        y, x = divmod(k, rows)
        shift = np.array([x * step, y * step], np.float32)
        image[y * step : (y + 1) * step, x * step : (x + 1) * step] = part.image
        boxes.append(part.boxes + np.tile(shift, 2))
        points.append(part.landmarks + shift)
        ignore.append(part.ignore + np.tile(shift, 2))
    return Sample(
        image, np.concatenate(boxes), np.concatenate(points),
        np.concatenate([p.has_landmarks for p in parts]), np.concatenate([p.labels for p in parts]),
        np.concatenate(ignore),
    )  # fmt: skip


def mirror(sample: Sample) -> Sample:
    """The sample mirrored left to right."""
    side = sample.image.shape[1]

    def flip(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        out = boxes.copy()
        out[:, [0, 2]] = side - boxes[:, [2, 0]]
        return out

    points = sample.landmarks[:, MIRRORED_ORDER].copy()
    points[..., 0] = side - points[..., 0]
    image = np.ascontiguousarray(sample.image[:, ::-1])
    return replace(
        sample, image=image, boxes=flip(sample.boxes), landmarks=points, ignore=flip(sample.ignore)
    )


def turn_about(centre: float, degrees: float) -> NDArray[np.float64]:
    """``(2, 3)`` matrix that turns clockwise as seen about (centre, centre)."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, centre - turn.sum(1, keepdims=True) * centre])


def turn_boxes(
    boxes: NDArray[np.floating[Any]], turn: NDArray[np.float64], roundness: float
) -> NDArray[np.float64]:
    """Boxes about what lay in ``boxes`` ``(N, 4)`` and was moved by ``turn`` ``(2, 3)``, a rotation.

    ``roundness`` says what lay there: 0 a rectangle, 1 an ellipse, and values between are between.
    Faces are at 0.5, as :func:`~maskgate.alignment.rotate_and_crop` takes them too.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ turn[:, :2].T + turn[:, 2]
    sides = boxes[:, 2:] - boxes[:, :2]
    rectangle = sides @ np.abs(turn[:, :2]).T
    ellipse = np.sqrt(sides**2 @ (turn[:, :2] ** 2).T)
    halves = (roundness * ellipse + (1 - roundness) * rectangle) / 2
    return np.concatenate([centres - halves, centres + halves], 1)
