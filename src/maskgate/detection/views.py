"""One picture seen several times, at other sizes and mirrored, and its faces joined by box voting.

This is how results on WIDER FACE are commonly told ("multi-scale testing"). Each view takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import iou
from maskgate.detection.retinaface import RetinaFaceDetector, size_of_view
from maskgate.errors import InputError
from maskgate.types import Faces, Image

MIRRORED_ORDER = [1, 0, 2, 4, 3]
"""Landmark order after a mirror: the left eye of the mirrored picture was the right one."""

LONGEST = 1.5
"""The longer side of a view, over its scale."""

_SMALLEST, _LARGEST = 32, 8192


class MultiViewDetector:
    """A RetinaFace that looks at each picture several times.

    Args:
        detector: its score is the floor of every view; its own scales and close-up are not used.
        scales: for each view the shorter side in pixels; where the longer one would have more than
            :data:`LONGEST` times as many, it gets that. Empty: one view in the picture's own size.
        flip: see each view mirrored too.
        overlap: IoU in (0, 1] from which boxes of the views are one face.

    Raises :class:`~maskgate.errors.InputError` where a scale is not from 32 to 8192.
    """

    def __init__(
        self,
        detector: RetinaFaceDetector,
        scales: Sequence[int] = (),
        *,
        flip: bool = False,
        overlap: float = 0.4,
    ) -> None:
        for scale in scales:
            if not _SMALLEST <= scale <= _LARGEST:
                raise InputError(
                    f"the scale {scale} is out of range; give from {_SMALLEST} to {_LARGEST} pixels"
                )
        self.name = detector.name
        self.detector = detector
        self.scales = tuple(scales)
        self.flip = flip
        self.overlap = overlap

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Faces of each ``(H, W, 3)`` uint8 RGB picture, in its pixels, best score first."""
        return [vote(list(self._views(image)), self.overlap) for image in images]

    def _views(self, image: Image) -> Iterator[Faces]:
        height, width = image.shape[:2]
        pictures = [image, np.ascontiguousarray(image[:, ::-1])] if self.flip else [image]
        for scale in self.scales or (min(width, height),):
            factor = scale / min(width, height)
            if self.scales:
                factor = min(factor, LONGEST * scale / max(width, height))
            size = size_of_view(image, factor)
            # one after the other: a batch of large views would want twice the memory
            for mirrored, picture in enumerate(pictures):
                outputs = self.detector.run(self.detector.prepare([picture], size))
                faces = self.detector.decode(outputs, 0, size, (width, height))
                yield mirror_faces(faces, width) if mirrored else faces


def mirror_faces(faces: Faces, width: int) -> Faces:
    """The faces as they lie in the picture mirrored left to right; ``width`` in pixels."""
    boxes = faces.boxes.copy()
    boxes[:, [0, 2]] = width - faces.boxes[:, [2, 0]]
    landmarks = faces.landmarks[:, MIRRORED_ORDER].copy()
    landmarks[..., 0] = width - landmarks[..., 0]
    return Faces(boxes, faces.scores, landmarks)


def vote(views: Sequence[Faces], overlap: float) -> Faces:
    """Box voting (Gidaris and Komodakis 2015): one face for the boxes of all views that are the same.

    The best box still left takes all that overlap it by an IoU of at least ``overlap``. Box and
    landmarks become the means of theirs, weighted by their scores, and the score stays the best one's.
    """
    if not any(len(faces) for faces in views):
        return Faces.empty()
    boxes: NDArray[Any] = np.concatenate([faces.boxes for faces in views]).astype(np.float64)
    scores = np.concatenate([faces.scores for faces in views]).astype(np.float64)
    landmarks = np.concatenate([faces.landmarks for faces in views]).astype(np.float64)
    left = np.argsort(-scores, kind="stable")
    voted: list[tuple[NDArray[np.float64], float, NDArray[np.float64]]] = []
    while len(left):
        same = iou(boxes[left[:1]], boxes[left])[0] >= overlap
        same[0] = True  # also a box without area
        group, left = left[same], left[~same]
        weights = scores[group] / scores[group].sum()
        voted.append(
            (weights @ boxes[group], scores[group[0]], np.tensordot(weights, landmarks[group], axes=1))
        )
    joined = zip(*voted, strict=True)
    return Faces(*(np.array(part) for part in joined))
