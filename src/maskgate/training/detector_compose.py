"""Scenes put together from faces of other pictures and backgrounds without one.

They show what few photographs do: many small faces of known boxes and landmarks in front of anything, and
things that look like a face and are none. Faces keep some of their surroundings, with a soft or a hard
edge, so that no edge of a pasted patch tells where a face is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import intersection
from maskgate.training.detector_data import DetectorAugmentation, LabelledPicture, read_picture
from maskgate.training.detector_views import Sample, keep_seen
from maskgate.training.occlusion.hands import Hand
from maskgate.training.occlusion.paint import Painter
from maskgate.types import LABELS, Image

SMALLEST_FACE = 24.0
"""Faces with a longer side under so many pixels are not pasted: they would be blurred."""

SMALLEST_BACKGROUND = 100.0
"""Least shorter side in pixels of a background."""

LARGEST_ENLARGEMENT = 1.6

_TRIES = 30


@dataclass(frozen=True, eq=False)
class Background:
    """A part of a picture in which nobody sees a face: ``window`` ``(4,)`` x1, y1, x2, y2 in its pixels."""

    picture: LabelledPicture
    window: tuple[int, int, int, int]


def find_background(
    picture: LabelledPicture, width: int, height: int, rng: np.random.Generator
) -> Background | None:
    """The largest of some random parts of the picture, ``width`` × ``height`` pixels, that stay clear of all
    faces and of all that may be one; None where none is large enough.
    """
    taken = np.concatenate([picture.boxes, picture.ignore])
    rim = np.float32(0.35) * (taken[:, 2:] - taken[:, :2])
    taken = np.concatenate([taken[:, :2] - rim, taken[:, 2:] + rim], 1)
    sides = np.exp(rng.uniform(np.log(0.25), 0, (_TRIES, 2))) * [width, height]
    corners = rng.uniform(0, 1, (_TRIES, 2)) * ([width, height] - sides)
    windows = np.concatenate([corners, corners + sides], 1)
    windows = np.concatenate([[[0, 0, width, height]], windows]).astype(np.float32)
    sides = windows[:, 2:] - windows[:, :2]
    clear = (intersection(windows, taken) <= 0).all(1) & (sides.min(1) >= SMALLEST_BACKGROUND)
    if not clear.any():
        return None
    best = np.where(clear, sides.prod(1), -1).argmax()
    x1, y1, x2, y2 = (int(v) for v in windows[best])
    return Background(picture, (x1, y1, x2, y2))


@dataclass(frozen=True, eq=False)
class _Patch:
    """A face with some surroundings: ``image`` ``(h, w, 3)``, ``cover`` ``(h, w)`` float32 in [0, 1], its
    box ``(4,)`` and landmarks ``(5, 2)`` in pixels of the patch, its label, and regions beside it that may
    be faces too, ``(M, 4)``."""

    image: Image
    cover: NDArray[np.float32]
    box: NDArray[np.float64]
    points: NDArray[np.float64]
    label: int
    ignore: NDArray[np.float64]


class ComposedScenes:
    """Makes scenes of pasted faces.

    Args:
        backgrounds: what they are pasted on.
        pictures: the faces, those of at least SMALLEST_FACE pixels with landmarks; pictures without any
            are left out.
        weights: how often a picture's faces are taken.
        painter: covers bare faces, as in other training pictures; and its hands are laid beside faces.
    """

    def __init__(
        self, backgrounds: Sequence[Background], pictures: Sequence[LabelledPicture],
        weights: Sequence[float], painter: Painter,
    ) -> None:  # fmt: skip
        self.backgrounds = backgrounds
        large = [_pasteable(p) for p in pictures]
        self.pictures = [p for p, some in zip(pictures, large, strict=True) if len(some)]
        self.faces = [some for some in large if len(some)]
        own = np.array([w for w, some in zip(weights, large, strict=True) if len(some)], np.float64)
        self.weights = own / max(own.sum(), 1e-9)
        self.painter = painter

    def __bool__(self) -> bool:
        return bool(self.backgrounds) and bool(self.pictures)

    def make(self, augmentation: DetectorAugmentation, rng: np.random.Generator) -> Sample:
        """A sample of ``augmentation.side`` pixels; the same ``rng`` gives the same one."""
        a = augmentation
        canvas = self.background(a.side, rng)
        low, high = a.pasted
        count = min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)
        usual = np.exp(rng.uniform(*np.log(a.pasted_sizes)))  # people at one distance are of one size
        taken = np.zeros((0, 4), np.float32)
        boxes, points, labels, ignore = [], [], [], []
        for _ in range(count):
            size = float(np.clip(usual * np.exp(rng.normal(0, 0.3)), *a.pasted_sizes))
            patch = self._patch(size, a, rng)
            place = None if patch is None else _free_place(patch.image.shape[:2], a.side, taken, rng)
            if patch is None or place is None:
                continue
            x, y = place
            _paste(canvas, patch, x, y, rng)
            height, width = patch.image.shape[:2]
            taken = np.concatenate([taken, np.array([[x, y, x + width, y + height]], np.float32)])
            boxes.append(patch.box + np.array([x, y, x, y]))
            points.append(patch.points + np.array([x, y]))
            labels.append(patch.label)
            ignore.append(patch.ignore + np.array([x, y, x, y]))
        if self.painter.hands and rng.random() < a.distract:
            for _ in range(int(rng.integers(1, 4))):
                hand = self.painter.hands[int(rng.integers(len(self.painter.hands)))]
                _lay_hand_apart(canvas, hand, taken, rng)
        n = len(boxes)
        return keep_seen(
            canvas, np.array(boxes).reshape(n, 4), np.array(points).reshape(n, 5, 2), np.ones(n, np.bool_),
            np.array(labels, np.int64), np.concatenate([np.zeros((0, 4)), *ignore]), a.smallest,
        )  # fmt: skip

    def background(self, side: int, rng: np.random.Generator) -> Image:
        """``(side, side, 3)``: a part without faces of one of the pictures."""
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        x1, y1, x2, y2 = background.window
        part = read_picture(background.picture.path)[y1:y2, x1:x2]
        # a part of the part, of any shape: stretched by a third at most
        short = min(part.shape[:2])
        width, height = (
            min(max(round(short * rng.uniform(0.75, 1.3)), 1), limit) for limit in part.shape[1::-1]
        )
        x, y = rng.integers(part.shape[1] - width + 1), rng.integers(part.shape[0] - height + 1)
        part = part[y : y + height, x : x + width]
        return np.array(cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)

    def _patch(self, size: float, a: DetectorAugmentation, rng: np.random.Generator) -> _Patch | None:
        """A face whose longer side is ``size``; None where one cannot be made that large."""
        place = int(rng.choice(len(self.pictures), p=self.weights))
        picture, i = self.pictures[place], int(rng.choice(self.faces[place]))
        box = picture.boxes[i].astype(np.float64)
        sides = box[2:] - box[:2]
        factor = size / float(sides.max())
        if factor > LARGEST_ENLARGEMENT:
            return None
        image = read_picture(picture.path)
        label = int(picture.labels[i])
        if picture.bare[i] and size >= 20 and rng.random() < a.occlude:
            image, worn = self.painter.cover_any(image, picture.landmarks[i], rng, a.covers)
            label = LABELS.index(worn)
        rims = rng.uniform([0.12, 0.15, 0.12, 0.15], [0.7, 0.6, 0.7, 1.2]) * np.tile(sides, 2)
        limit = np.array([image.shape[1], image.shape[0]])
        low = np.maximum(np.floor(box[:2] - rims[:2]), 0).astype(int)
        high = np.minimum(np.ceil(box[2:] + rims[2:]), limit).astype(int)
        part = image[low[1] : high[1], low[0] : high[0]]
        shape = np.maximum(np.round(np.array(part.shape[1::-1]) * factor), 2).astype(int)
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        scaled = np.asarray(cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=how), np.uint8)
        scale = shape / np.array(part.shape[1::-1])
        box = (box - np.tile(low, 2)) * np.tile(scale, 2)
        others = np.concatenate([np.delete(picture.boxes, i, 0), picture.ignore])
        others = (others - np.tile(low, 2)) * np.tile(scale, 2)
        others = np.clip(others, 0, np.tile(shape, 2))
        others = others[((others[:, 2:] - others[:, :2]) > 1).all(1)]
        points = (picture.landmarks[i] - low) * scale
        return _Patch(scaled, _cover(box, (shape[1], shape[0]), rng), box, points, label, others)


def _pasteable(picture: LabelledPicture) -> NDArray[np.intp]:
    sides = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(1, initial=0)
    return np.flatnonzero(picture.has_landmarks & (sides >= SMALLEST_FACE))


def _cover(box: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """``shape`` in [0, 1]: 1 over the face, falling off to the patch's edges, softly or at once."""
    height, width = shape
    if rng.random() < 0.2:
        return np.ones(shape, np.float32)
    across, down = (
        _from_middle(length, float(box[k] + box[k + 2]) / 2) for k, length in enumerate((width, height))
    )
    power = rng.uniform(2.5, 6)
    radius = (across[None] ** power + down[:, None] ** power) ** (1 / power)
    soft = rng.uniform(0.04, 0.25)
    return np.asarray(np.clip((1 - radius) / soft, 0, 1), np.float32)


