"""Hands cut out of photographs with a plain background and laid over mouths and noses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.training.occlusion.blending import Area, lay_over
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.types import Image


@dataclass(frozen=True, eq=False)
class Hand:
    """A cut-out hand: ``rgb`` ``(H, W, 3)`` uint8 and ``cover`` ``(H, W)`` float32 in [0, 1]."""

    rgb: Image
    cover: NDArray[np.float32]


def cut_out_hand(photograph: Image, side: int = 200) -> Hand | None:
    """The hand of a photograph whose background is nearly white or nearly black.

    Args:
        photograph: ``(H, W, 3)`` uint8 RGB.
        side: longer side of the result in pixels.

    Returns None where what stands out is no hand-sized shape.
    """
    border = np.concatenate([photograph[0], photograph[-1], photograph[:, 0], photograph[:, -1]])
    light = np.median(border) > 127
    smooth = cv2.GaussianBlur(photograph, (0, 0), 1.2)
    if light:
        saturation = smooth.max(2).astype(int) - smooth.min(2)
        inside = (saturation > 28) | (smooth.max(2) < 140)
    else:
        inside = smooth.max(2) > 45
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if not 0.03 < stats[largest, cv2.CC_STAT_AREA] / inside.size < 0.8:
        return None
    cover = (parts == largest).astype(np.uint8)
    cover = cv2.morphologyEx(cover, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    cover = cv2.erode(cover, np.ones((3, 3), np.uint8))  # the rim carries the background's colour
    y, x = np.nonzero(cover)
    if not len(y):
        return None
    box = slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)
    scale = side / max(cover[box].shape)
    size = (max(round(cover[box].shape[1] * scale), 1), max(round(cover[box].shape[0] * scale), 1))
    rgb = cv2.resize(photograph[box], size, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cover[box].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Hand(np.asarray(rgb, np.uint8), np.asarray(soft, np.float32))


def read_hands(files: Sequence[Path], side: int = 200) -> list[Hand]:
    """Hands of all files that show one. Raises :class:`~maskgate.errors.DataError` on an unreadable
    file."""
    hands = []
    for file in files:
        picture = cv2.imread(str(file))
        if picture is None:
            raise DataError(f"{file} cannot be read as a picture")
        hand = cut_out_hand(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8), side)
        if hand is not None:
            hands.append(hand)
    return hands


def lay_hand(
    image: Image,
    landmarks: NDArray[np.float32],
    hand: Hand,
    rng: np.random.Generator,
    *,
    touching: bool = False,
) -> Image:
    """A new picture with the hand over mouth, or mouth and nose, of the face; or only ``touching``
    something there, from below or from a side.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable
    frame is left as it is. The hand takes on the colour and the brightness of the face it covers,
    more or less, since most hands at a mouth are the wearer's own.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    if touching:
        place = [rng.choice([-1, 1]) * rng.uniform(0.8, 1.9), rng.uniform(1.1, 2.2)]
    else:
        place = [rng.normal(0, 0.35), rng.uniform(0.7, 1.15)]
    goal = frame.to_pixels(np.array([place]))[0]
    height, width = hand.cover.shape
    length = frame.scale * rng.uniform(3.2, 5.6)
    scale = length / max(height, width)
    # the wrist comes from below or from the side, seldom from above
    angle = rng.normal(0, 50) + (180 if rng.random() < 0.85 else 0)
    pivot = (width / 2, height * rng.uniform(0.35, 0.65))
    matrix = np.asarray(cv2.getRotationMatrix2D(pivot, angle, scale), np.float64)
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64)
    matrix[:, 2] += goal - matrix @ np.array([width / 2, height / 2, 1])
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    area = Area.around(image, ends)
    if area is None:
        return image.copy()
    part = area.cut(image)
    matrix[:, 2] -= area.corner
    size = (part.shape[1], part.shape[0])
    rgb = cv2.warpAffine(hand.rgb, matrix, size, flags=cv2.INTER_AREA).astype(np.float32)
    cover = cv2.warpAffine(hand.cover, matrix, size, flags=cv2.INTER_LINEAR)
    inside = cover > 0.5
    if inside.any():
        own, face = rgb[inside].mean(0), part[inside].mean(0)
        gain = face / np.maximum(own, 8)
        gain = np.clip(0.5 * (gain + gain.mean()), 0.3, 2.2)  # full matching would tint the hand
        rgb = rgb * (1 + rng.uniform(0.3, 1.0) * (gain - 1))
    out = image.copy()
    layer = np.clip(rgb, 0, 255).astype(np.float32)
    area.put(out, lay_over(part, layer, cover.astype(np.float32), shadow=rng.uniform(0.2, 0.6)))
    return out
