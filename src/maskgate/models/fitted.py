"""Fitted arrays of models that are no network, as a file from which nothing is executed."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from maskgate.errors import InputError
from maskgate.files import npz_bytes

T = TypeVar("T")


def fitted_to_bytes(fitted: Any) -> bytes:
    """The arrays of a dataclass as an ``.npz``; the same bytes for the same arrays."""
    return npz_bytes(**{f.name: getattr(fitted, f.name) for f in fields(fitted)})


def fitted_from_bytes(data: bytes, kind: type[T], what: str) -> T:
    """What :func:`fitted_to_bytes` wrote of a dataclass ``kind``, float32; ``what`` names it in errors.

    Raises :class:`~maskgate.errors.InputError` where it is something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {
                f.name: np.asarray(file[f.name], np.float32)
                for f in fields(kind)  # type: ignore[arg-type]
            }
    # a lone array has no 'with', a text is a pickle that may not be loaded, a cut file no archive
    except (ValueError, TypeError, AttributeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"these are no arrays of {what}: {error}") from error
    return kind(**arrays)
