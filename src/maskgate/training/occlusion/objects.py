"""Things held before the mouth: cups, telephones, microphones. None of them is a mask."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.types import Image

Outline = NDArray[np.float64]
Shade = NDArray[np.float32]


def draw_object(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with a cup, a telephone or a microphone before the mouth.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is. What holds the thing is below it, out of the face.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    kinds: tuple[Callable[..., tuple[Outline, float]], ...] = (_cup, _telephone, _microphone)
    outline, roundness = kinds[int(rng.integers(3))](rng)
    tilt = np.deg2rad(rng.normal(0, 14))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    middle = np.array([rng.normal(0, 0.2), rng.uniform(0.8, 1.15)])
    edge = frame.to_pixels(outline @ turn.T + middle)
    area = Area.around(image, edge)
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    cover = fill_polygon(shape, edge - area.corner)
    layer = _surface(shape, edge - area.corner, roundness, rng) * (0.35 + 0.65 * exposure(part, cover))
    out = image.copy()
    area.put(out, lay_over(part, np.clip(layer, 0, 255), cover, shadow=rng.uniform(0.15, 0.5)))
    return out


def _cup(rng: np.random.Generator) -> tuple[Outline, float]:
    """A mug or glass, seen from the front, its rim at the lips and its foot below."""
    top, foot, high = rng.uniform(0.6, 1.15), rng.uniform(0.45, 0.95), rng.uniform(1.0, 2.0)
    curve = np.linspace(np.pi, 2 * np.pi, 9)
    rim = np.stack([top * np.cos(curve), 0.18 * np.sin(curve) - 0.1], 1)
    base = np.stack([foot * np.cos(curve[::-1]), high - 0.15 * np.sin(curve[::-1])], 1)
    return np.concatenate([rim, base]), 0.5


def _telephone(rng: np.random.Generator) -> tuple[Outline, float]:
    """Upright before the mouth, or flat below it as one speaks into it."""
    wide, high = rng.uniform(0.55, 0.95), rng.uniform(1.1, 2.0)
    if rng.random() < 0.3:
        wide, high = high, rng.uniform(0.3, 0.7)
    corner = np.linspace(0, np.pi / 2, 4)
    r = 0.12
    parts = []
    for x, y, begin in ((1, -1, -np.pi / 2), (1, 1, 0), (-1, 1, np.pi / 2), (-1, -1, np.pi)):
        centre = np.array([x * (wide - r), y * (high / 2 - r) + 0.3])
        parts.append(centre + r * np.stack([np.cos(begin + corner), np.sin(begin + corner)], 1))
    return np.concatenate(parts), 0.0


def _microphone(rng: np.random.Generator) -> tuple[Outline, float]:
    """A round head at the lips, and its handle."""
    head, neck, long = rng.uniform(0.5, 0.85), rng.uniform(0.18, 0.34), rng.uniform(1.2, 2.4)
    turn = np.linspace(0.75 * np.pi, 2.25 * np.pi, 17)
    ball = head * np.stack([np.cos(turn), np.sin(turn)], 1)
    handle = np.array([[neck, head], [neck * 0.8, long], [-neck * 0.8, long], [-neck, head]])
    return np.concatenate([ball, handle]), 0.6


def _surface(shape: tuple[int, int], edge: Outline, roundness: float, rng: np.random.Generator) -> Shade:
    """Colour ``(H, W, 3)``: plain or with a print, lit as a cylinder as far as it is round."""
    height, width = shape
    dark = rng.random() < 0.4
    colour = rng.uniform(10, 70, 3) if dark else rng.uniform(30, 250, 3)
    layer = np.broadcast_to(colour.astype(np.float32), (height, width, 3)).copy()
    if rng.random() < 0.4:
        y = int(rng.uniform(0.2, 0.7) * height)
        layer[y : y + max(int(rng.uniform(0.05, 0.3) * height), 1)] = rng.uniform(0, 255, 3)
    middle, half = edge[:, 0].mean(), max(np.ptp(edge[:, 0]) / 2, 1.0)
    across = (np.arange(width, dtype=np.float32) - middle) / half
    light = 1 - roundness * np.clip(np.abs(across - rng.uniform(-0.4, 0.4)), 0, 1.4) ** 2
    layer *= np.clip(light, 0.25, 1.1)[None, :, None]
    if rng.random() < 0.4:  # a gleam
        place = int(np.clip(middle + half * rng.uniform(-0.6, 0.6), 0, width - 1))
        gleam = np.exp(-(((np.arange(width) - place) / max(half * 0.12, 1)) ** 2))
        layer += (rng.uniform(30, 110) * gleam)[None, :, None].astype(np.float32)
    noisy = layer + rng.normal(0, rng.uniform(0.5, 5), (height, width, 1))
    return np.asarray(cv2.GaussianBlur(noisy.astype(np.float32), (0, 0), 0.6), np.float32)
