"""A coordinate system on the face, from five landmarks, in which masks and hands are placed.

Face coordinates (x, y): x in half eye distances along the eye line, y in eye-to-mouth distances
downward. A frontal face has its eyes at (∓1, 0), the nose tip near (0, 0.55), mouth corners near
(∓0.85, 1), the chin near (0, 1.8) and the jaw near x = ∓1.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOSE_Y = 0.55


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """The frame of one face.

    Attributes:
        origin: middle of the eyes, ``(2,)`` pixels.
        right: half the eye line, ``(2,)`` pixels.
        down: from the eyes' middle to the mouth's middle, ``(2,)`` pixels.
        turn: how far the nose tip lies off the middle, in half eye distances; positive towards
            the picture's right. About 0.5 at a yaw of 30°.
    """

    origin: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    turn: float

    @classmethod
    def from_landmarks(cls, landmarks: NDArray[np.float32]) -> FaceFrame | None:
        """The frame of ``(5, 2)`` landmarks, or None where they are too degenerate to draw on."""
        p = landmarks.astype(np.float64)
        origin, mouth = (p[0] + p[1]) / 2, (p[3] + p[4]) / 2
        right, down = (p[1] - p[0]) / 2, mouth - origin
        half, drop = float(np.hypot(*right)), float(np.hypot(*down))
        if drop < 3 or half < 0.18 * drop:
            return None
        nose = p[2] - origin - NOSE_Y * down
        turn = float(nose @ right) / half**2
        # in profile the eyes almost coincide and say little about the face's width
        least = 0.38 * drop
        if half < least:
            right = right * (least / half)
        return cls(origin, right, down, float(np.clip(turn, -1.2, 1.2)))

    @property
    def scale(self) -> float:
        """Pixels of one half eye distance on a frontal face of this height."""
        return float(max(np.hypot(*self.right), 0.5 * np.hypot(*self.down)))

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Picture coordinates ``(K, 2)`` of face coordinates ``(K, 2)``.

        The outline narrows on the side the face turns to, and what lies on the middle line moves
        with the nose: the middle of a face sticks out of the plane of the eyes.
        """
        x, y = points[:, 0].copy(), points[:, 1]
        toward = np.sign(x) == np.sign(self.turn)
        bend = np.clip(np.abs(x) / 1.9, 0, 1)
        x = np.where(toward, x * (1 - 0.35 * abs(self.turn) * bend), x)
        x = x + 0.75 * self.turn * (1 - bend**2) * np.clip((y + 0.3) / 0.8, 0, 1)
        return self.origin + x[:, None] * self.right + y[:, None] * self.down


def smooth_outline(points: NDArray[np.float64], steps: int = 8) -> NDArray[np.float64]:
    """A closed Catmull-Rom curve through ``(K, 2)`` points, ``(K·steps, 2)``."""
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * points
        + (after - before) * t
        + (2 * before - 5 * points + 4 * after - beyond) * t**2
        + (3 * points - before - 3 * after + beyond) * t**3
    )
    return curve.transpose(1, 0, 2).reshape(-1, 2)
