"""Tone and light of a face's bare skin, so that what is laid on it can take them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.types import Image

_GREY = 5.0
"""A mean difference of the channels below which a picture counts as one without colour."""

_PLACES = np.stack(np.meshgrid(np.linspace(-1.1, 1.1, 9), np.linspace(-0.35, 0.8, 7)), -1).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Skin:
    """What the skin of one face looks like.

    Attributes:
        tone: median RGB ``(3,)`` in [0, 255].
        slope: relative change of brightness per pixel to the right and down, ``(2,)``.
        middle: where the light is that of ``tone``, ``(2,)`` pixels.
        grey: whether it is skin in a picture without colour.
    """

    tone: NDArray[np.float32]
    slope: NDArray[np.float64]
    middle: NDArray[np.float64]
    grey: bool

    @classmethod
    def of_face(cls, image: Image, frame: FaceFrame) -> Skin | None:
        """Looked up between forehead and mouth, or None where that lies outside the picture."""
        places = frame.to_pixels(_PLACES).round().astype(int)
        height, width = image.shape[:2]
        seen = (places >= 0).all(1) & (places < [width, height]).all(1)
        if seen.sum() < 12:
            return None
        places = places[seen]
        colours = image[places[:, 1], places[:, 0]].astype(np.float64)
        tone = np.median(colours, 0).astype(np.float32)
        grey = bool(np.abs(colours - colours.mean(1, keepdims=True)).mean() < _GREY)
        level = colours.mean(1) / max(float(tone.mean()), 8.0)
        middle = places.mean(0)
        # eyes, nostrils and gleams are no slope of the light
        plain = np.abs(level - 1) < 0.5
        slope = np.zeros(2)
        if plain.sum() >= 12:
            offset = places[plain] - middle
            spread = offset.T @ offset + np.eye(2) * frame.scale**2
            slope = np.linalg.solve(spread, offset.T @ (level[plain] - level[plain].mean()))
        return cls(tone, slope, middle, grey)

    def light(
        self, shape: tuple[int, int], corner: NDArray[np.float64], strength: float
    ) -> NDArray[np.float32]:
        """Brightness around 1 of an area ``shape`` whose top left corner is at ``corner``."""
        x = (np.arange(shape[1]) + corner[0] - self.middle[0]) * (strength * self.slope[0])
        y = (np.arange(shape[0]) + corner[1] - self.middle[1]) * (strength * self.slope[1]) + 1
        level = y.astype(np.float32)[:, None] + x.astype(np.float32)
        return np.asarray(np.clip(level, np.float32(0.55), np.float32(1.45)), np.float32)

    def tint(
        self, rgb: NDArray[np.float32], inside: NDArray[np.bool_], likeness: float, detail: float
    ) -> NDArray[np.float32]:
        """``rgb`` ``(H, W, 3)`` with the mean of what is ``inside`` brought to this tone.

        ``likeness`` 0 brings only the brightness there, 1 the colour too; ``detail`` scales the
        contrast.
        """
        if not inside.any():
            return rgb
        own = np.maximum(rgb[inside].mean(0), 8)
        if self.grey:
            rgb = np.repeat(rgb.mean(2, keepdims=True), 3, 2)
            own = np.full(3, own.mean(), np.float32)
            likeness = 1.0
        gain = self.tone / own
        gain = gain.mean() + likeness * (gain - gain.mean())
        goal = np.minimum(own * np.clip(gain, 0.2, 2.6), 225)
        slope = np.asarray(detail * goal / own, np.float32)
        return np.asarray(rgb * slope + np.asarray(goal - own * slope, np.float32), np.float32)


def blur_like(
    layer: NDArray[np.float32], inside: NDArray[np.bool_], under: Image, rng: np.random.Generator
) -> NDArray[np.float32]:
    """``layer`` softened where it is sharper than the picture that it comes into."""
    own = _detail(layer[..., 1], inside)
    other = _detail(under[..., 1], None)
    sigma = 0.55 * np.log2(max(own / max(other, 1.0), 1.0)) * rng.uniform(0.3, 1.2)
    if sigma < 0.3:
        return layer
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), min(sigma, 1.6)), np.float32)


def _detail(channel: NDArray[Any], inside: NDArray[np.bool_] | None) -> float:
    edges = cv2.Laplacian(np.ascontiguousarray(channel), cv2.CV_32F)
    return float(np.abs(edges if inside is None else edges[inside]).mean())
