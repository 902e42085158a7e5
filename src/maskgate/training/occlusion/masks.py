"""Medical masks drawn from scratch on bare faces, worn rightly or wrongly, from five landmarks.

Shape, colour, pleats, pattern and straps are random: endless variety without a picture of a mask.
"""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over, local_light
from maskgate.training.occlusion.fabric import draw_pattern, draw_weave
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.types import Image, Label


class Wearing(StrEnum):
    """How a mask sits: over nose and mouth, under the nose, under the mouth, under the chin."""

    RIGHT = "right"
    NOSE_OUT = "nose_out"
    MOUTH_OUT = "mouth_out"
    CHIN = "chin"

    @property
    def label(self) -> Label:
        return Label.MASK if self is Wearing.RIGHT else Label.INCORRECT


EDGES: dict[Wearing, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    Wearing.RIGHT: ((0.10, 0.44), (0.30, 0.66), (1.70, 2.05)),
    Wearing.NOSE_OUT: ((0.66, 0.82), (0.62, 0.90), (1.75, 2.15)),
    Wearing.MOUTH_OUT: ((1.14, 1.32), (0.95, 1.25), (1.95, 2.30)),
    Wearing.CHIN: ((1.42, 1.70), (1.15, 1.50), (2.05, 2.55)),
}
"""Ranges of y in face coordinates: middle of the upper edge, its ends, and the lowest point."""

_COLOURS: tuple[tuple[tuple[int, int, int], float], ...] = (
    ((150, 195, 225), 0.17),
    ((236, 238, 240), 0.16),
    ((28, 28, 32), 0.16),
    ((125, 190, 170), 0.06),
    ((90, 95, 105), 0.06),
    ((225, 170, 185), 0.04),
    ((60, 80, 140), 0.04),
    ((205, 190, 165), 0.04),
)
_VIVID = 0.17
"""Share of strong colours of any hue; what is left over is any colour at all."""

SKIN_TONED = 0.14
"""Share of masks in the colour of the face they are on, which are easily taken for bare skin."""


def cloth_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """An RGB colour ``(3,)``, mostly one that masks are sold in."""
    pick = rng.random()
    for colour, share in _COLOURS:
        pick -= share
        if pick < 0:
            return np.clip(np.array(colour) + rng.normal(0, 12, 3), 0, 255).astype(np.float32)
    if pick < _VIVID:
        hsv = np.array([[[rng.integers(180), rng.integers(130, 256), rng.integers(110, 256)]]], np.uint8)
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float32)
    return rng.uniform(0, 255, 3).astype(np.float32)


