"""Where a face will be: a Kalman filter over its box, with time in seconds.

Centre, width and height are four numbers that do not depend on each other, each with a velocity.
Model and noise are those of "nearly constant velocity" with discretised white acceleration
(Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to Tracking and Navigation*, 2001, 6.2.2),
but for a damping: velocities fade, because a face that is not seen has rarely gone on straight for long.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# all relative to the face's size, so that near and far faces are alike: rows are centre x, centre y,
# width, height. Someone who crosses close before the camera makes eight face widths a second.
_MEASURED: Final = np.array([0.05, 0.05, 0.07, 0.07])  # standard deviation of a detector's box
_FIRST_SPEED: Final = np.array([4.0, 2.0, 0.5, 0.5])  # of a new face, per second
_ACCELERATION: Final = np.array([6.0, 4.0, 1.0, 1.0]) ** 2  # spectral density, per second³
_FADING: Final = 1.0  # seconds in which a velocity falls to 1/e


class BoxFilter:
    """State of one face.

    Args:
        box: ``(4,)`` x1, y1, x2, y2 in pixels, of its first detection.
    """

    def __init__(self, box: NDArray[np.float32]) -> None:
        measured = _centred(box)
        scale = _size(measured)
        self._mean = np.column_stack([measured, np.zeros(4)])  # (4, 2): value and velocity
        self._covariance = np.zeros((4, 2, 2))
        self._covariance[:, 0, 0] = (_MEASURED * scale) ** 2
        self._covariance[:, 1, 1] = (_FIRST_SPEED * scale) ** 2

    @property
    def box(self) -> NDArray[np.float64]:
        """``(4,)`` x1, y1, x2, y2 as estimated."""
        x, y, w, h = self._mean[:, 0]
        w, h = max(w, 1.0), max(h, 1.0)
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])

    @property
    def velocity(self) -> NDArray[np.float64]:
        """``(4,)`` of centre x, centre y, width and height, in pixels a second."""
        return self._mean[:, 1].copy()

    def predict(self, seconds: float) -> None:
        """Moves the state on by ``seconds``, at least 0."""
        fade = float(np.exp(-seconds / _FADING))
        step = np.array([[1.0, _FADING * (1 - fade)], [0.0, fade]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        scale = _size(self._mean[:, 0])
        self._mean = self._mean @ step.T
        self._covariance = step @ self._covariance @ step.T
        self._covariance += (_ACCELERATION * scale**2)[:, None, None] * noise

    def update(self, box: NDArray[np.float32]) -> None:
        """Takes a detection in."""
        measured = _centred(box)
        spread = self._covariance[:, 0, 0] + (_MEASURED * _size(measured)) ** 2
        gain = self._covariance[:, :, 0] / spread[:, None]
        self._mean = self._mean + gain * (measured - self._mean[:, 0])[:, None]
        self._covariance = self._covariance - gain[:, :, None] * self._covariance[:, None, 0, :]


def _centred(box: NDArray[np.float32]) -> NDArray[np.float64]:
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])


def _size(centred: NDArray[np.float64]) -> float:
    return float(np.sqrt(max(centred[2], 1.0) * max(centred[3], 1.0)))
