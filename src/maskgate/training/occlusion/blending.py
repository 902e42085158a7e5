"""Laying a drawn layer over a picture so that it takes on the light that is there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.types import Image


@dataclass(frozen=True)
class Area:
    """The part of a picture that a drawing touches, so that large pictures cost no more."""

    x: int
    y: int
    right: int
    bottom: int

    @classmethod
    def around(cls, image: Image, points: NDArray[np.float64]) -> Area | None:
        """The part that holds ``(K, 2)`` points and a rim, or None where little of it is in view."""
        height, width = image.shape[:2]
        low = np.floor(points.min(0)).astype(int) - 4
        high = np.ceil(points.max(0)).astype(int) + 5
        x, y = np.maximum(low, 0)
        right, bottom = np.minimum(high, [width, height])
        if right - x < 4 or bottom - y < 4:
            return None
        return cls(int(x), int(y), int(right), int(bottom))

    @property
    def corner(self) -> NDArray[np.float64]:
        """Top left corner ``(2,)`` in pixels."""
        return np.array([self.x, self.y], np.float64)

    def cut(self, image: Image) -> Image:
        """A copy of that part."""
        return image[self.y : self.bottom, self.x : self.right].copy()

    def put(self, image: Image, part: Image) -> None:
        """Writes ``part`` back into ``image``, in place."""
        image[self.y : self.bottom, self.x : self.right] = part


def fill_polygon(shape: tuple[int, int], outline: NDArray[np.float64]) -> NDArray[np.float32]:
    """Anti-aliased coverage ``shape`` in [0, 1] of a polygon ``(K, 2)`` in pixels."""
    cover = np.zeros(shape, np.uint8)
    points = np.round(outline * 16).astype(np.int32)
    cv2.fillPoly(cover, [points.reshape(-1, 1, 2)], (255,), cv2.LINE_AA, 4)
    return np.asarray(cover.astype(np.float32) / 255, np.float32)


def local_light(image: Image, cover: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Relative brightness ``(H, W)`` of the surface under ``cover``, around 1, without its detail."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = max(radius, 1.0)
    weight = cv2.GaussianBlur(cover, (0, 0), sigma) + 1e-3
    smooth = cv2.GaussianBlur(grey * cover, (0, 0), sigma) / weight
    inside = cover > 0.5
    mean = float(smooth[inside].mean()) if inside.any() else 128.0
    light: NDArray[np.float32] = np.clip(smooth / max(mean, 8.0), 0.5, 1.6).astype(np.float32)
    return light


def exposure(image: Image, cover: NDArray[np.float32]) -> float:
    """How bright the surface under ``cover`` is against a well-lit face, in [0.25, 1.25]."""
    inside = cover > 0.5
    if not inside.any():
        return 1.0
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(np.clip(grey[inside].mean() / 150, 0.25, 1.25))


def lay_over(
    image: Image, colour: NDArray[np.float32], cover: NDArray[np.float32], shadow: float = 0.0
) -> Image:
    """``image`` with ``colour`` ``(H, W, 3)`` in [0, 255] over it where ``cover`` ``(H, W)`` says.

    ``shadow`` in [0, 1] darkens a soft rim around the layer.
    """
    base = image.astype(np.float32)
    if shadow > 0:
        sigma = max(0.02 * float(np.sqrt(cover.sum())), 0.6)
        rim = cv2.GaussianBlur(cover, (0, 0), sigma * 2)
        base = base * (1 - shadow * rim * (1 - cover))[..., None]
    mixed = base + (colour - base) * cover[..., None]
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
