"""Other people's heads before or beside a face, as in a crowd."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.training.occlusion.hair import HAIR_TONES, draw_strands
from maskgate.types import Image


def draw_head(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with someone's head, seen from behind, before the lower part of a bare face.

    It comes from below or from a side and hides the chin, often the mouth, now and then the nose.
    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    size = rng.uniform(0.85, 1.4)
    wide, high = 2.4 * size * rng.uniform(0.85, 1.1), 1.6 * size * rng.uniform(0.9, 1.15)
    top = rng.uniform(0.1, 1.25)
    centre = np.array([rng.normal(0, 1.1), top + high])
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = np.stack([wide * np.sin(angle), -high * np.cos(angle)], 1) * (1 + rng.normal(0, 0.015, (10, 1)))
    edge = frame.to_pixels(smooth_outline(centre + ring))
    shoulders = np.array([[-0.5, 0.5], [0.5, 0.5], [1.6, 1.3], [1.9, 3.0], [-1.9, 3.0], [-1.6, 1.3]])
    dress = frame.to_pixels(smooth_outline(centre + shoulders * [wide, high]))
    area = Area.around(image, np.vstack([edge, dress]))
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    lit = np.float32(0.35 + 0.65 * exposure(part, np.ones(shape, np.float32)))
    blur = max(frame.scale * rng.uniform(0.02, 0.12), 0.5)

    def soft(outline: NDArray[np.float64]) -> NDArray[np.float32]:
        cover = cv2.GaussianBlur(fill_polygon(shape, outline - area.corner), (0, 0), blur)
        return np.asarray(cover, np.float32)

    cloth = np.broadcast_to(rng.uniform(10, 245, 3).astype(np.float32) * lit, part.shape)
    part = lay_over(part, cloth.astype(np.float32), soft(dress), shadow=rng.uniform(0.1, 0.4))
    if rng.random() < 0.85:
        tone = np.array(HAIR_TONES[int(rng.integers(len(HAIR_TONES)))], np.float32)
    else:  # a hat or a cap
        tone = rng.uniform(10, 240, 3).astype(np.float32)
    strands = draw_strands(shape, frame, rng)[..., None]
    layer = (
        tone * np.float32(rng.uniform(0.7, 1.3)) * (1 + np.float32(rng.uniform(0.05, 0.3)) * strands) * lit
    )
    out = image.copy()
    layer = np.clip(layer, 0, 255).astype(np.float32)
    area.put(out, lay_over(part, layer, soft(edge), shadow=rng.uniform(0.1, 0.5)))
    return out


def lay_neighbour(crop: Image, other: Image, rng: np.random.Generator) -> Image:
    """A new crop in which the face of ``other`` is beside the face, or before its rim.

    Both are ``(S, S, 3)`` uint8 RGB with the face in the middle, half as high as the crop; the face
    that counts keeps its middle, from brow to mouth, free.
    """
    side = crop.shape[0]
    face = side / 2
    scale = float(rng.uniform(0.6, 1.25))
    # from one side over below to the other; nobody stands on a head
    angle = rng.uniform(-0.15, 1.15) * np.pi
    apart = np.array([0.28 + 0.45 * scale, 0.32 + 0.6 * scale]) * rng.uniform(1.0, 1.3)
    shift = face * apart * [np.cos(angle), np.sin(angle)]
    middle = (side - 1) / 2
    matrix = np.array(
        [[scale, 0, middle * (1 - scale) + shift[0]], [0, scale, middle * (1 - scale) + shift[1]]]
    )
    moved = cv2.warpAffine(
        other, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cover = np.zeros((side, side), np.uint8)
    centre = (middle + shift[0], middle + shift[1])
    axes = (face * scale * rng.uniform(0.78, 0.95), face * scale * rng.uniform(1.05, 1.25))
    cv2.ellipse(cover, (centre, axes, float(rng.normal(0, 6))), 255, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), max(side * rng.uniform(0.005, 0.02), 0.5))
    return lay_over(crop, np.asarray(moved, np.float32), np.asarray(soft, np.float32), rng.uniform(0.0, 0.4))
