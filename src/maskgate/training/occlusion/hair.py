"""Hair that falls over a face, from one side or both."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame, smooth_outline
from maskgate.types import Image

HAIR_TONES = ((22, 18, 16), (48, 34, 26), (92, 62, 42), (150, 112, 72), (205, 170, 120), (150, 148, 145))
"""RGB, from black to grey."""


def draw_hair(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A new picture with locks over cheeks and mouth, from above.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is. Half of the time the hair has the colour of what is above the forehead.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    locks = [frame.to_pixels(smooth_outline(points)) for points in _locks(rng)]
    area = Area.around(image, np.vstack(locks))
    if area is None:
        return image.copy()
    part = area.cut(image)
    shape = (part.shape[0], part.shape[1])
    cover = np.zeros(shape, np.float32)
    for lock in locks:
        cover = np.maximum(cover, fill_polygon(shape, lock - area.corner))
    strands = draw_strands(shape, frame, rng)
    # the rim falls apart into single strands
    sigma = max(frame.scale * rng.uniform(0.08, 0.22), 0.7)
    loose = np.asarray(cv2.GaussianBlur(cover, (0, 0), sigma), np.float32)
    cover = np.clip((loose - 0.5) * 2.5 + 0.5 + 0.45 * strands, 0, 1) * (loose > 0.02)
    tone = _tone(image, frame, rng)
    lit = 0.35 + 0.65 * exposure(part, cover.astype(np.float32)) if tone is None else 1.0
    if tone is None:
        tone = np.array(HAIR_TONES[int(rng.integers(len(HAIR_TONES)))], np.float32) * np.float32(
            rng.uniform(0.8, 1.25)
        )
    layer = tone * (1 + np.float32(rng.uniform(0.12, 0.3)) * strands[..., None]) * np.float32(lit)
    layer = layer + np.float32(rng.uniform(2, 8)) * strands[..., None]
    out = image.copy()
    layer = np.clip(layer, 0, 255).astype(np.float32)
    cover = (cover * rng.uniform(0.8, 1.0)).astype(np.float32)
    area.put(out, lay_over(part, layer, cover, shadow=rng.uniform(0.1, 0.4)))
    return out


def _locks(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Outlines in face coordinates: curtains beside the face, or a lock across it."""
    side = -1 if rng.random() < 0.5 else 1
    locks = []
    for s in (side, -side) if rng.random() < 0.4 else (side,):
        low = rng.uniform(1.0, 2.4)
        inner = rng.uniform(0.1, 1.4)  # how far it leaves the middle free, at the mouth
        brow = rng.uniform(0.5, 1.4)
        x = np.array([2.3, 2.4, 2.2, inner + rng.uniform(0.2, 0.6), inner, brow, rng.uniform(0.2, 1.2)])
        y = np.array([-1.5, 0.4, low - 0.3, low, 0.8, -0.4, -1.6])
        locks.append(np.stack([s * x, y], 1))
    if rng.random() < 0.35:  # blown across the face
        start, end = side * rng.uniform(0.8, 1.8), -side * rng.uniform(0.3, 1.3)
        top, low, wide = rng.uniform(-1.2, -0.2), rng.uniform(0.9, 1.6), rng.uniform(0.12, 0.3)
        middle, bend = (start + end) / 2 + rng.normal(0, 0.3), (top + low) / 2
        x = np.array([start - wide, middle - wide, end, middle + wide, start + wide])
        y = np.array([top, bend, low, bend + wide, top])
        locks.append(np.stack([x, y], 1))
    return locks


def draw_strands(shape: tuple[int, int], frame: FaceFrame, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise ``(H, W)`` of unit spread, drawn out downward along a slight wave, as fine as hair on a
    face of ``frame``."""
    columns = shape[1] + 16
    noise = rng.standard_normal((max(shape[0] // 8, 2), columns), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(frame.scale * 0.03, 0.5), sigmaY=1.2)
    fine = cv2.resize(smooth, (columns, shape[0]), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    wave = np.float32(rng.uniform(1, 6)) * np.sin(y / np.float32(frame.scale * rng.uniform(0.8, 3)) + 1) + 8
    bent = cv2.remap(fine, x + wave, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(bent / max(float(bent.std()), 1e-3), np.float32)


def _tone(image: Image, frame: FaceFrame, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """RGB ``(3,)`` of what is above the forehead, where it is in view and dark enough to be hair."""
    if rng.random() < 0.4:
        return None
    x, y = (
        frame.to_pixels(np.array([[rng.uniform(-0.8, 0.8), rng.uniform(-1.9, -1.5)]]))[0].round().astype(int)
    )
    height, width = image.shape[:2]
    if not (2 <= x < width - 2 and 2 <= y < height - 2):
        return None
    tone = np.median(image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3), 0)
    return tone.astype(np.float32) if tone.mean() < 150 else None