def _from_middle(length: int, middle: float) -> NDArray[np.float64]:
    """``(length,)`` 0 at ``middle``, 1 at either end."""
    places = np.arange(length) + 0.5
    before, after = (middle - places) / max(middle, 1), (places - middle) / max(length - middle, 1)
    return np.asarray(np.maximum(np.maximum(before, after), 0), np.float64)


def _free_place(
    shape: tuple[int, ...], side: int, taken: NDArray[np.float32], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A corner for a patch so that it covers no other; None where none is found soon. Now and then the
    patch crosses the edge of the picture."""
    height, width = shape
    if max(width, height) > side:
        return None
    out = 0.25 if rng.random() < 0.15 else 0.0
    for _ in range(8):
        x = round(float(rng.uniform(-out * width, side - width + out * width)))
        y = round(float(rng.uniform(-out * height, side - height + out * height)))
        own = np.array([[x, y, x + width, y + height]], np.float32)
        if (intersection(own, taken) <= 0).all():
            return x, y
    return None


def _paste(canvas: Image, patch: _Patch, x: int, y: int, rng: np.random.Generator) -> None:
    """Lays the patch on the canvas, in place, its brightness drawn to what is there."""
    height, width = patch.image.shape[:2]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + width, canvas.shape[1]), min(y + height, canvas.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    own = patch.image[y1 - y : y2 - y, x1 - x : x2 - x].astype(np.float32)
    cover = patch.cover[y1 - y : y2 - y, x1 - x : x2 - x, None]
    base = canvas[y1:y2, x1:x2].astype(np.float32)
    strength = rng.uniform(0, 0.5)
    own *= float(np.clip((base.mean() + 20) / (own.mean() + 20), 0.4, 1.8)) ** strength
    canvas[y1:y2, x1:x2] = np.clip(base + (own - base) * cover + 0.5, 0, 255).astype(np.uint8)


def _lay_hand_apart(canvas: Image, hand: Hand, taken: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A hand that belongs to no face, beside the faces, in place."""
    side = canvas.shape[0]
    size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))) * side
    turns = int(rng.integers(4))
    rgb, cover = np.rot90(hand.rgb, turns), np.rot90(hand.cover, turns)
    factor = size / max(cover.shape)
    shape = max(round(cover.shape[1] * factor), 2), max(round(cover.shape[0] * factor), 2)
    image, own = (
        cv2.resize(np.ascontiguousarray(part), shape, interpolation=cv2.INTER_AREA) for part in (rgb, cover)
    )
    place = _free_place(shape[::-1], side, taken, rng)
    if place is not None:
        none = np.zeros(4), np.zeros((5, 2)), 0, np.zeros((0, 4))
        _paste(canvas, _Patch(np.asarray(image, np.uint8), np.asarray(own, np.float32), *none), *place, rng)
