"""What each anchor should answer: matching, and the offsets to learn (RetinaFace, Sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.anchors import encode_boxes, encode_landmarks
from maskgate.detection.boxes import area, intersection, iou

FACE, BACKGROUND, IGNORED = 1, 0, -1


@dataclass(frozen=True, eq=False)
class AnchorTargets:
    """For A anchors: ``kind`` ``(A,)`` int8 (FACE, BACKGROUND or IGNORED), ``boxes`` ``(A, 4)`` and
    ``landmarks`` ``(A, 10)`` float32 offsets, valid where kind is FACE, ``has_landmarks`` ``(A,)`` bool,
    and ``faces`` ``(A,)`` intp, the place of each one's face, -1 where kind is not FACE."""

    kind: NDArray[np.int8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    has_landmarks: NDArray[np.bool_]
    faces: NDArray[np.intp]


def match_anchors(
    anchors: NDArray[np.float32],
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    has_landmarks: NDArray[np.bool_],
    ignore: NDArray[np.float32],
    threshold: float = 0.35,
) -> AnchorTargets:
    """Assigns faces to anchors.

    An anchor takes the face it overlaps most if their IoU reaches ``threshold``; each face keeps at
    least its best anchor, the better face where two want the same one. Anchors that lie by half or
    more within an ignored region, and match nothing, are ignored.

    Args:
        anchors: ``(A, 4)`` centre form, pixels.
        boxes: ``(N, 4)`` corner form; landmarks ``(N, 5, 2)``; has_landmarks ``(N,)``.
        ignore: ``(M, 4)`` corner form.
    """
    count = len(anchors)
    kind = np.zeros(count, np.int8)
    target_boxes = np.zeros((count, 4), np.float32)
    target_landmarks = np.zeros((count, 10), np.float32)
    with_landmarks = np.zeros(count, np.bool_)
    faces = np.full(count, -1, np.intp)
    corners = np.concatenate([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], 1)
    if len(ignore):
        share = intersection(corners, ignore).max(1) / np.maximum(area(corners), 1e-6)
        kind[share >= 0.5] = IGNORED
    if len(boxes):
        overlap = iou(boxes, corners)
        chosen = overlap.argmax(0)
        best = overlap.max(0)
        first = overlap.argmax(1)
        for face in np.argsort(overlap.max(1), kind="stable"):
            chosen[first[face]] = face
            best[first[face]] = 2.0
        matched = best >= threshold
        faces[matched] = face = chosen[matched]
        kind[matched] = FACE
        target_boxes[matched] = encode_boxes(boxes[face], anchors[matched])
        target_landmarks[matched] = encode_landmarks(landmarks[face], anchors[matched])
        with_landmarks[matched] = has_landmarks[face]
    return AnchorTargets(kind, target_boxes, target_landmarks, with_landmarks, faces)
