"""The face on which masks, hands and cloth are tried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from maskgate.training.occlusion.geometry import FaceFrame


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture ``(H, W, 3)``, the face's landmarks, and where things are on it."""

    image: np.ndarray
    landmarks: np.ndarray

    def pixels(self, *places: tuple[float, float]) -> np.ndarray:
        """Whole pixels ``(K, 2)`` of face coordinates."""
        frame = FaceFrame.from_landmarks(self.landmarks)
        assert frame is not None
        return np.asarray(frame.to_pixels(np.array(places)).round().astype(int))

    def change(self, out: np.ndarray, place: tuple[float, float]) -> float:
        """Mean change of the 5×5 pixels around face coordinates."""
        x, y = self.pixels(place)[0].tolist()
        part = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        return float(np.abs(out[part].astype(float) - self.image[part]).mean())


@pytest.fixture
def portrait() -> Portrait:
    """A plain frontal face, 60 pixels between the eyes: chin at y = 228, jaw from x = 93 to 207."""
    image = np.full((320, 300, 3), (205, 160, 135), np.uint8)
    image += np.random.default_rng(0).integers(0, 9, image.shape, dtype=np.uint8)
    landmarks = np.array([[120, 120], [180, 120], [150, 153], [125, 180], [175, 180]], np.float32)
    return Portrait(image, landmarks)
