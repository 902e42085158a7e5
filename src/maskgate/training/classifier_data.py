"""Training samples for the classifier: real faces, drawn masks, covered bare faces, moved about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from maskgate.errors import DataError
from maskgate.training.crops import MARGIN, SIDE, FaceCrops
from maskgate.training.occlusion.heads import lay_neighbour
from maskgate.training.occlusion.hoods import draw_hood
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.recolour import recolour_mask
from maskgate.training.photometric import vary_light, vary_sharpness
from maskgate.types import LABELS, Image

MASK, NO_MASK, INCORRECT = 0, 1, 2


@dataclass(frozen=True)
class ClassifierAugmentation:
    """How samples are drawn and changed.

    Attributes:
        size: side of the classifier's input in pixels.
        margin: side of the crop over the face's longer side, as at inference.
        shares: of the classes mask, no_mask and incorrect.
        drawn_masks: share of the class mask that is drawn on bare faces.
        drawn_wrong: share of the class incorrect that is drawn on bare faces.
        covered: share of the class no_mask that gets a hand, scarf or beard.
        recoloured: share of the real masks that get another colour or a print.
        hooded: share of all faces that get a hood or a head cloth.
        neighbours: share of all faces with another face beside them.
        evenness: 0 draws each crop alike, 1 each source alike.
        any_angle: share turned by any angle instead of a few degrees.
        shift: standard deviation of the view's offset each way, as a share of its side.
        zoom: standard deviation of the natural logarithm of its scale.
        smoothing: of the labels.
    """

    size: int = 112
    margin: float = 1.35
    shares: tuple[float, float, float] = (0.42, 0.34, 0.24)
    drawn_masks: float = 0.12
    drawn_wrong: float = 0.45
    covered: float = 0.35
    recoloured: float = 0.15
    hooded: float = 0.04
    neighbours: float = 0.08
    evenness: float = 0.4
    any_angle: float = 0.06
    shift: float = 0.035
    zoom: float = 0.12
    smoothing: float = 0.02


def draw_view(
    crop: Image, margin: float, size: int, rng: np.random.Generator, any_angle: float,
    shift: float = ClassifierAugmentation.shift, zoom: float = ClassifierAugmentation.zoom,
) -> Image:  # fmt: skip
    """The classifier's view of a crop, moved about as an imperfect detector would.

    Turned, shifted, scaled and stretched a little; ``(size, size, 3)``. See
    :class:`ClassifierAugmentation` for the last three.
    """
    turn = rng.uniform(-180, 180) if rng.random() < any_angle else rng.normal(0, 7)
    scale = size / (SIDE * margin / MARGIN) * float(np.exp(rng.normal(0, zoom)))
    stretch = np.exp(rng.normal(0, 0.05))
    a = np.deg2rad(turn)
    cos, sin = np.cos(a) * scale, np.sin(a) * scale
    matrix = np.array([[cos * stretch, sin * stretch, 0], [-sin / stretch, cos / stretch, 0]])
    middle = (SIDE - 1) / 2
    offset = rng.normal(0, shift, 2) * size
    matrix[:, 2] = (size - 1) / 2 + offset - matrix[:, :2] @ np.array([middle, middle])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.8 else cv2.BORDER_CONSTANT
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(crop, matrix, (size, size), flags=flags, borderMode=border), np.uint8)


def still_view(crop: Image, margin: float, size: int) -> Image:
    """The view of a crop that inference has: no turn, no shift."""
    scale = size / (SIDE * margin / MARGIN)
    offset = (size - 1) / 2 - scale * (SIDE - 1) / 2
    matrix = np.array([[scale, 0, offset], [0, scale, offset]])
    out = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def still_views(crops: Iterable[Image], margin: float, size: int) -> Image:
    """:func:`still_view` of each crop, ``(N, size, size, 3)``; at least one."""
    return np.stack([still_view(crop, margin, size) for crop in crops])


class ClassifierDataset(Dataset[tuple[Tensor, ...]]):
    """Random samples; item i of epoch e depends on nothing but (seed, e, i).

    An item is ``(3, size, size)`` uint8 RGB and the class as an int64 scalar. A class that no crop
    has is drawn only. Raises :class:`~maskgate.errors.DataError` where it cannot be.
    """

    def __init__(
        self, crops: FaceCrops, length: int, augmentation: ClassifierAugmentation, painter: Painter,
        seed: int, weights: NDArray[np.float64] | None = None,
    ) -> None:  # fmt: skip
        self.crops = crops
        self.length = length
        self.a = augmentation
        self.painter = painter
        self.seed = seed
        self.epoch = 0
        every = np.ones(len(crops)) if weights is None else weights
        self._pools = [self._pool(crops.labels == k, every) for k in (MASK, NO_MASK, INCORRECT)]
        drawable = (crops.labels == NO_MASK) & ~np.isnan(crops.landmarks).any((1, 2)) & (crops.sizes >= 24)
        self._bare = self._pool(drawable, every)
        for label, share in enumerate(augmentation.shares):
            can_be_drawn = self._drawn[label] > 0 and len(self._bare[0])
            if share > 0 and not len(self._pools[label][0]) and not can_be_drawn:
                raise DataError(
                    f"no face to learn from is labelled {LABELS[label]}; add some, or put 0 in its place in "
                    "[augmentation] shares"
                )

    @property
    def _drawn(self) -> tuple[float, float, float]:
        """Share of each class that is drawn."""
        return self.a.drawn_masks, self.a.covered, self.a.drawn_wrong

    def _pool(
        self, member: NDArray[np.bool_], every: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        index = np.flatnonzero(member)
        weight = every[index].copy()
        for source in np.unique(self.crops.sources[index]):
            own = self.crops.sources[index] == source
            weight[own] /= own.sum() ** self.a.evenness
        return index, weight / weight.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        image, label = self.sample(rng)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.tensor(label)

    def sample(self, rng: np.random.Generator) -> tuple[Image, int]:
        """One augmented view ``(size, size, 3)`` and its class."""
        a = self.a
        label = int(rng.choice(3, p=a.shares))
        draws = rng.random() < self._drawn[label] or not len(self._pools[label][0])
        pool, weight = self._bare if draws and len(self._bare[0]) else self._pools[label]
        i = int(rng.choice(pool, p=weight))
        crop = self._dressed(i, label, pool is self._bare[0], rng)
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
        view = draw_view(crop, a.margin, a.size, rng, a.any_angle, a.shift, a.zoom)
        if rng.random() < 0.8:
            view = vary_light(view, rng)
        view = vary_sharpness(view, rng)
        if rng.random() < 0.1:
            view = _cover_corner(view, rng)
        return view, label

    def _dressed(self, i: int, label: int, draws: bool, rng: np.random.Generator) -> Image:
        """Face i with what is drawn on it and around it."""
        crop: Image = self.crops.images[i]
        landmarks = self.crops.landmarks[i]
        placed = not np.isnan(landmarks).any()
        if draws:
            crop = paint(crop, landmarks, label, self.painter, rng)
        elif label == MASK and placed and rng.random() < self.a.recoloured:
            crop = recolour_mask(crop, landmarks, rng)
        if placed and rng.random() < self.a.hooded:
            crop = draw_hood(crop, landmarks, rng)
        if rng.random() < self.a.neighbours:
            crop = lay_neighbour(crop, self.crops.images[int(rng.integers(len(self.crops)))], rng)
        return crop


def paint(
    crop: Image, landmarks: NDArray[np.float32], label: int, painter: Painter, rng: np.random.Generator
) -> Image:
    """A bare face made into one of the class ``label``: masked, covered by something else, or
    wrongly masked."""
    if label == MASK:
        return painter.mask(crop, landmarks, Wearing.RIGHT, rng)
    if label == INCORRECT:
        return painter.wrong_mask(crop, landmarks, rng)
    return painter.bare_cover(crop, landmarks, rng)


def _cover_corner(view: Image, rng: np.random.Generator) -> Image:
    """Something in front, from a corner or an edge, away from the middle."""
    out = view.copy()
    size = view.shape[0]
    depth = int(rng.uniform(0.08, 0.3) * size)
    colour = rng.integers(0, 256, 3)
    noisy = np.clip(colour + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    edge = int(rng.integers(4))
    parts: list[tuple[slice, ...]] = [np.s_[:depth,], np.s_[-depth:,], np.s_[:, :depth], np.s_[:, -depth:]]
    part = parts[edge]
    out[part] = noisy[part]
    return out
