"""A teacher that labels faces: detectors at several scales, plain and mirrored, fused.

The fused labels give boxes and landmarks to photographs that have none, and landmarks to boxes
that people drew. What the passes do not agree on stays as a doubtful face, which training ignores
instead of learning it as background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maskgate.detection import Detector
from maskgate.detection.borders import clip_faces, take_border_off, with_border
from maskgate.detection.boxes import area, intersection, iou
from maskgate.detection.retinaface import RetinaFaceDetector
from maskgate.detection.views import mirror_faces
from maskgate.types import Faces, Image


def fuse(passes: Sequence[Faces], overlap: float = 0.5, agreeing: int = 3) -> Faces:
    """One face for each cluster of overlapping faces from several passes over one picture.

    Clusters form around the best remaining face from all that overlap it by an IoU of at least
    ``overlap``; box and landmarks are score-weighted means, the score is the mean of the
    ``agreeing`` best with missing ones counted as 0: a face that one pass in three saw scores at
    most a third. (Not every scale can see every face, so a mean over all passes would punish the
    very small and the very large.)
    """
    boxes = np.concatenate([f.boxes for f in passes])
    scores = np.concatenate([f.scores for f in passes])
    landmarks = np.concatenate([f.landmarks for f in passes])
    left = np.argsort(-scores, kind="stable")
    fused: list[tuple[NDArray[np.float32], float, NDArray[np.float32]]] = []
    while len(left):
        near = iou(boxes[left[:1]], boxes[left])[0] >= overlap
        near[0] = True
        group, left = left[near], left[~near]
        weights = scores[group] / scores[group].sum()
        score = float(scores[group[:agreeing]].sum()) / agreeing
        box = (boxes[group] * weights[:, None]).sum(0)
        points = (landmarks[group] * weights[:, None, None]).sum(0)
        fused.append((box, score, points))
    if not fused:
        return Faces.empty()
    fused.sort(key=lambda f: -f[1])
    b, s, p = zip(*fused, strict=True)
    return drop_parts(Faces(np.stack(b), np.array(s, np.float32), np.stack(p)))


def drop_parts(faces: Faces, share: float = 0.55) -> Faces:
    """Faces without those that share most of the smaller box with a better one.

    At a scale where a face is too large for the anchors the detectors answer with parts of it; such
    a part overlaps the whole by too little to be fused.
    """
    keep: list[int] = []
    smaller = np.minimum(area(faces.boxes)[:, None], area(faces.boxes)[None])
    inside = intersection(faces.boxes, faces.boxes) / np.maximum(smaller, 1e-6)
    for i in np.argsort(-faces.scores, kind="stable"):
        if not any(inside[i, k] > share for k in keep):
            keep.append(int(i))
    return faces.select(keep)


@dataclass(frozen=True)
class Teacher:
    """Several detectors, each at several scales.

    Attributes:
        detectors: their ``score`` setting should be low (0.2 to 0.3); fusion sorts the rest out.
        scales: longer sides in pixels of the passes.
        mirrored: also look at the mirrored picture with the first detector.
        enlarge: largest factor by which a picture is scaled up for a pass.
        pad: border around the picture, as a share of its longer side, for tight crops.
    """

    detectors: Sequence[RetinaFaceDetector]
    scales: Sequence[int] = (360, 640, 1024)
    mirrored: bool = True
    enlarge: float = 3.0
    pad: float = 0.0

    def label(self, image: Image) -> Faces:
        """Fused faces in the picture's pixels, best score first."""
        image, border = with_border(image, self.pad)
        mirror = np.ascontiguousarray(image[:, ::-1])
        passes: list[Faces] = []
        for detector in self.detectors:
            for scale in self.scales:
                settings = replace(
                    detector.settings, long_side=scale, enlarge_to=scale, enlarge=self.enlarge, close_up=0
                )
                at = RetinaFaceDetector(detector.session, settings)
                passes += at.detect([image])
                if self.mirrored and detector is self.detectors[0]:
                    passes.append(mirror_faces(at.detect([mirror])[0], image.shape[1]))
        return _without_border(fuse(passes), image, border)


@dataclass(frozen=True)
class OneLook:
    """A detector as the pipeline uses it: once, at its own scales.

    Attributes:
        detector: any.
        pad: as for :class:`Teacher`.
    """

    detector: Detector
    pad: float = 0.0

    def label(self, image: Image) -> Faces:
        """Faces in the picture's pixels, best score first."""
        image, border = with_border(image, self.pad)
        return _without_border(self.detector.detect([image])[0], image, border)


def _without_border(faces: Faces, image: Image, border: int) -> Faces:
    """Faces found in ``image`` with a ``border``, cut at the edges of the picture without it."""
    height, width = image.shape[0] - 2 * border, image.shape[1] - 2 * border
    return clip_faces(take_border_off(faces, border), width, height)