def skin_colour(part: Image, cover: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """About the mean RGB colour ``(3,)`` of what lies under ``cover``."""
    inside = cover > 0.5
    own = part[inside].mean(0) if inside.any() else np.array([190.0, 150.0, 125.0])
    return np.clip(own * rng.uniform(0.85, 1.3) + rng.normal(0, 8, 3), 0, 255).astype(np.float32)


def _outline(wearing: Wearing, rng: np.random.Generator) -> NDArray[np.float64]:
    """Eight points of the mask's edge in face coordinates, clockwise from the left end of the top."""
    middle, end, low = (rng.uniform(*r) for r in EDGES[wearing])
    reach = rng.uniform(1.55, 1.95)
    sink = rng.uniform(1.15, 1.45) if wearing is Wearing.RIGHT else end + rng.uniform(0.35, 0.6)
    lower = rng.uniform(0.75, 0.95) * reach
    chin = rng.uniform(0.55, 0.8) * reach
    peak = rng.uniform(0.5, 0.9)
    lift = rng.uniform(0.0, 0.12)
    points = np.array(
        [
            [-reach, end],
            [-peak, middle + lift + 0.3 * (end - middle)],
            [0.0, middle],
            [peak, middle + lift + 0.3 * (end - middle)],
            [reach, end],
            [lower, max(sink, end + 0.25)],
            [chin * 0.8, low - rng.uniform(0.08, 0.3)],
            [0.0, low],
            [-chin * 0.8, low - rng.uniform(0.08, 0.3)],
            [-lower, max(sink, end + 0.25)],
        ]
    )
    points[:, 1] += points[:, 0] * rng.normal(0, 0.03)
    return points


def draw_mask(
    image: Image,
    landmarks: NDArray[np.float32],
    wearing: Wearing,
    rng: np.random.Generator,
    colour: tuple[int, int, int] | None = None,
    skin_toned: float = SKIN_TONED,
) -> Image:
    """A new picture with a mask on the face.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        landmarks: ``(5, 2)`` pixels; faces without a usable frame are left as they are.
        wearing: where the mask sits.
        rng: source of every random choice.
        colour: RGB, without a pattern; a random one where None.
        skin_toned: share of random colours that are those of the face.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    outline = _outline(wearing, rng)
    edge = frame.to_pixels(smooth_outline(outline))
    area = Area.around(image, np.vstack([edge, frame.to_pixels(np.array([[-2.2, 0.1], [2.2, 0.1]]))]))
    if area is None:
        return image.copy()
    part = area.cut(image)
    cover = fill_polygon(part.shape[:2], edge - area.corner)
    shape = (part.shape[0], part.shape[1])
    if colour is not None:
        base = np.array(colour, np.float32)
        layer = np.broadcast_to(base, part.shape).astype(np.float32)
    else:
        like_skin = rng.random() < skin_toned
        base = skin_colour(part, cover, rng) if like_skin else cloth_colour(rng)
        # a print would tell a skin-coloured mask from skin
        plain = like_skin and rng.random() < 0.8
        layer = base + (draw_weave(shape, rng) if plain else draw_pattern(shape, frame.scale, rng))
    layer = layer * _relief(shape, frame, area.corner, rng)[..., None]
    light = local_light(part, cover, 0.5 * frame.scale)
    strength = rng.uniform(0.3, 0.9)
    shade = (1 + strength * (light - 1))[..., None]
    layer = np.asarray(layer * shade * (0.35 + 0.65 * exposure(part, cover)), np.float32)
    if rng.random() < 0.75:
        part = _straps(part, outline, frame, area.corner, base, rng)
    out = image.copy()
    area.put(out, lay_over(part, layer, cover, shadow=rng.uniform(0.1, 0.5)))
    return out


def _relief(
    shape: tuple[int, int], frame: FaceFrame, corner: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Folds and roundness as a factor ``(H, W)`` around 1."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    basis = np.linalg.inv(np.stack([frame.right, frame.down], 1))
    rel = np.stack([x, y], -1) + corner - frame.origin
    fx = rel @ basis[0]
    fy = rel @ basis[1]
    relief = 1 - rng.uniform(0.02, 0.16) * np.clip(np.abs(fx - 0.7 * frame.turn) / 1.8, 0, 1.3) ** 2
    relief += rng.normal(0, 0.06) * (fy - 1)
    if rng.random() < 0.45:
        period = rng.uniform(0.16, 0.3)
        wave = np.sin((fy + rng.uniform(0, 1) + 0.05 * fx**2) * 2 * np.pi / period)
        relief += rng.uniform(0.02, 0.09) * np.clip(wave * 3, -1, 1)
    if rng.random() < 0.3:
        relief += rng.uniform(-0.1, 0.1) * np.exp(-(((fx - 0.75 * frame.turn) / 0.12) ** 2))
    return np.asarray(relief, np.float32)


def _straps(
    part: Image,
    outline: NDArray[np.float64],
    frame: FaceFrame,
    corner: NDArray[np.float64],
    base: NDArray[np.float32],
    rng: np.random.Generator,
) -> Image:
    """Ear loops from the mask's corners to the ears."""
    bright = base * rng.uniform(0.75, 1.0) if rng.random() < 0.5 else np.array([225, 225, 225])
    out = part.copy()
    thick = max(round(frame.scale * rng.uniform(0.03, 0.09)), 1)
    ear = rng.uniform(0.0, 0.3)
    for side, (top, bottom) in ((-1, (0, 9)), (1, (4, 5))):
        if side * frame.turn > 0.35:
            continue  # that ear is hidden
        anchor = np.array([side * rng.uniform(2.0, 2.3), ear])
        for end in (top, bottom):
            line = frame.to_pixels(np.stack([outline[end], anchor])) - corner
            a, b = (tuple(int(v * 8) for v in p) for p in line)
            cv2.line(out, a, b, tuple(float(v) for v in bright), thick, cv2.LINE_AA, 3)
    return out
