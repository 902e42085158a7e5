"""Glasses and sunglasses, on whatever else a face wears: they say nothing about a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.types import Image


def draw_glasses(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with glasses, dark ones among them, before the eyes.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    # half a lens, as x and y in face coordinates
    wide, high = rng.uniform(0.66, 0.92), rng.uniform(0.2, 0.42)
    square = rng.uniform(0.6, 1.0)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    ring = np.sign(ring) * np.abs(ring) ** square * [wide, high]
    drop = rng.uniform(-0.02, 0.1)
    lenses = [frame.to_pixels(smooth_outline(ring + np.array([side, drop]), 4)) for side in (-1, 1)]
    arms = [
        frame.to_pixels(np.array([[side * (1 + wide), drop - 0.1], [side * 2.15, drop - 0.15]]))
        for side in (-1, 1)
        if side * frame.turn < 0.35
    ]
    bridge = frame.to_pixels(np.array([[-1 + wide, drop - 0.05], [0, drop - 0.1], [1 - wide, drop - 0.05]]))
    area = Area.around(image, np.vstack([*lenses, *arms, bridge]))
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    glass = np.maximum(*(fill_polygon(shape, lens - area.corner) for lens in lenses))
    dark = rng.random() < 0.5
    tint = rng.uniform(5, 70, 3) if dark else rng.uniform(150, 255, 3)
    dense = rng.uniform(0.6, 0.97) if dark else rng.uniform(0.02, 0.15)
    light = np.float32(0.35 + 0.65 * exposure(part, glass))
    fade = np.linspace(1, rng.uniform(0.6, 1), shape[0], dtype=np.float32)[:, None]
    layer = np.broadcast_to((tint * light).astype(np.float32), part.shape).copy()
    if rng.random() < 0.4:  # a reflection
        x, y = np.arange(shape[1]), np.arange(shape[0])[:, None]
        band = np.abs((x + y * rng.uniform(-1, 1)) / shape[1] - rng.uniform(0.2, 0.8)) < rng.uniform(
            0.03, 0.12
        )
        layer[band] += np.float32(rng.uniform(20, 90))
    part = lay_over(part, np.clip(layer, 0, 255), np.asarray(glass * (dense * fade), np.float32))
    rim = np.zeros(shape, np.uint8)
    thick = max(round(frame.scale * rng.uniform(0.03, 0.13)), 1)
    for line, closed in [
        *((lens, True) for lens in lenses),
        *((arm, False) for arm in arms),
        (bridge, False),
    ]:
        points = np.round((line - area.corner) * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(rim, [points], closed, (255,), thick, cv2.LINE_AA, 4)
    colour = rng.uniform(5, 60, 3) if rng.random() < 0.7 else rng.uniform(40, 230, 3)
    edge = np.broadcast_to((colour * light).astype(np.float32), part.shape)
    out = image.copy()
    area.put(out, lay_over(part, edge, np.asarray(rim / 255, np.float32), shadow=rng.uniform(0, 0.3)))
    return out
