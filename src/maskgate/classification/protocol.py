"""What every classifier offers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.types import Image


@runtime_checkable
class Classifier(Protocol):
    """Says what is on faces.

    Attributes:
        name: what users choose it by.
        crop: how faces are cut for it.
        threshold: P(mask) from which a face counts as masked, in (0, 1).
    """

    name: str
    crop: CropSpec
    threshold: float

    def classify(self, crops: Image) -> NDArray[np.float32]:
        """Probabilities of each crop.

        Args:
            crops: ``(N, S, S, 3)`` uint8 RGB as :attr:`crop` cuts them; N may be 0.

        Returns ``(N, 3)`` float32 in [0, 1], columns in the order of :data:`maskgate.types.LABELS`;
        rows sum to 1.
        """
        ...
