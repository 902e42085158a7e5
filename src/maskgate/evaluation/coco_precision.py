"""COCO's average precision of one class (Lin et al. 2014), over IoU thresholds and sizes of faces.

As pycocotools counts it, but for two things: a picture's detections are not cut at the best 100, for
crowds have more faces than that, and a face's area is that of its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import area, intersection, iou
from maskgate.errors import InputError
from maskgate.evaluation.metrics import average_precision

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""IoU thresholds."""

SIZES: dict[str, tuple[float, float]] = {
    "all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10),
}  # fmt: skip
"""Areas in pixels, both ends inside."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CocoPrecision:
    """Average precisions in [0, 1]; NaN where no face counts.

    Attributes:
        ap: mean over the IoU thresholds 0.5, 0.55 … 0.95.
        ap50, ap75: at one threshold.
        small, medium, large: as ``ap``, of faces whose box has an area up to 32², between, and from 96² on.
    """

    ap: float
    ap50: float
    ap75: float
    small: float
    medium: float
    large: float


def coco_precision(
    boxes: Sequence[Floats],
    scores: Sequence[Floats],
    faces: Sequence[Floats],
    ignore: Sequence[NDArray[np.bool_]],
) -> CocoPrecision:
    """COCO's figures of a set.

    Args:
        boxes: for each picture ``(D, 4)`` detections, x1, y1, x2, y2 in pixels.
        scores: ``(D,)`` each; equal scores keep their order.
        faces: ``(G, 4)`` annotated faces.
        ignore: ``(G,)`` bool, regions as COCO's ``iscrowd``: the share of a detection that lies inside
            is its overlap, and any number of detections fit.

    Raises :class:`~maskgate.errors.InputError` where the four differ in length.
    """
    if not len(boxes) == len(scores) == len(faces) == len(ignore):
        raise InputError("boxes, scores, faces and ignore must be of as many pictures")
    limits = np.array(list(SIZES.values()))
    positives = np.zeros(len(SIZES), np.int64)
    hits, left_out, ranks = [], [], []
    for own_boxes, own_scores, own_faces, own_ignore in zip(boxes, scores, faces, ignore, strict=True):
        order = np.argsort(-own_scores, kind="stable")
        # float64, as areas are compared with limits that many a face meets
        detected: NDArray[Any] = own_boxes[order].astype(np.float64)
        annotated: NDArray[Any] = own_faces.astype(np.float64)
        skipped = own_ignore | ~_within(annotated, limits)
        positives += (~skipped).sum(1)
        found, ignored = _match(detected, annotated, own_ignore, skipped)
        hits.append(found & ~ignored)
        left_out.append(ignored | (~found & ~_within(detected, limits)[:, None]))
        ranks.append(own_scores[order])
    every = np.concatenate([*ranks, np.zeros(0)])
    shape = (len(SIZES), len(OVERLAPS), 0)
    hit, out = (np.concatenate([*parts, np.zeros(shape, np.bool_)], 2) for parts in (hits, left_out))
    table = np.array(
        [
            [
                average_precision(hit[s, t, ~out[s, t]], every[~out[s, t]], int(positives[s]))
                for t in range(shape[1])
            ]
            for s in range(shape[0])
        ]
    )
    whole, small, medium, large = (float(row.mean()) for row in table)
    return CocoPrecision(whole, float(table[0, 0]), float(table[0, 5]), small, medium, large)


def _within(boxes: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(S, N)`` whether a box's area is in each range of sizes."""
    areas = area(boxes)[None]
    inside: NDArray[np.bool_] = (areas >= limits[:, :1]) & (areas <= limits[:, 1:])
    return inside


def _match(
    boxes: NDArray[Any],
    faces: NDArray[Any],
    crowd: NDArray[np.bool_],
    skipped: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Greedy matching of one picture at all sizes and thresholds at once.

    Args:
        boxes: ``(D, 4)``, best score first.
        faces: ``(G, 4)``.
        crowd: ``(G,)``.
        skipped: ``(S, G)``, faces that do not count at a size.

    Returns ``(S, T, D)`` whether a detection has a face, and whether that face does not count.
    """
    shape = (len(skipped), len(OVERLAPS), len(boxes))
    found, ignored = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    if not len(faces) or not len(boxes):
        return found, ignored
    shared = iou(boxes, faces)
    shared[:, crowd] = intersection(boxes, faces[crowd]) / np.maximum(area(boxes)[:, None], 1e-9)
    least = np.minimum(OVERLAPS, 1 - 1e-10)[:, None]
    free = np.ones((*shape[:2], len(faces)), np.bool_)
    # of equal overlaps the last wins, and faces that count go before those that do not
    last = len(faces) - 1
    for d in np.flatnonzero(shared.max(1) >= OVERLAPS[0]):
        fits = free & (shared[d] >= least)
        for wanted in (~skipped[:, None], skipped[:, None]):
            chosen = fits & wanted
            hit = chosen.any(2) & ~found[..., d]
            best = last - np.where(chosen, shared[d], -1.0)[..., ::-1].argmax(2)
            s, t = np.nonzero(hit)
            g = best[s, t]
            found[s, t, d] = True
            ignored[s, t, d] = skipped[s, g]
            free[s, t, g] = crowd[g]
    return found, ignored
