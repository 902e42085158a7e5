"""Which detection is which annotated face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import area, intersection, iou

OVERLAP = 0.4
"""Least IoU of a detection and the face that it finds."""

SMALLEST = 20.0
"""Faces with a side under so many pixels are not evaluated."""


@dataclass(frozen=True, eq=False)
class Matching:
    """Detections against annotated faces in one picture.

    Attributes:
        truth: ``(D,)`` intp, the annotated face that each detection finds, or -1.
        ignored: ``(D,)`` bool, detections that count neither as found faces nor as false ones.
        counted: ``(G,)`` bool, annotated faces that are evaluated.
        found: ``(G,)`` bool, evaluated faces that a detection finds.
    """

    truth: NDArray[np.intp]
    ignored: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    found: NDArray[np.bool_]

    @property
    def false(self) -> NDArray[np.bool_]:
        """``(D,)`` bool, detections where no face is annotated."""
        return (self.truth < 0) & ~self.ignored


def short_side(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N,)`` shorter sides of ``(N, 4)`` corner boxes, in pixels.

    Rounded to a thousandth, for a side of 20 px may come out as 19.99999 from float32 corners.
    """
    sides: NDArray[np.float32] = np.round(np.min(boxes[:, 2:] - boxes[:, :2], axis=1), 3)
    return sides


def match_faces(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    faces: NDArray[np.float32],
    crowd: NDArray[np.bool_],
    *,
    overlap: float = OVERLAP,
    smallest: float = SMALLEST,
) -> Matching:
    """Matches greedily, one to one, best score first, as COCO does.

    Each detection takes the evaluated face that overlaps it most among those still free, where
    the IoU is at least ``overlap``. Failing that it may take a face that is not evaluated: one
    with a side under ``smallest``, also one to one, or a crowd, where the share of the detection
    that lies in the crowd counts and any number of detections fit. Such a detection is neither
    right nor false. Nor is a detection with a side under ``smallest`` that matches nothing: it
    stands for a face that would not have been evaluated had it been annotated.

    Args:
        boxes: ``(D, 4)`` float32 detections, x1, y1, x2, y2 in pixels.
        scores: ``(D,)`` float32; equal scores go in the order given.
        faces: ``(G, 4)`` float32 annotated faces.
        crowd: ``(G,)`` bool, regions of many faces.
        overlap: in (0, 1].
        smallest: pixels.
    """
    counted = ~crowd & (short_side(faces) >= smallest)
    shared = iou(boxes, faces)
    if crowd.any():
        inside = intersection(boxes, faces[crowd]) / np.maximum(area(boxes)[:, None], 1e-9)
        shared[:, crowd] = inside
    free = np.ones(len(faces), np.bool_)
    truth = np.full(len(boxes), -1, np.intp)
    ignored = short_side(boxes) < smallest
    for d in np.argsort(-scores, kind="stable"):
        fits = free & (shared[d] >= overlap)
        if (fits & counted).any():
            truth[d] = best = np.argmax(np.where(fits & counted, shared[d], -1))
            ignored[d] = False
            free[best] = False
        elif fits.any():
            best = np.argmax(np.where(fits, shared[d], -1))
            ignored[d] = True
            free[best] = crowd[best]
    return Matching(truth, ignored, counted, found=counted & ~free)
