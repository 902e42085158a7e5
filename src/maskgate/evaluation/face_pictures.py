"""Pictures whose faces are annotated: boxes, landmarks, labels and regions to leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""In ``labels``: nobody has said what is on the face."""


@dataclass(frozen=True, eq=False)
class FacePicture:
    """One picture and the faces annotated in it; the arrays are read-only.

    Attributes:
        path: the picture's file.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in pixels of the upright picture, as annotated: WIDER
            FACE has a few that cross the picture's edge, and a few without area, which are ignored.
        landmarks: ``(N, 5, 2)`` float32 pixels in the order of :mod:`maskgate.types`; NaN where a
            point is not annotated. Points behind a hand or a mask are annotated as others are.
        ignore: ``(N,)`` bool: not to be found, and no error where found; nor to be learnt from.
        labels: ``(N,)`` int64, places in :data:`maskgate.types.LABELS` or :data:`UNKNOWN`.
        attributes: ``(N,)`` int64 by name, those of the set: WIDER FACE's blur, expression,
            illumination, invalid, occlusion and pose. Empty where the file has none.
        size: width and height in pixels, as annotated; None where the file does not say.
    """

    path: Path
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    labels: NDArray[np.int64]
    attributes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for array in (self.boxes, self.landmarks, self.ignore, self.labels, *self.attributes.values()):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def has_landmarks(self) -> NDArray[np.bool_]:
        """``(N,)`` True where all five points are annotated."""
        return np.asarray(np.isfinite(self.landmarks).all((1, 2)), np.bool_)


def without_landmarks(count: int) -> NDArray[np.float32]:
    """``(count, 5, 2)`` float32 NaN."""
    return np.full((count, 5, 2), np.nan, np.float32)
