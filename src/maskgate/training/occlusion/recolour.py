"""Real masks in other colours and prints, since public pictures show the same few of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, fill_polygon, lay_over
from maskgate.training.occlusion.fabric import draw_pattern
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.training.occlusion.masks import cloth_colour
from maskgate.types import Image

_REGION = np.array(
    [[-1.9, 0.55], [-0.7, 0.35], [0.0, 0.2], [0.7, 0.35], [1.9, 0.55], [1.7, 1.4], [0.9, 2.1], [0.0, 2.3],
     [-0.9, 2.1], [-1.7, 1.4]]
)  # fmt: skip
"""Where a mask worn rightly can be, in face coordinates."""

_HEART = np.array([[-0.6, 0.8], [0.6, 0.8], [0.6, 1.4], [-0.6, 1.4]])
"""Where it is for sure."""

LEAST = 0.35
"""Share of the mask's heart that must look like its median colour; a print does not, and stays."""


def recolour_mask(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture in which the mask worn rightly has another colour, and perhaps a print.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels. What resembles the colour
    over the mouth is the mask; its folds and its light stay. Left as it is where the face has no
    usable frame, is out of view, or has no plain mask.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    edge = None if frame is None else frame.to_pixels(smooth_outline(_REGION))
    area = None if edge is None else Area.around(image, edge)
    if frame is None or edge is None or area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    heart = fill_polygon(shape, frame.to_pixels(_HEART) - area.corner) > 0.5
    if heart.sum() < 4:
        return image.copy()
    lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32)
    own = np.median(lab[heart], 0)
    # folds differ in lightness and little in hue
    apart = np.sqrt((((lab - own) * np.array([0.35, 1.0, 1.0], np.float32)) ** 2).sum(2))
    like = np.clip((26 - apart) / 10, 0, 1)
    if like[heart].mean() < LEAST:
        return image.copy()
    cover = cv2.GaussianBlur(
        like * fill_polygon(shape, edge - area.corner), (0, 0), max(0.03 * frame.scale, 0.6)
    )
    light = lab[..., 0] / max(float(own[0]), 12.0)
    colour = cloth_colour(rng) + (draw_pattern(shape, frame.scale, rng) if rng.random() < 0.7 else 0)
    # as dark as the picture is: a white mask in the shade stays grey
    lit = np.clip(0.45 + 0.55 * float(own[0]) / 200, 0.4, 1.05)
    layer = np.clip(colour * np.clip(light, 0.3, 1.6)[..., None] * np.float32(lit), 0, 255)
    out = image.copy()
    area.put(out, lay_over(part, layer.astype(np.float32), np.asarray(cover, np.float32)))
    return out
