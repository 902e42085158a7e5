"""The three-stage cascade at inference: it finds masked faces, and no others (Bu et al. 2017).

A first network looks at every window of an image pyramid, a second and a third one at what the one
before lets through, each at twice the resolution. Faces without a mask are background to it: what it
finds counts as masked, what it does not find as not masked. It gives no landmarks.

The published work leaves open the pyramid, the thresholds and the suppression; these are the
settings below. The first two thresholds come with the networks: they were fitted so that each stage
keeps a given share of the masked faces of its validation windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.detection.boxes import non_maximum_suppression
from maskgate.detection.mtcnn import shift_edges, square
from maskgate.errors import InputError
from maskgate.types import Faces, Image

PARTS = ("mask-1.onnx", "mask-2.onnx", "mask-3.onnx")
"""Names of the networks in a model's bundle, in order."""

SIDES = (12, 24, 48)
"""Sides in pixels of the windows that each network looks at."""

STRIDE = 2
"""Pixels between the first network's windows."""

OUTPUTS = ("scores", "offsets")
"""Of each network."""

Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class CascadeSettings:
    """How pictures go through the cascade.

    Attributes:
        proposal: lowest score of the first network, in (0, 1).
        refinement: lowest score of the second network, in (0, 1).
        score: lowest score of the third network, and so of a face, in (0, 1).
        smallest: side of the smallest face that is looked for, in pixels of the picture, at least 8.
        factor: side of each level of the pyramid over that of the one before, in (0, 1).
        longest: the pyramid's first level has at most this many pixels at its longer side.
        overlap: IoU in (0, 1] above which the weaker of two faces is dropped; between the stages it
            is 0.7, within a level 0.5.
        candidates: at most so many windows go from one stage to the next, best first.
    """

    proposal: float = 0.5
    refinement: float = 0.5
    score: float = 0.5
    smallest: float = 16.0
    factor: float = 0.75
    longest: int = 1280
    overlap: float = 0.4
    candidates: int = 400

    def __post_init__(self) -> None:
        for name in ("proposal", "refinement", "score", "factor"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a value between 0 and 1")
        for name, least in (("smallest", 8), ("longest", SIDES[0]), ("candidates", 1)):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} is {getattr(self, name)}; give at least {least}")
        if not 0 < self.overlap <= 1:
            raise InputError(f"overlap is {self.overlap}; give a value above 0 and up to 1")


