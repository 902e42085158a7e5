"""WIDER FACE's average precision (Yang et al. 2016), as its official evaluation counts it.

What that evaluation does, and is done here too:

* Scores are stretched over the whole set so that the lowest becomes 0 and the highest 1. The precision is
  read at 1,000 thresholds, 0.999, 0.998 … 0, of the stretched score.
* Overlap is IoU with both corners' pixels inside: a side is ``x2 - x1 + 1``. A match needs 0.5.
* Each detection belongs to the annotated face that overlaps it most, whether that counts or not, and
  whether or not it is found already; there is no second choice.
* A detection that belongs to a face that does not count in the subset is left out. One that belongs to
  a face found already is no new find, but counts among the detections, and so as an error.
* Pictures without any annotated face are left out with all their detections; those with faces of
  which none counts are not.
* The area under the curve is that of Pascal VOC from 2010 on: each precision is raised to the best at a
  higher recall, and weighs as much as the recall grows.

Choices where implementations differ: boxes are not rounded to whole pixels; detections of a picture go
by falling score, equal ones in the order given; the precision of no detections is 0; where all scores are
equal, they count as 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError

Floats = NDArray[np.floating[Any]]

OVERLAP = 0.5
"""Least IoU of a match."""

THRESHOLDS = 1000
"""At which precision and recall are read."""


def wider_average_precision(
    boxes: Sequence[Floats],
    scores: Sequence[Floats],
    faces: Sequence[Floats],
    counted: Sequence[NDArray[np.bool_]],
) -> float:
    """Average precision of a set in [0, 1]; NaN where no face counts.

    Args:
        boxes: for each picture ``(D, 4)`` detections, x1, y1, x2, y2 in pixels.
        scores: ``(D,)`` each.
        faces: ``(G, 4)`` annotated faces.
        counted: ``(G,)`` bool, the faces of the subset; the others are ignored.

    Raises :class:`~maskgate.errors.InputError` where the four differ in length.
    """
    if not len(boxes) == len(scores) == len(faces) == len(counted):
        raise InputError("boxes, scores, faces and counted must be of as many pictures")
    total = sum(int(own.sum()) for own in counted)
    if not total:
        return float("nan")
    stretched = stretch(scores)
    called = np.zeros(THRESHOLDS, np.int64)
    found = np.zeros(THRESHOLDS, np.int64)
    thresholds = 1 - np.arange(1, THRESHOLDS + 1) / THRESHOLDS
    for own_boxes, own_scores, own_faces, own_counted in zip(boxes, stretched, faces, counted, strict=True):
        if not len(own_boxes) or not len(own_faces):
            continue
        order = np.argsort(-own_scores, kind="stable")
        calls, finds = _judge(own_boxes[order], own_faces, own_counted)
        # how many detections reach each threshold; the sums begin with that of none
        reached = np.searchsorted(-own_scores[order], -thresholds, side="right")
        called += np.append(0, calls.cumsum())[reached]
        found += np.append(0, finds.cumsum())[reached]
    precision = found / np.maximum(called, 1)
    return _area(found / total, precision)


def stretch(scores: Sequence[Floats]) -> list[NDArray[np.float64]]:
    """The scores of all pictures, shifted and scaled together to run from 0 to 1."""
    lists = [np.asarray(own, np.float64) for own in scores]
    every = np.concatenate([*lists, np.zeros(0)])
    if not len(every):
        return lists
    low, high = every.min(), every.max()
    return [(own - low) / (high - low) if high > low else np.ones_like(own) for own in lists]


def _judge(
    boxes: Floats, faces: Floats, counted: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of a picture's detections, best first: which count, and which find a face for the first time."""
    overlap = _pixel_iou(boxes.astype(np.float64), faces.astype(np.float64))
    best = overlap.argmax(1)
    matched = overlap[np.arange(len(boxes)), best] >= OVERLAP
    hits = matched & counted[best]
    first = np.zeros(len(boxes), np.bool_)
    places = np.flatnonzero(hits)
    first[places[np.unique(best[places], return_index=True)[1]]] = True
    return ~matched | counted[best], first


def _pixel_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, M)`` IoU of boxes whose corners are pixels inside."""
    top = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(bottom - top + 1, 0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2] + 1).prod(1) for boxes in (a, b)]
    ratio: NDArray[np.float64] = shared / (areas[0][:, None] + areas[1][None] - shared)
    return ratio


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * best).sum())
