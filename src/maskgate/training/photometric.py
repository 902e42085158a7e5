"""Changes of light, colour, sharpness and compression: what cameras do to faces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.types import Image


def vary_light(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma, colour cast, saturation; sometimes grey or half in shadow.

    ``image`` ``(H, W, 3)`` uint8 RGB; returns a new one.
    """
    x = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        x = np.clip(x, 0, 1) ** float(np.exp(rng.normal(0, 0.35)))
    x = (x - 0.5) * rng.uniform(0.7, 1.35) + 0.5 + rng.normal(0, 0.1)
    if rng.random() < 0.4:
        x = x * (1 + rng.normal(0, 0.1, 3).astype(np.float32))
    grey = x.mean(2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.5, 1.4)
    x = grey + (x - grey) * saturation
    if rng.random() < 0.15:
        x = x * _half_shadow(image.shape[0], image.shape[1], rng)[..., None]
    if rng.random() < 0.08:
        x = x * rng.uniform(0.25, 0.6)
    return np.asarray(np.clip(x * 255 + 0.5, 0, 255), np.uint8)


def _half_shadow(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    side = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle) + rng.normal(0, 0.1)
    edge = np.clip(side * rng.uniform(3, 30) + 0.5, 0, 1)
    return np.asarray(1 - rng.uniform(0.3, 0.75) * edge, np.float32)


def vary_sharpness(image: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Blur (defocus or motion), a smaller size and back, noise, JPEG; each now and then.

    ``strength`` scales how often and how far; returns a new ``(H, W, 3)`` uint8 picture.
    """
    out = image
    height, width = image.shape[:2]
    if rng.random() < 0.35 * strength:
        factor = rng.uniform(1.2, 4.5)
        small = (max(round(width / factor), 4), max(round(height / factor), 4))
        down = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_LINEAR
        up = cv2.INTER_LINEAR if rng.random() < 0.6 else cv2.INTER_CUBIC
        shrunk = cv2.resize(out, small, interpolation=down)
        out = np.asarray(cv2.resize(shrunk, (width, height), interpolation=up), np.uint8)
    if rng.random() < 0.2 * strength:
        if rng.random() < 0.6:
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 2.0)), np.uint8)
        else:
            out = np.asarray(cv2.filter2D(out, -1, _motion(rng)), np.uint8)
    if rng.random() < 0.25 * strength:
        noise = rng.normal(0, rng.uniform(2, 16), image.shape).astype(np.float32)
        out = np.clip(out.astype(np.float32) + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35 * strength:
        quality = int(rng.uniform(25, 90))
        _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(out, np.uint8)


def _motion(rng: np.random.Generator) -> NDArray[np.float32]:
    side = int(rng.integers(2, 5)) * 2 + 1
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, reach = side // 2, side // 2
    for t in np.linspace(-reach, reach, side * 2):
        kernel[round(middle + t * np.sin(angle)), round(middle + t * np.cos(angle))] = 1
    return kernel / float(kernel.sum())
