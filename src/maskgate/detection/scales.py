"""At which sizes a picture is seen, and how the faces of two sizes become one list.

The anchors fit faces up to their largest side. Larger faces give fragments (an eye, half a face)
beside or instead of the whole, so that a second, small view of the picture decides about them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import area, intersection, non_maximum_suppression
from maskgate.detection.protocol import LabelledFaces
from maskgate.types import Faces

FRAGMENT = 0.3
"""A face with this share of its area inside a close-up's face is a fragment of it."""

OVERLAP_OF_VIEWS = 0.75
"""Close-up faces count from this share of the limit on, so that none falls between the views."""


def view_scale(
    width: int, height: int, *, long_side: int, reduce: float, longest: int, enlarge_to: int, enlarge: float
) -> float:
    """Factor by which a picture is scaled for the network.

    Longer sides above ``long_side`` go down to it, but by no more than the factor ``reduce`` while
    they stay within ``longest``; those under ``enlarge_to`` go up to it, by a factor of at most
    ``enlarge``; the others stay.
    """
    longer = max(width, height)
    if longer > long_side:
        return max(long_side, min(longer / reduce, longest)) / longer
    if longer < enlarge_to:
        return max(min(enlarge_to / longer, enlarge), 1.0)
    return 1.0


def join_views(first: LabelledFaces, close_up: LabelledFaces, limit: float, overlap: float) -> LabelledFaces:
    """Faces of the ordinary view and of the close-up, best score first.

    Args:
        first: of the ordinary view; those with a longer side over ``limit`` are left out.
        close_up: of the small view; those under about ``limit`` are left out, and the first view's
            fragments of those that stay.
        limit: longer side in pixels of the picture from which the close-up decides.
        overlap: IoU in (0, 1] above which the weaker of two faces is dropped.
    """
    first = first.select(_longer_side(first.faces) <= limit)
    close_up = close_up.select(_longer_side(close_up.faces) >= OVERLAP_OF_VIEWS * limit)
    small, large = first.faces, close_up.faces
    if not len(large):
        return first
    if len(small):
        shared = intersection(small.boxes, large.boxes).max(1)
        first = first.select(shared < FRAGMENT * area(small.boxes))
        small = first.faces
    faces = Faces(
        np.concatenate([small.boxes, large.boxes]),
        np.concatenate([small.scores, large.scores]),
        np.concatenate([small.landmarks, large.landmarks]),
    )
    both = LabelledFaces(faces, np.concatenate([first.probabilities, close_up.probabilities]))
    return both.select(non_maximum_suppression(faces.boxes, faces.scores, overlap))


def _longer_side(faces: Faces) -> NDArray[np.float32]:
    sides: NDArray[np.float32] = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1, initial=0)
    return sides
