"""Training pictures for detectors: crops at chosen face sizes, mosaics, masks and hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from maskgate.detection.anchors import make_anchors
from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError, InputError
from maskgate.training.crops import UNKNOWN
from maskgate.training.detector_targets import match_anchors
from maskgate.training.detector_views import GREY, Sample, keep_seen, mirror, tile, turn_about, turn_boxes
from maskgate.training.occlusion.paint import Painter
from maskgate.training.photometric import vary_light, vary_sharpness
from maskgate.training.recipe import build
from maskgate.types import LABELS, Image, Label


def read_picture(path: Path) -> Image:
    """``(H, W, 3)`` uint8 RGB. Raises :class:`~maskgate.errors.DataError` where it cannot be read."""
    data = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if data is None:
        raise DataError(f"{path} cannot be read as a picture")
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture and its faces.

    Attributes:
        path: the file.
        boxes: ``(N, 4)`` pixels; landmarks ``(N, 5, 2)``, valid where ``has_landmarks`` ``(N,)``.
        ignore: ``(M, 4)`` regions that may or may not be faces.
        labels: ``(N,)`` int64 places in LABELS, or UNKNOWN.
    """

    path: Path
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    has_landmarks: NDArray[np.bool_]
    ignore: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def bare(self) -> NDArray[np.bool_]:
        """``(N,)`` True where the face is known to wear nothing, so that a mask may be drawn."""
        bare: NDArray[np.bool_] = self.labels == LABELS.index(Label.NO_MASK)
        return bare


@dataclass(frozen=True)
class DetectorAugmentation:
    """How training pictures are made; sizes in pixels.

    Attributes:
        side: side of the square pictures.
        face_sizes: range of the size that a chosen face is brought to.
        whole: share of pictures shown whole, fitted into the square.
        mosaic: share put together from several pictures...
        mosaic_rows: ...so many a row and a column, one of these numbers: the more, the smaller the faces.
        backdrop: share of those not filled by a picture that get a background, where there are some.
        compose: share put together from faces and a background of their own, where there are some...
        pasted: ...with so many faces, at least and at most...
        pasted_sizes: ...of sizes in this range...
        distract: ...and, in this share of them, hands that belong to no face.
        occlude: share of bare faces that get a mask, a hand or a scarf.
        covers: of these, shares of masks worn rightly, masks worn wrongly, and things that are no mask.
        tilt: share of pictures that are turned...
        tilt_degrees: ...by an angle up to this, either way.
        smallest: smaller faces are ignored.
        anchors: sides per level, as the network's.
    """

    side: int = 480
    face_sizes: tuple[float, float] = (12.0, 330.0)
    whole: float = 0.3
    mosaic: float = 0.3
    mosaic_rows: tuple[int, ...] = (2,)
    backdrop: float = 0.5
    compose: float = 0.0
    pasted: tuple[int, int] = (2, 20)
    pasted_sizes: tuple[float, float] = (9.0, 130.0)
    distract: float = 0.3
    occlude: float = 0.5
    covers: tuple[float, float, float] = (0.6, 0.15, 0.25)
    tilt: float = 0.25
    tilt_degrees: float = 30.0
    smallest: float = 7.0
    anchors: tuple[tuple[float, ...], ...] = ((10, 20), (32, 64), (128, 256))


def detection_settings(recipe: Mapping[str, Any]) -> RetinaFaceSettings:
    """How the trained detector is to look at pictures: ``[detection]`` of a recipe, with the anchors of its
    augmentation.

    Raises :class:`~maskgate.errors.DataError` naming a field that is unknown, of another type, or has a value
    that cannot be used.
    """
    table = recipe.get("detection", {})
    for name in ("anchors", "mean"):
        if name in table:
            raise DataError(
                f"[detection] has {name}, which are the network's; give anchors in [augmentation]"
            )
    anchors = build(DetectorAugmentation, recipe.get("augmentation", {}), "[augmentation]").anchors
    try:
        return replace(build(RetinaFaceSettings, table, "[detection]"), anchors=anchors)
    except InputError as error:
        raise DataError(f"[detection]: {error}") from error


class SceneMaker(Protocol):
    """Makes pictures of its own: see :class:`~maskgate.training.detector_compose.ComposedScenes`."""

    def make(self, augmentation: DetectorAugmentation, rng: np.random.Generator) -> Sample:
        """A sample of ``augmentation.side`` pixels."""
        ...

    def background(self, side: int, rng: np.random.Generator) -> Image:
        """``(side, side, 3)`` without a face."""
        ...


