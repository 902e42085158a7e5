"""MTCNN at inference: proposals over an image pyramid, refined twice (Zhang et al. 2016, Sec. II).

Boxes are edges ``(x1, y1, x2, y2)`` in pixels of the picture from 0 on. The original counts pixels from
1 and names the last one inside: its box of the same pixels is (x1 + 1, y1 + 1, x2, y2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.detection.boxes import iou, non_maximum_suppression, share_of_smaller
from maskgate.errors import InputError
from maskgate.models.cards import InputSpec
from maskgate.types import Faces, Image

PROPOSAL, REFINEMENT, OUTPUT = "pnet.onnx", "rnet.onnx", "onet.onnx"
"""Parts of the model's bundle."""

CELL, STRIDE = 12, 2
"""Side and distance of P-Net's windows, in pixels of its input."""

REFINEMENT_SIZE, OUTPUT_SIZE = 24, 48
"""Sides of the crops that R-Net and O-Net take."""

INPUT = InputSpec(None, None, "RGB", (127.5, 127.5, 127.5), 1 / 128)
"""Of all three networks; P-Net takes pictures of any size."""

WITHIN_LEVEL, ACROSS_LEVELS, AFTER_REFINEMENT, AFTER_OUTPUT = 0.5, 0.7, 0.7, 0.7
"""Overlaps above which the weaker of two boxes is dropped: IoU, at last the share of the smaller box."""

WIDTHS = {"offsets": 4, "scores": 2, "landmarks": 10}
"""Of the networks' outputs, by name; O-Net alone has the last."""

Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class MtcnnSettings:
    """Which faces are looked for.

    Attributes:
        proposal: lowest score of P-Net, in (0, 1).
        refinement: lowest score of R-Net, in (0, 1).
        score: lowest score of O-Net, and so of a face, in (0, 1).
        factor: from one level of the pyramid to the next, in (0, 1).
        smallest: side in pixels of the smallest faces, at least 8.
        longest: the longer side of the pyramid's largest level has at most so many pixels: in larger
            pictures the smallest faces are larger.
        candidates: at most so many boxes go into a suppression, best first.
    """

    proposal: float = 0.6
    refinement: float = 0.7
    score: float = 0.7
    factor: float = 0.709
    smallest: float = 20.0
    longest: int = 2560
    candidates: int = 2000

    def __post_init__(self) -> None:
        for name in ("proposal", "refinement", "score", "factor"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a value between 0 and 1")
        for name, least in (("smallest", 8), ("longest", CELL), ("candidates", 1)):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} is {getattr(self, name)}; give at least {least}")


class MtcnnDetector:
    """A face detector over three ONNX sessions.

    The sessions take ``(N, 3, H, W)`` float32 RGB, (x - 127.5) / 128, and give ``offsets`` and
    ``scores``: P-Net ``(N, 4, h, w)`` and ``(N, 2, h, w)`` for any H and W, R-Net and O-Net ``(N, 4)``
    and ``(N, 2)`` for crops of 24 and 48 pixels, O-Net ``landmarks (N, 10)`` too, the x first.

    Args:
        proposal, refinement, output: the networks.
        batch: at most so many crops go through a network at once.
    """

    def __init__(
        self,
        proposal: ort.InferenceSession,
        refinement: ort.InferenceSession,
        output: ort.InferenceSession,
        settings: MtcnnSettings | None = None,
        name: str = "mtcnn",
        batch: int = 256,
    ) -> None:
        self.name = name
        self.settings = settings or MtcnnSettings()
        self._proposal = proposal
        self._refinement = refinement
        self._output = output
        self._batch = batch

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Faces of each ``(H, W, 3)`` uint8 RGB picture, best score first.

        Boxes are cut at the picture's edge; landmarks may lie outside. An empty list gives an empty
        list.
        """
        proposed = [self.propose(image) for image in images]
        return self.finish(images, self.refine(images, proposed))

    def propose(self, image: Image) -> Boxes:
        """``(N, 4)`` boxes that P-Net takes for faces, square."""
        height, width = image.shape[:2]
        found = [self._propose_at(image, scale) for scale in pyramid_scales(width, height, self.settings)]
        if not found:
            return np.zeros((0, 4), np.float32)
        boxes, scores, offsets = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = self._suppress(boxes, scores, ACROSS_LEVELS)
        return square(shift_edges(boxes[kept], offsets[kept]))

    def _propose_at(self, image: Image, scale: float) -> tuple[Boxes, Scores, Boxes]:
        """Boxes, scores and offsets at one level of the pyramid."""
        height, width = image.shape[:2]
        size = math.ceil(width * scale), math.ceil(height * scale)
        level = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        blob = normalised(level[None])
        offsets, scores = self._proposal.run(["offsets", "scores"], {_input(self._proposal): blob})
        faces: Scores = scores[0, 1]
        rows, columns = np.nonzero(faces >= self.settings.proposal)
        boxes = window_boxes(rows, columns, scale)
        kept = self._suppress(boxes, faces[rows, columns], WITHIN_LEVEL)
        rows, columns = rows[kept], columns[kept]
        return boxes[kept], faces[rows, columns], offsets[0][:, rows, columns].T

    def refine(self, images: Sequence[Image], proposed: Sequence[Boxes]) -> list[Boxes]:
        """``(N, 4)`` boxes of each picture that R-Net takes for faces too, moved and square.

        ``proposed`` are those of P-Net, a picture each.
        """
        outputs = self._judge(self._refinement, ["offsets", "scores"], images, proposed, REFINEMENT_SIZE)
        refined = []
        for boxes, (offsets, scores) in zip(proposed, outputs, strict=True):
            good = np.flatnonzero(scores[:, 1] > self.settings.refinement)
            kept = good[self._suppress(boxes[good], scores[good, 1], AFTER_REFINEMENT)]
            refined.append(square(shift_edges(boxes[kept], offsets[kept])))
        return refined

    def finish(self, images: Sequence[Image], refined: Sequence[Boxes]) -> list[Faces]:
        """The faces of each picture among R-Net's boxes."""
        names = ["offsets", "scores", "landmarks"]
        outputs = self._judge(self._output, names, images, refined, OUTPUT_SIZE)
        found = []
        for image, squares, (offsets, scores, points) in zip(images, refined, outputs, strict=True):
            good = np.flatnonzero(scores[:, 1] > self.settings.score)
            boxes = shift_edges(squares[good], offsets[good])
            kept = self._suppress(boxes, scores[good, 1], AFTER_OUTPUT, smaller=True)
            landmarks = place_landmarks(squares[good[kept]], points[good[kept]])
            height, width = image.shape[:2]
            boxes = np.clip(boxes[kept], 0, np.array([width, height, width, height], np.float32))
            inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
            found.append(Faces(boxes, scores[good[kept], 1], landmarks).select(inside))
        return found

    def _suppress(
        self, boxes: Boxes, scores: Scores, threshold: float, smaller: bool = False
    ) -> NDArray[np.intp]:
        """Places to keep of the best candidates, best score first."""
        best = np.argsort(-scores, kind="stable")[: self.settings.candidates]
        overlap = share_of_smaller if smaller else iou
        return best[non_maximum_suppression(boxes[best], scores[best], threshold, overlap)]

    def _judge(
        self, session: ort.InferenceSession, names: list[str], images: Sequence[Image],
        boxes: Sequence[Boxes], size: int,
    ) -> Iterator[list[NDArray[np.float32]]]:  # fmt: skip
        """The session's outputs for the boxes of each picture; pictures share passes."""
        rows = [(image, box) for image, some in zip(images, boxes, strict=True) for box in some]
        parts = [[np.zeros((0, WIDTHS[name]), np.float32) for name in names]]  # of no box at all
        for start in range(0, len(rows), self._batch):
            part = rows[start : start + self._batch]
            crops = np.empty((len(part), size, size, 3), np.uint8)
            for crop, (image, box) in zip(crops, part, strict=True):
                cut(image, box, crop)
            parts.append(session.run(names, {_input(session): normalised(crops)}))
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        start = 0
        for some in boxes:
            yield [output[start : start + len(some)] for output in outputs]
            start += len(some)


