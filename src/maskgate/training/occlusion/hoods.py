"""Hoods and head cloths: cloth around a face that leaves the face itself free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over, local_light
from maskgate.training.occlusion.fabric import draw_pattern, draw_weave
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.training.occlusion.masks import cloth_colour
from maskgate.types import Image


def draw_hood(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with a hood: of a clean room's overall, a jacket, or a head cloth.

    It covers hair, ears, cheeks' rims, neck and chest, never nose or mouth, so the face's class
    stays. ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a
    usable frame is left as it is.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    opening = frame.to_pixels(smooth_outline(_opening(rng)))
    outside = frame.to_pixels(smooth_outline(_outside(rng)))
    area = Area.around(image, outside)
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    free = fill_polygon(shape, opening - area.corner)
    cover = np.asarray(fill_polygon(shape, outside - area.corner) * (1 - free), np.float32)
    pattern = draw_weave(shape, rng) if rng.random() < 0.75 else draw_pattern(shape, frame.scale, rng)
    light = local_light(part, np.ones(shape, np.float32), 0.6 * frame.scale)
    shade = (1 + np.float32(rng.uniform(0.1, 0.6)) * (light - 1))[..., None]
    layer = (cloth_colour(rng) + pattern) * shade * np.float32(0.35 + 0.65 * exposure(part, free))
    out = image.copy()
    layer = np.clip(layer, 0, 255).astype(np.float32)
    area.put(out, lay_over(part, layer, cover, shadow=rng.uniform(0.1, 0.6)))
    return out


def _opening(rng: np.random.Generator) -> NDArray[np.float64]:
    """The edge round the face, in face coordinates: from the forehead to under the chin."""
    wide, top, low = rng.uniform(1.55, 2.05), rng.uniform(-1.5, -0.65), rng.uniform(1.95, 2.5)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    middle, half = (top + low) / 2, (low - top) / 2
    points = np.stack([wide * np.sin(angle), middle - half * np.cos(angle)], 1)
    return points * (1 + rng.normal(0, 0.02, (12, 1)))


def _outside(rng: np.random.Generator) -> NDArray[np.float64]:
    """The outer edge: over the head, down beside it and out to the shoulders."""
    wide, top, shoulder = rng.uniform(2.5, 3.1), rng.uniform(-3.0, -2.2), rng.uniform(3.2, 4.5)
    return np.array(
        [[0.0, top], [0.75 * wide, 0.75 * top], [wide, 0.0], [0.95 * wide, 1.6], [shoulder, 3.2],
         [shoulder, 5.0], [-shoulder, 5.0], [-shoulder, 3.2], [-0.95 * wide, 1.6], [-wide, 0.0],
         [-0.75 * wide, 0.75 * top]]
    )  # fmt: skip