class CascadeDetector:
    """A detector of masked faces over three ONNX sessions.

    Each takes ``(N, H, W, 3)`` uint8 RGB and gives scores in [0, 1] and offsets of the window's
    edges in sides of the window: the first for any H and W as ``(N, h, w)`` and ``(N, h, w, 4)``,
    the others for 24 and 48 pixels as ``(N,)`` and ``(N, 4)``. The landmarks of what it finds are NaN.

    Args:
        sessions: the three networks, in order.
        settings: see there.
        name: of the model.
        batch: at most so many windows go through a network at once.
    """

    def __init__(
        self,
        sessions: Sequence[ort.InferenceSession],
        settings: CascadeSettings | None = None,
        name: str = "cascade-cnn",
        batch: int = 256,
    ) -> None:
        self.name = name
        self.settings = settings or CascadeSettings()
        self._sessions = tuple(sessions)
        self._batch = batch

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Masked faces of each ``(H, W, 3)`` uint8 RGB picture, best score first; landmarks NaN."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Faces:
        boxes, scores = self.refine(image, *self.propose(image))
        boxes, scores = self._judge(image, boxes, 2, self.settings.score)
        kept = non_maximum_suppression(boxes, scores, self.settings.overlap)
        height, width = image.shape[:2]
        boxes = np.clip(boxes[kept], 0, np.array([width, height, width, height], np.float32))
        nowhere = np.full((len(kept), 5, 2), np.nan, np.float32)
        inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
        return Faces(boxes, scores[kept], nowhere).select(inside)

    def propose(self, image: Image) -> tuple[Boxes, Scores]:
        """Square windows ``(N, 4)`` that the first network lets through, and their scores ``(N,)``."""
        found = [self._propose_at(image, scale) for scale in self._scales(image)]
        if not found:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        windows, scores, offsets = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = self._best(windows, scores, 0.7)
        return whole_squares(shift_edges(windows[kept], offsets[kept])), scores[kept]

    def refine(self, image: Image, boxes: Boxes, scores: Scores) -> tuple[Boxes, Scores]:
        """What the second network lets through of the first one's windows, square again."""
        boxes, scores = self._judge(image, boxes, 1, self.settings.refinement)
        kept = self._best(boxes, scores, 0.7)
        return whole_squares(boxes[kept]), scores[kept]

    def score(self, image: Image, boxes: Boxes) -> Scores:
        """``(N,)`` scores in [0, 1] of the third network for given faces ``(N, 4)``: masked or not."""
        scores, _ = self._look(image, whole_squares(boxes), 2)
        return scores

    def _scales(self, image: Image) -> list[float]:
        """Factors from the picture to each level; none for pictures smaller than the smallest face."""
        settings = self.settings
        scale = min(SIDES[0] / settings.smallest, settings.longest / max(image.shape[:2]))
        scales = []
        while min(image.shape[:2]) * scale >= SIDES[0]:
            scales.append(scale)
            scale *= settings.factor
        return scales

    def _propose_at(self, image: Image, scale: float) -> tuple[Boxes, Scores, Boxes]:
        """Windows, scores and offsets of one level of the pyramid."""
        height, width = (max(round(side * scale), SIDES[0]) for side in image.shape[:2])
        level = resize(image, (width, height))
        session = self._sessions[0]
        scores, offsets = session.run(OUTPUTS, {session.get_inputs()[0].name: level[None]})
        rows, columns = np.nonzero(scores[0] >= self.settings.proposal)
        corners = np.stack([columns, rows], 1).astype(np.float32) * STRIDE
        back = np.array([image.shape[1] / width, image.shape[0] / height] * 2, np.float32)
        windows = np.concatenate([corners, corners + SIDES[0]], 1) * back
        passed: Scores = scores[0, rows, columns]
        kept = self._best(windows, passed, 0.5)
        return windows[kept], passed[kept], offsets[0, rows[kept], columns[kept]]

    def _judge(self, image: Image, boxes: Boxes, stage: int, least: float) -> tuple[Boxes, Scores]:
        """The windows that a later network scores at ``least`` or more, their edges moved."""
        scores, offsets = self._look(image, boxes, stage)
        good = scores >= least
        return shift_edges(boxes[good], offsets[good]), scores[good]

    def _look(self, image: Image, boxes: Boxes, stage: int) -> tuple[Scores, Boxes]:
        session, parts = self._sessions[stage], []
        entry = session.get_inputs()[0].name
        for start in range(0, len(boxes), self._batch):
            windows = cut_windows(image, boxes[start : start + self._batch], SIDES[stage])
            parts.append(session.run(OUTPUTS, {entry: windows}))
        if not parts:
            return np.zeros(0, np.float32), np.zeros((0, 4), np.float32)
        scores, offsets = (np.concatenate(part) for part in zip(*parts, strict=True))
        return scores, offsets

    def _best(self, boxes: Boxes, scores: Scores, overlap: float) -> NDArray[np.intp]:
        """Places of the best windows, of those that overlap the best one only."""
        best = np.argsort(-scores, kind="stable")[: self.settings.candidates]
        return best[non_maximum_suppression(boxes[best], scores[best], overlap)]


def whole_squares(boxes: Boxes) -> Boxes:
    """``(N, 4)`` squares of the longer side about the same centres, rounded to whole pixels."""
    around = square(boxes)
    corners = np.rint(around[:, :2])
    sides = np.maximum(np.rint(around[:, 2:] - around[:, :2]), 1)
    return np.concatenate([corners, corners + sides], 1).astype(np.float32)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """The picture at (width, height): pixels are averaged where it shrinks."""
    if image.shape[1::-1] == size:
        return image
    shrinks = image.shape[1] >= size[0] and image.shape[0] >= size[1]
    flags = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=flags), np.uint8)


def cut_windows(image: Image, boxes: Boxes, side: int) -> Image:
    """``(N, side, side, 3)`` uint8 of ``(N, 4)`` windows, to whole pixels of the picture.

    Outside the picture the nearest pixel is repeated.
    """
    height, width = image.shape[:2]
    out = np.empty((len(boxes), side, side, 3), np.uint8)
    # far outside there is nothing but the nearest pixel, however far
    corners = np.clip(np.rint(boxes), [-width, -height] * 2, [2 * width, 2 * height] * 2).astype(int)
    for window, (x1, y1, x2, y2) in zip(out, corners.tolist(), strict=True):
        if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:
            part = image[y1:y2, x1:x2]
        else:
            rows = np.clip(np.arange(y1, max(y2, y1 + 1)), 0, height - 1)
            columns = np.clip(np.arange(x1, max(x2, x1 + 1)), 0, width - 1)
            part = image[rows[:, None], columns]
        window[:] = resize(part, (side, side))
    return out
