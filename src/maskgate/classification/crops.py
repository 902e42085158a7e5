"""What classifiers take."""

from __future__ import annotations

import numpy as np

from maskgate.errors import InputError
from maskgate.types import Image


def check_crops(crops: Image, side: int) -> None:
    """Raises :class:`~maskgate.errors.InputError` unless ``crops`` is ``(N, side, side, 3)`` uint8."""
    if crops.ndim != 4 or crops.shape[1:] != (side, side, 3) or crops.dtype != np.uint8:
        raise InputError(f"crops are {crops.dtype} {crops.shape}; give uint8 (N, {side}, {side}, 3)")
