"""When a verdict should not be trusted: faces too small, too blurred, or too close to call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.types import Faces, Image


@dataclass(frozen=True)
class UncertainLimits:
    """Limits below which a verdict is called uncertain.

    Attributes:
        size: shorter side of the face's box, in pixels of the picture.
        sharpness: see :func:`sharpness`.
        margin: distance of P(mask) from the threshold in log-odds, log(p / (1 - p)), so that it
            means the same at a threshold of 0.2 as at 0.5.
    """

    size: float = 20.0
    sharpness: float = 3.0
    margin: float = 1.0

    def uncertain(
        self, faces: Faces, crops: Image, probabilities: NDArray[np.float32], threshold: float
    ) -> NDArray[np.bool_]:
        """``(N,)`` True where any limit is not met.

        Args:
            faces: N faces.
            crops: ``(N, S, S, 3)`` uint8, what the classifier saw.
            probabilities: ``(N, 3)``.
            threshold: on P(mask), in (0, 1).
        """
        if not len(faces):
            return np.zeros(0, np.bool_)
        small = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(1) < self.size
        blurred = np.array([sharpness(crop) < self.sharpness for crop in crops])
        close = np.abs(_log_odds(probabilities[:, 0]) - _log_odds(np.float64(threshold))) < self.margin
        out: NDArray[np.bool_] = small | blurred | close
        return out


def _log_odds(p: NDArray[np.floating[Any]] | np.float64) -> NDArray[np.float64]:
    inside = np.clip(np.asarray(p, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)))


def sharpness(crop: Image) -> float:
    """Mean absolute Laplacian of the crop's middle at half size, over its contrast, in percent.

    Half size, because every small face is enlarged and would look blurred at full size; relative to
    the contrast, because a dark picture is not a blurred one. Sharp faces have 10 or more.
    """
    size = crop.shape[0]
    rim = size // 6
    grey = cv2.cvtColor(crop[rim : size - rim, rim : size - rim], cv2.COLOR_RGB2GRAY)
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
    contrast = float(half.std())
    return 100 * float(np.abs(cv2.Laplacian(half, cv2.CV_32F)).mean()) / max(4 * contrast, 1.0)
