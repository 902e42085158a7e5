"""How far landmarks lie from where they were annotated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError

FAILURE = 0.1
"""Error from which a face's landmarks count as failed, the usual bound in face alignment."""

_CLOSEST = 1.0
"""Eyes nearer together, in pixels, are those of a profile: a distance to divide by no more."""


@dataclass(frozen=True)
class LandmarkError:
    """Errors over faces, in units of the distance between the annotated eyes; NaN where there is no face.

    Attributes:
        faces: number of faces measured.
        mean: normalised mean error (NME): mean over faces of the mean over the five points.
        median: of the faces' errors, which profiles weigh less in.
        failed: share of faces with an error over :data:`FAILURE`.
    """

    faces: int
    mean: float
    median: float
    failed: float


def landmark_errors(found: NDArray[np.float32], annotated: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(N,)`` normalised error of each face; NaN where a point is missing, or the annotated eyes are less
    than a pixel apart.

    Args:
        found: ``(N, 5, 2)`` pixels.
        annotated: likewise.

    Raises :class:`~maskgate.errors.InputError` on other shapes.
    """
    if found.shape != annotated.shape or found.shape[1:] != (5, 2):
        raise InputError(f"landmarks are (N, 5, 2) each, not {found.shape} and {annotated.shape}")
    truth = annotated.astype(np.float64)
    distance = np.linalg.norm(found - truth, axis=2).mean(1)
    eyes = np.linalg.norm(truth[:, 0] - truth[:, 1], axis=1)
    return np.where(eyes >= _CLOSEST, distance / np.maximum(eyes, _CLOSEST), np.nan)


def summarise_errors(errors: NDArray[np.float64]) -> LandmarkError:
    """The figures of ``(N,)`` errors; NaN ones are left out."""
    known = errors[np.isfinite(errors)]
    if not len(known):
        return LandmarkError(0, float("nan"), float("nan"), float("nan"))
    return LandmarkError(
        len(known), float(known.mean()), float(np.median(known)), float((known > FAILURE).mean())
    )