def pyramid_scales(width: int, height: int, settings: MtcnnSettings) -> list[float]:
    """Factors from the picture to each level of its pyramid, largest first; none for pictures that
    are smaller than the smallest face."""
    scale = min(CELL / settings.smallest, settings.longest / max(width, height))
    scales = []
    while min(width, height) * scale >= CELL:
        scales.append(scale)
        scale *= settings.factor
    return scales


def window_boxes(rows: NDArray[np.intp], columns: NDArray[np.intp], scale: float) -> Boxes:
    """``(N, 4)`` boxes in the picture of P-Net's windows at places of its output."""
    corner = np.stack([columns, rows], 1) * float(STRIDE)
    first = np.floor((corner + 1) / scale) - 1  # the original's pixels from 1 on, see above
    last = np.floor((corner + CELL) / scale)
    return np.concatenate([first, last], 1).astype(np.float32)


def shift_edges(boxes: Boxes, offsets: Boxes) -> Boxes:
    """``(N, 4)`` boxes with each edge moved by its offset, a share of the box's side."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved: Boxes = boxes + offsets * sides
    return moved


def square(boxes: Boxes) -> Boxes:
    """``(N, 4)`` boxes with the same middles, and the longer side as both."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], 1)


def place_landmarks(boxes: Boxes, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, 5, 2)`` pixels of ``(N, 10)`` shares of the boxes' sides, the five x first."""
    shares = points.reshape(-1, 2, 5).transpose(0, 2, 1)
    placed: NDArray[np.float32] = boxes[:, None, :2] + shares * (boxes[:, 2:] - boxes[:, :2])[:, None]
    return placed


def cut(image: Image, box: Boxes, out: Image) -> None:
    """Fills ``out`` ``(S, S, 3)`` with what the picture has in the box ``(4,)``; black outside of it, and
    all black for a box that is empty."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (math.floor(v) for v in box)
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if left >= right or top >= bottom:
        out[:] = 0
        return
    patch = image[top:bottom, left:right]
    if (left, top, right, bottom) != (x1, y1, x2, y2):
        whole = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
        whole[top - y1 : bottom - y1, left - x1 : right - x1] = patch
        patch = whole
    cv2.resize(patch, out.shape[:2], dst=out, interpolation=cv2.INTER_AREA)


def normalised(images: Image) -> NDArray[np.float32]:
    """``(N, 3, H, W)`` float32 input of the networks from ``(N, H, W, 3)`` uint8."""
    blob = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    blob -= np.float32(INPUT.mean[0])
    blob *= np.float32(INPUT.scale)
    return blob


def _input(session: ort.InferenceSession) -> str:
    name: str = session.get_inputs()[0].name
    return name
