"""What lies at or over the lower face without being a mask: scarves, collars, hoods, beards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.types import Image


def draw_scarf(
    image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator, *, over_mouth: bool
) -> Image:
    """A scarf or high collar from below the picture up to the chin, or over the mouth.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels. Either way the face wears no
    mask. Returns a new picture.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    top = rng.uniform(0.45, 0.95) if over_mouth else rng.uniform(1.35, 1.9)
    wide = rng.uniform(2.0, 2.9)
    points = np.array(
        [
            [-wide, top + rng.uniform(-0.2, 0.5)],
            [-wide / 2, top + rng.uniform(-0.1, 0.25)],
            [0, top + rng.uniform(-0.05, 0.15)],
            [wide / 2, top + rng.uniform(-0.1, 0.25)],
            [wide, top + rng.uniform(-0.2, 0.5)],
            [wide * 1.2, 3.4],
            [0, 3.8],
            [-wide * 1.2, 3.4],
        ]
    )
    edge = frame.to_pixels(smooth_outline(points))
    area = Area.around(image, edge)
    if area is None:
        return image.copy()
    part = area.cut(image)
    cover = fill_polygon((part.shape[0], part.shape[1]), edge - area.corner)
    layer = _knit(part.shape[:2], frame, rng) * (0.35 + 0.65 * exposure(part, cover))
    out = image.copy()
    area.put(out, lay_over(part, np.clip(layer, 0, 255), cover, shadow=rng.uniform(0.2, 0.6)))
    return out


def _knit(shape: tuple[int, ...], frame: FaceFrame, rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = shape[:2]
    colour = rng.uniform(10, 240, 3).astype(np.float32)
    layer = np.broadcast_to(colour, (height, width, 3)).astype(np.float32)
    cells = max(int(rng.uniform(2, 8)), 2)
    folds = cv2.resize(
        rng.normal(0, 1, (cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    layer = layer * (1 + rng.uniform(0.05, 0.3) * folds)[..., None]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pitch = max(frame.scale * rng.uniform(0.08, 0.3), 2)
    if rng.random() < 0.5:
        tilt = rng.uniform(-1, 1)
        layer = layer * (1 + rng.uniform(0.03, 0.2) * np.sin((y + tilt * x) * 2 * np.pi / pitch))[..., None]
    if rng.random() < 0.3:
        check = (np.sin(x * np.pi / pitch / 2) * np.sin(y * np.pi / pitch / 2) > 0).astype(np.float32)
        layer = layer + check[..., None] * rng.uniform(-80, 80, 3).astype(np.float32)
    return layer + rng.normal(0, rng.uniform(1, 9), (height, width, 1)).astype(np.float32)


def draw_beard(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A beard: hair-coloured strands over cheeks and chin, the mouth left free. A new picture."""
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    low = rng.uniform(1.75, 2.4)
    outer = np.array(
        [[-1.75, 0.75], [-0.9, 0.95], [-0.45, 0.72], [0, 0.7], [0.45, 0.72], [0.9, 0.95], [1.75, 0.75],
         [1.55, 1.4], [0.7, low - 0.1], [0, low], [-0.7, low - 0.1], [-1.55, 1.4]]
    )  # fmt: skip
    mouth = np.array([[-0.62, 1.0], [0, 0.86], [0.62, 1.0], [0, 1.16]])
    edge = frame.to_pixels(smooth_outline(outer))
    area = Area.around(image, edge)
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    cover = fill_polygon(shape, edge - area.corner)
    cover = cover * (1 - fill_polygon(shape, frame.to_pixels(smooth_outline(mouth)) - area.corner))
    soft = max(frame.scale * 0.09, 0.6)
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), soft) * rng.uniform(0.45, 0.97), np.float32)
    noise = rng.normal(0, 1, shape).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.6, sigmaY=max(frame.scale * 0.06, 0.7))
    strands = np.asarray(blurred / max(float(blurred.std()), 1e-3), np.float32)
    shade = 24.0 if rng.random() < 0.6 else rng.uniform(40, 200)  # dark, or brown to white
    hair = shade * np.array([1.1, 1.0, 0.85 + 0.15 * shade / 200])
    layer = hair.astype(np.float32) + strands[..., None] * rng.uniform(6, 22)
    layer = layer * (0.4 + 0.6 * exposure(part, cover))
    out = image.copy()
    area.put(out, lay_over(part, np.clip(layer, 0, 255).astype(np.float32), cover))
    return out
