"""Arrays given as pictures through Python."""

from __future__ import annotations

import numpy as np

from maskgate.errors import InputError
from maskgate.images.limits import MAX_SIDE
from maskgate.types import Image


def check_image(array: object, name: str = "image") -> Image:
    """``array`` as a C-contiguous ``(H, W, 3)`` uint8 array; copied only where it is not contiguous.

    Args:
        array: anything; only a numpy array of the right shape and dtype passes.
        name: what the error calls it.

    Raises :class:`~maskgate.errors.InputError` that says what is wrong and what to do.
    """
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        raise InputError(f"{name} is a {kind}; give a numpy array of shape (H, W, 3), dtype uint8, RGB")
    shape = array.shape
    if array.ndim == 2:
        raise InputError(f"{name} is grey, shape {shape}; repeat it: np.repeat({name}[..., None], 3, 2)")
    if array.ndim == 4:
        raise InputError(f"{name} is a batch, shape {shape}; give its pictures as a list of (H, W, 3) arrays")
    if array.ndim == 3 and shape[2] == 4:
        raise InputError(f"{name} has 4 channels, shape {shape}; drop alpha: {name}[..., :3]")
    if array.ndim == 3 and shape[2] != 3 and shape[0] == 3:
        raise InputError(
            f"{name} has its channels first, shape {shape}; move them: {name}.transpose(1, 2, 0)"
        )
    if array.ndim != 3 or shape[2] != 3:
        raise InputError(f"{name} has shape {shape}; it must be (H, W, 3), RGB")
    if 0 in shape:
        raise InputError(f"{name} has no pixels, shape {shape}; height and width must be at least 1")
    if max(shape) > MAX_SIDE:
        raise InputError(f"{name} has shape {shape}; scale it down to at most {MAX_SIDE} pixels a side")
    if array.dtype != np.uint8:
        holds = ""
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            holds = " and holds NaN or infinite values"
        raise InputError(f"{name} has dtype {array.dtype}{holds}; scale it to 0–255 and convert it to uint8")
    return np.ascontiguousarray(array)
