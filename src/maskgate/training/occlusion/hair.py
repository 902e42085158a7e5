"""Hair that falls over a face, from one side or both."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, lay_over
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.types import Image


def draw_hair(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with strands over cheeks and mouth, from above.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    corners = frame.to_pixels(np.array([[-2.6, -1.6], [2.6, -1.6], [2.6, 2.6], [-2.6, 2.6]]))
    area = Area.around(image, corners)
    if area is None:
        return image.copy()
    part = area.cut(image)
    cover: NDArray[np.float32] = np.zeros(part.shape[:2], np.float32)
    layer: NDArray[np.float32] = np.zeros(part.shape, np.float32)
    tone = np.array([1.0, 0.8, 0.6]) * rng.choice([18.0, 45.0, 95.0, 170.0]) * rng.uniform(0.8, 1.2)
    side = 1 if rng.random() < 0.5 else -1
    thick = max(round(frame.scale * 0.05), 1)
    for _ in range(int(rng.integers(20, 60))):
        start = side * rng.uniform(1.1, 2.3)
        end = start - side * rng.uniform(-0.2, 1.7) ** 2 / 1.7
        steps = np.linspace(0, 1, 9)
        bend = rng.normal(0, 0.25)
        x = start + (end - start) * steps + bend * np.sin(np.pi * steps)
        y = -1.4 + rng.uniform(2.4, 4.0) * steps
        line = np.round((frame.to_pixels(np.stack([x, y], 1)) - area.corner) * 8).astype(np.int32)
        shade = [float(v) for v in np.clip(tone * rng.uniform(0.7, 1.4) + rng.normal(0, 5), 0, 255)]
        cv2.polylines(layer, [line], False, shade, thick, cv2.LINE_8, 3)
        cv2.polylines(cover, [line], False, (1.0,), thick, cv2.LINE_8, 3)
        if rng.random() < 0.1:
            side = -side
    soft = max(0.25 * thick, 0.5)
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), soft), np.float32)
    weight = np.maximum(cv2.GaussianBlur(np.asarray((layer > 0).any(2), np.float32), (0, 0), soft), 1e-3)
    smooth = cv2.GaussianBlur(layer, (0, 0), soft) / weight[..., None]
    layer = np.asarray(smooth * (0.4 + 0.6 * exposure(part, cover)), np.float32)
    out = image.copy()
    area.put(out, lay_over(part, np.clip(layer, 0, 255), np.clip(cover, 0, 1), shadow=0.15))
    return out