class DetectorDataset(Dataset[tuple[Tensor, ...]]):
    """Random training samples; item i of epoch e depends on nothing but (seed, e, i).

    An item is the network's input ``(3, S, S)`` (BGR minus mean) and, for the A anchors, ``kind``,
    ``boxes``, ``landmarks`` and ``has_landmarks`` of :class:`AnchorTargets`, and ``labels (A,)`` int64 of
    their faces, UNKNOWN where there is no face or nobody knows.
    """

    def __init__(
        self,
        pictures: Sequence[LabelledPicture],
        weights: Sequence[float],
        length: int,
        augmentation: DetectorAugmentation,
        painter: Painter | None,
        seed: int,
        mean: tuple[float, float, float] = (104, 117, 123),
        scenes: SceneMaker | None = None,
    ) -> None:
        self.pictures = pictures
        p = np.asarray(weights, np.float64)
        self.weights = p / p.sum()
        self.length = length
        self.a = augmentation
        self.painter = painter
        self.scenes = scenes
        self.seed = seed
        self.epoch = 0
        self.mean = np.array(mean, np.float32)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        sample = self.sample(rng)
        a = self.a
        t = match_anchors(
            make_anchors(a.side, a.side, a.anchors),
            sample.boxes, sample.landmarks, sample.has_landmarks, sample.ignore,
        )  # fmt: skip
        x = sample.image[..., ::-1].astype(np.float32) - self.mean
        labels = np.append(sample.labels, UNKNOWN)[t.faces]  # -1 is the last
        parts = (
            np.ascontiguousarray(x.transpose(2, 0, 1)),
            t.kind, t.boxes, t.landmarks, t.has_landmarks, labels,
        )  # fmt: skip
        return tuple(torch.from_numpy(part) for part in parts)

    def sample(self, rng: np.random.Generator) -> Sample:
        """One augmented picture with its faces in the square's pixels."""
        a = self.a
        lot = rng.random()
        if self.scenes is not None and lot > 1 - a.compose:
            sample = self.scenes.make(a, rng)
        elif lot < a.mosaic:
            sample = self._mosaic(rng)
        else:
            sample = self._cut(self._pick(rng), a.side, rng)
        if rng.random() < 0.5:
            sample = mirror(sample)
        image = sample.image
        if rng.random() < 0.7:
            image = vary_light(image, rng)
        if rng.random() < 0.4:
            image = vary_sharpness(image, rng)
        return replace(sample, image=image)

    def _pick(self, rng: np.random.Generator) -> LabelledPicture:
        return self.pictures[int(rng.choice(len(self.pictures), p=self.weights))]

    def _mosaic(self, rng: np.random.Generator) -> Sample:
        rows = int(rng.choice(self.a.mosaic_rows))
        side = self.a.side // rows
        return tile([self._cut(self._pick(rng), side, rng) for _ in range(rows * rows)], self.a.side)

    def _cut(self, picture: LabelledPicture, side: int, rng: np.random.Generator) -> Sample:
        """The picture brought to a scale and cut to a square."""
        image = read_picture(picture.path)
        height, width = image.shape[:2]
        scale, x0, y0 = self._view(picture, width, height, side, rng)
        labels = picture.labels.copy()
        if self.painter is not None:
            big = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(1, initial=0) * scale >= 20
            for i in np.flatnonzero(picture.bare & picture.has_landmarks & big):
                if rng.random() < self.a.occlude:
                    image, label = self.painter.cover_any(image, picture.landmarks[i], rng, self.a.covers)
                    labels[i] = LABELS.index(label)
        source, own = image, scale
        if scale < 0.6:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            source, own = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), 1.0
        shift = np.array([x0 * scale, y0 * scale])
        angle = float(rng.uniform(-1, 1)) * self.a.tilt_degrees if rng.random() < self.a.tilt else 0.0
        turn = turn_about(side / 2, angle)
        matrix = turn @ np.array([[own, 0, -shift[0]], [0, own, -shift[1]], [0, 0, 1]])
        covered = angle == 0 and min(width, height) * scale >= side
        canvas = np.zeros((side, side, 3), np.uint8) if covered else self._canvas(side, rng)
        square = cv2.warpAffine(
            source, matrix, (side, side), dst=canvas, flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip
        boxes = turn_boxes(picture.boxes * scale - np.tile(shift, 2), turn, roundness=0.5)
        ignore = turn_boxes(picture.ignore * scale - np.tile(shift, 2), turn, roundness=0.0)
        points = (picture.landmarks * scale - shift) @ turn[:, :2].T + turn[:, 2]
        out = np.asarray(square, np.uint8)
        return keep_seen(out, boxes, points, picture.has_landmarks, labels, ignore, self.a.smallest)

    def _canvas(self, side: int, rng: np.random.Generator) -> Image:
        """What lies around a picture that does not fill its square: a colour, or another picture's part
        without faces, of which more can be learnt."""
        if self.scenes is not None and rng.random() < self.a.backdrop:
            return self.scenes.background(side, rng)
        fill = rng.integers(0, 256, 3, np.uint8) if rng.random() < 0.5 else np.array(GREY, np.uint8)
        return np.broadcast_to(fill, (side, side, 3)).copy()

    def _view(
        self, picture: LabelledPicture, width: int, height: int, side: int, rng: np.random.Generator
    ) -> tuple[float, float, float]:
        """Scale, and the top left corner in the picture's pixels."""
        fit = side / max(width, height)
        n = len(picture.boxes)
        if n == 0 or rng.random() < self.a.whole:
            scale = fit * float(rng.uniform(0.6, 1.0))
            loose = side / scale
            return scale, float(rng.uniform(width - loose, 0)), float(rng.uniform(height - loose, 0))
        box = picture.boxes[int(rng.integers(n))]
        size = float(max(box[2] - box[0], box[3] - box[1]))
        low, high = np.log(self.a.face_sizes)
        scale = float(np.exp(rng.uniform(low, high))) / max(size, 1.0)
        scale = float(np.clip(scale, min(0.55 * fit, 1.0), 2.2))
        scale = min(scale, 0.95 * side / size)
        view = side / scale
        x = rng.uniform(box[2] - view, box[0]) if view > box[2] - box[0] else box[0]
        y = rng.uniform(box[3] - view, box[1]) if view > box[3] - box[1] else box[1]
        if width > view:
            x = np.clip(x, 0, width - view)
        if height > view:
            y = np.clip(y, 0, height - view)
        return scale, float(x), float(y)
