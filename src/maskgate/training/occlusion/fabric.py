"""What cloth is printed or woven with: weave, stripes, checks, dots, blots, camouflage, knit."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pattern = NDArray[np.float32]


def draw_weave(shape: tuple[int, int], rng: np.random.Generator) -> Pattern:
    """The fine unevenness ``(H, W, 3)`` of plain cloth, around 0 in grey values."""
    weave = rng.standard_normal((*shape, 1), np.float32) * np.float32(rng.uniform(0.5, 4))
    return weave.repeat(3, 2)


def draw_pattern(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Pattern:
    """A texture ``(H, W, 3)`` around 0 in grey values; often that of plain cloth.

    ``scale`` is that of the face, in pixels of half an eye distance.
    """
    kind = rng.random()
    if kind < 0.45:
        return draw_weave(shape, rng)
    if kind < 0.58:
        return _stripes(shape, scale, rng)
    if kind < 0.68:
        return _dots(shape, scale, rng)
    if kind < 0.76:
        return _camouflage(shape, scale, rng)
    if kind < 0.84:
        return _knit(shape, scale, rng)
    return _blots(shape, rng, hard=kind < 0.93)


def _stripes(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Pattern:
    """Stripes of one colour, or checks: a chessboard, or lines that cross as in gingham."""
    colour = rng.uniform(-110, 110, 3).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle, pitch = rng.uniform(0, np.pi), max(scale * rng.uniform(0.15, 0.6), 2)
    cos, sin, wave = np.float32(np.cos(angle)), np.float32(np.sin(angle)), np.float32(2 * np.pi / pitch)
    one = np.sin((x * cos + y * sin) * wave)
    lot = rng.random()
    if lot < 0.6:
        return np.asarray((one > 0)[..., None] * colour, np.float32)
    other = np.sin((y * cos - x * sin) * wave)
    if lot < 0.8:
        return np.asarray((one * other > 0)[..., None] * colour, np.float32)
    level = 0.5 * (one > 0).astype(np.float32) + 0.5 * (other > 0)
    return np.asarray(level[..., None] * colour, np.float32)


def _dots(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Pattern:
    """Small round things on a crooked grid: flowers, spots, prints."""
    layer = np.zeros((*shape, 3), np.float32)
    colour, other = rng.uniform(-110, 110, (2, 3))
    pitch = max(scale * rng.uniform(0.2, 0.5), 4.0)
    for cy in np.arange(0, shape[0] + pitch, pitch):
        for cx in np.arange(0, shape[1] + pitch, pitch):
            centre = (int(8 * (cx + rng.normal(0, pitch / 5))), int(8 * (cy + rng.normal(0, pitch / 5))))
            shade = colour if rng.random() < 0.6 else other
            radius = int(8 * pitch * rng.uniform(0.15, 0.4))
            cv2.circle(layer, centre, radius, [float(v) for v in shade], -1, cv2.LINE_8, 3)
    return layer


def _noise(shape: tuple[int, int], cells: int, channels: int, rng: np.random.Generator) -> Pattern:
    """Smooth noise ``(H, W, channels)`` of about unit spread with so many bumps across."""
    coarse = rng.standard_normal((cells, cells, channels), np.float32)
    fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine.reshape(*shape, channels), np.float32)


def _blots(shape: tuple[int, int], rng: np.random.Generator, *, hard: bool) -> Pattern:
    blots = _noise(shape, max(int(rng.uniform(3, 14)), 2), 3, rng)
    if hard:
        blots = (blots > 0.3).astype(np.float32)
    return np.asarray(blots * np.float32(rng.uniform(15, 70)), np.float32)


def _camouflage(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Pattern:
    """Patches of two or three shades that lie over each other."""
    layer = np.zeros((*shape, 3), np.float32)
    cells = int(np.clip(max(shape) / (scale * rng.uniform(0.3, 0.8)), 3, 24))
    green = rng.random() < 0.6
    for _ in range(int(rng.integers(2, 4))):
        shade = rng.uniform(-70, 40) * np.array([1.0, 0.8, 1.25]) if green else rng.uniform(-80, 80, 3)
        layer[_noise(shape, cells, 1, rng)[..., 0] > rng.uniform(0.1, 0.7)] = shade
    return layer


def _knit(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Pattern:
    """Rows of slanting stitches."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    pitch = np.float32(max(scale * rng.uniform(0.1, 0.25), 2.5))
    slant = np.abs((x / pitch) % 2 - 1)
    stitch = np.sin((y / pitch + slant) * np.float32(2 * np.pi)) * (0.4 + 0.6 * slant)
    return np.asarray(stitch[..., None] * np.full(3, rng.uniform(8, 30), np.float32), np.float32)
