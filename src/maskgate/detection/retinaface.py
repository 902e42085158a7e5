"""RetinaFace at inference: resize, one pass of the network, decode, suppress (paper, Sec. III-A)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.detection.anchors import decode_boxes, decode_landmarks, make_anchors
from maskgate.detection.boxes import non_maximum_suppression
from maskgate.detection.protocol import LabelledFaces
from maskgate.detection.scales import join_views, view_scale
from maskgate.errors import InputError
from maskgate.types import Faces, Image

Outputs = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class RetinaFaceSettings:
    """How pictures go into the network and faces come out.

    Attributes:
        anchors: sides in pixels of the square anchors at strides 8, 16 and 32.
        mean: blue, green and red values that are subtracted.
        score: lowest score of a face, in (0, 1).
        overlap: IoU in (0, 1] above which the weaker of two boxes is dropped.
        long_side: pictures are scaled down until their longer side has at most this many pixels...
        reduce: ...but by no more than this factor, at least 1, so that large pictures keep their small
            faces...
        longest: ...as long as the longer side then has at most this many pixels.
        enlarge_to: smaller pictures are scaled up until their longer side has this many pixels...
        enlarge: ...but by no more than this factor, at least 1.
        close_up: longer side in pixels of a second, small view of each picture, which decides about
            the faces that are larger than the largest anchor in the first; 0 for none.
        candidates: at most so many boxes go into the suppression, best first.
    """

    anchors: tuple[tuple[float, ...], ...] = ((10, 20), (32, 64), (128, 256))
    mean: tuple[float, float, float] = (104, 117, 123)
    score: float = 0.5
    overlap: float = 0.4
    long_side: int = 1280
    reduce: float = 2.0
    longest: int = 2560
    enlarge_to: int = 480
    enlarge: float = 1.5
    close_up: int = 224
    candidates: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.score < 1:
            raise InputError(f"score is {self.score}; give a value between 0 and 1")
        if self.long_side < 32:
            raise InputError(f"long_side is {self.long_side}; give at least 32 pixels")
        for name in ("reduce", "enlarge"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a factor of at least 1")


class RetinaFaceDetector:
    """A face detector over an ONNX session.

    The session takes ``(N, 3, H, W)`` float32, BGR minus the mean, and gives ``loc (N, A, 4)``,
    ``conf (N, A, 2)`` after the softmax and ``landmarks (N, A, 10)``; the outputs are told apart
    by their widths. Pictures of equal size share one pass.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        settings: RetinaFaceSettings | None = None,
        name: str = "retinaface",
    ) -> None:
        self.name = name
        self.settings = settings or RetinaFaceSettings()
        self.session = session
        self._input = session.get_inputs()[0].name
        widths = {int(o.shape[-1]): o.name for o in session.get_outputs()}
        self._outputs = [widths[4], widths[2], widths[10]]

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Faces of each ``(H, W, 3)`` uint8 RGB picture, best score first.

        Boxes are cut at the picture's edge; landmarks may lie outside. An empty list gives an
        empty list.
        """
        return [found.faces for found in self._look(images)]

    def _look(self, images: Sequence[Image]) -> list[LabelledFaces]:
        """The faces, and what outputs after the third say about them: nothing, ``(N, 0)``, where there is
        none."""
        settings = self.settings
        scales = [self._scale(image) for image in images]
        found = self._pass(images, scales)
        limit = settings.anchors[-1][-1]
        again = [i for i, scale in enumerate(scales) if self._wants_close_up(images[i], scale)]
        closer = self._pass([images[i] for i in again], [self._close_up_scale(images[i]) for i in again])
        for i, close_up in zip(again, closer, strict=True):
            found[i] = join_views(found[i], close_up, limit / scales[i], settings.overlap)
        return found

    def _scale(self, image: Image) -> float:
        settings = self.settings
        return view_scale(
            image.shape[1], image.shape[0], long_side=settings.long_side, reduce=settings.reduce,
            longest=settings.longest, enlarge_to=settings.enlarge_to, enlarge=settings.enlarge,
        )  # fmt: skip

    def _wants_close_up(self, image: Image, scale: float) -> bool:
        # a picture that the network sees no larger than the largest anchor holds no larger face
        close_up, limit = self.settings.close_up, self.settings.anchors[-1][-1]
        return close_up > 0 and max(image.shape[:2]) * scale > max(limit, close_up)

    def _close_up_scale(self, image: Image) -> float:
        return self.settings.close_up / float(max(image.shape[:2]))

    def _pass(self, images: Sequence[Image], scales: Sequence[float]) -> list[LabelledFaces]:
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, (image, scale) in enumerate(zip(images, scales, strict=True)):
            groups[size_of_view(image, scale)].append(i)
        results: dict[int, LabelledFaces] = {}
        for size, members in groups.items():
            blob = self.prepare([images[i] for i in members], size)
            outputs = self.run(blob)
            for row, i in enumerate(members):
                results[i] = self._decode(outputs, row, size, (images[i].shape[1], images[i].shape[0]))
        return [results[i] for i in range(len(images))]

    def prepare(self, images: Sequence[Image], size: tuple[int, int]) -> NDArray[np.float32]:
        """``(N, 3, height, width)`` float32 input from RGB pictures scaled to ``size`` = (width, height)."""
        blob = np.empty((len(images), 3, size[1], size[0]), np.float32)
        for planes, image in zip(blob, images, strict=True):
            scaled = image if image.shape[1::-1] == size else _resize(image, size)
            # a plane at a time: ten times the speed of cv2.dnn.blobFromImages, to the same bits
            for plane, channel, mean in zip(planes, cv2.split(scaled)[::-1], self.settings.mean, strict=True):
                np.subtract(channel, np.float32(mean), out=plane, dtype=np.float32)
        return blob

    def run(self, blob: NDArray[np.float32]) -> Outputs:
        """One pass: offsets ``(N, A, 4)``, scores ``(N, A, 2)``, landmark offsets ``(N, A, 10)``."""
        return tuple(self.session.run(self._outputs, {self._input: blob}))

    def decode(self, outputs: Outputs, row: int, size: tuple[int, int], picture: tuple[int, int]) -> Faces:
        """Faces of one picture of the batch, in pixels of the picture.

        Args:
            outputs: of :meth:`run`.
            row: which picture of the batch.
            size: (width, height) of the network's input.
            picture: (width, height) of the picture itself.
        """
        return self._decode(outputs, row, size, picture).faces

    def _decode(
        self, outputs: Outputs, row: int, size: tuple[int, int], picture: tuple[int, int]
    ) -> LabelledFaces:
        loc, scores, points, *more = (out[row] for out in outputs)
        labels = more[0] if more else np.zeros((len(loc), 0), np.float32)
        confidence = scores[:, 1]
        index = np.flatnonzero(confidence >= self.settings.score)
        if len(index) > self.settings.candidates:
            best = np.argpartition(-confidence[index], self.settings.candidates)
            index = np.sort(index[best[: self.settings.candidates]])
        if not len(index):
            return LabelledFaces(Faces.empty(), labels[index])
        anchors = make_anchors(size[1], size[0], self.settings.anchors)[index]
        boxes = decode_boxes(loc[index], anchors)
        kept = non_maximum_suppression(boxes, confidence[index], self.settings.overlap)
        factor = np.array([picture[0] / size[0], picture[1] / size[1]], np.float32)
        limit = np.array([*picture, *picture], np.float32)
        boxes = np.clip(boxes[kept] * np.tile(factor, 2), 0, limit)
        landmarks = decode_landmarks(points[index[kept]], anchors[kept]) * factor
        inside = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        faces = Faces(boxes[inside], confidence[index[kept]][inside], landmarks[inside])
        return LabelledFaces(faces, labels[index[kept]][inside])


def size_of_view(image: Image, scale: float) -> tuple[int, int]:
    """Width and height of the picture as the network sees it."""
    height, width = image.shape[:2]
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _resize(image: Image, size: tuple[int, int]) -> Image:
    # halving by bilinear averages 2×2 pixels: small faces do not break up, at an eighth of the time of
    # INTER_AREA
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        half = (image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[1::-1] == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
