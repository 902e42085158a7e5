"""Masks that are there and not worn: hanging from one ear, or held in a hand beside the face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, lay_over
from maskgate.training.occlusion.fabric import draw_pattern
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.hand_poses import Placement
from maskgate.training.occlusion.hands import Hand, lay_hand_at
from maskgate.training.occlusion.masks import cloth_colour
from maskgate.types import Image

_UNIT = 20
_RIM = 22
"""Pixels of half an eye distance on the canvas of a mask, and the room for its loops beside it."""


def hang_mask(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with a mask that hangs from one ear, nose and mouth being bare: ``incorrect``.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    side = -1 if rng.random() < 0.5 else 1
    if side * frame.turn > 0.35:
        side = -side  # that ear is hidden
    ear = frame.to_pixels(np.array([[side * rng.uniform(1.95, 2.25), rng.uniform(0.0, 0.25)]]))[0]
    tilt = 90 + rng.normal(0, 5)  # it hangs down
    return _lay_loose(image, frame, ear, tilt, rng.uniform(0.4, 0.85), rng)


def hold_mask(
    image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator, hand: Hand | None = None
) -> Image:
    """A new picture with a mask beside the bare face, in a hand if there is one: ``no_mask``.

    Arguments as for :func:`hang_mask`.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    side = -1 if rng.random() < 0.5 else 1
    x, y = side * rng.uniform(2.1, 3.0), rng.uniform(0.2, 1.3)
    corner = frame.to_pixels(np.array([[x, y]]))[0]
    if hand is not None:  # the mask hangs before it
        length = rng.uniform(3.3, 4.2) if hand.compact else rng.uniform(4.3, 5.4)
        angle, anchor = rng.uniform(-25, 25), rng.uniform(0.75, 0.95)
        image = lay_hand_at(image, landmarks, hand, Placement(x + side * 0.4, y, anchor, angle, length), rng)
    return _lay_loose(image, frame, corner, 90 - side * rng.uniform(2, 45), rng.uniform(0.5, 1.0), rng)


def _lay_loose(
    image: Image, frame: FaceFrame, hook: NDArray[np.float64], angle: float, squeeze: float,
    rng: np.random.Generator,
) -> Image:  # fmt: skip
    """Lays a mask with the end of its loop at ``hook``, turned by ``angle`` degrees from lying to the
    right of it, and ``squeeze`` as high as if it were seen from the front."""
    rgb, cover = _flat_mask(rng)
    height, width = cover.shape
    scale = frame.scale / _UNIT
    roll = np.arctan2(frame.right[1], frame.right[0]) + np.deg2rad(angle)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) * scale
    turn = turn @ np.diag([1.0, squeeze])
    matrix = np.column_stack([turn, hook - turn @ np.array([2.0, height / 2])])
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    area = Area.around(image, ends)
    if area is None:
        return image.copy()
    part = area.cut(image)
    matrix[:, 2] -= area.corner
    size = (part.shape[1], part.shape[0])
    layer = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = np.asarray(cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    layer = np.clip(layer * np.float32(0.35 + 0.65 * exposure(part, soft)), 0, 255).astype(np.float32)
    out = image.copy()
    area.put(out, lay_over(part, layer, soft, shadow=rng.uniform(0.15, 0.5)))
    return out


def _flat_mask(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A mask as it lies on a table, with its loops: rgb ``(H, W, 3)`` and cover ``(H, W)``."""
    wide, high = round(rng.uniform(2.9, 3.6) * _UNIT), round(rng.uniform(1.6, 2.3) * _UNIT)
    shape = (high + 8, wide + 2 * _RIM)
    cover = np.zeros(shape, np.uint8)
    left, right, top, low = _RIM, _RIM + wide, 4, 4 + high
    if rng.random() < 0.6:
        cv2.rectangle(cover, (left, top), (right, low), (255,), -1)
    else:  # cup-shaped
        sag = rng.uniform(0.2, 0.4) * high
        outline = np.array(
            [[left, top + sag], [(left + right) / 2, top], [right, top + sag], [right, low - sag],
             [(left + right) / 2, low], [left, low - sag]]
        )  # fmt: skip
        cv2.fillPoly(cover, [np.round(outline).astype(np.int32).reshape(-1, 1, 2)], (255,), cv2.LINE_AA)
    base = cloth_colour(rng)
    rgb = base + draw_pattern(shape, _UNIT, rng)
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    if rng.random() < 0.6:  # pleats
        pitch = high / rng.uniform(3, 5)
        rgb *= (1 + np.float32(rng.uniform(0.03, 0.12)) * np.sign(np.sin(y * 2 * np.pi / pitch)))[..., None]
    fold = 1 + np.float32(rng.uniform(-0.35, 0.35)) * (np.arange(shape[1], dtype=np.float32) / shape[1] - 0.5)
    rgb *= fold[:, None]
    cloth = cover > 0
    strap = np.zeros(shape, np.uint8)
    middle = (top + low) // 2
    for x in (left, right):
        axes = (_RIM - 3, round(0.42 * high))
        cv2.ellipse(strap, (x, middle), axes, 0, 0, 360, (255,), max(round(0.08 * _UNIT), 1), cv2.LINE_AA)
    loops = (strap > 0) & ~cloth
    rgb[loops] = np.clip(base * 0.9, 0, 255) if rng.random() < 0.4 else 228.0
    both = np.asarray(np.where(cloth, cover, strap) / 255, np.float32)
    return np.ascontiguousarray(rgb, np.float32), both
