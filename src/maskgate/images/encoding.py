"""Encoding: arrays to picture files, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

from PIL import Image as Pillow

from maskgate.errors import ImageFormatError, InputError
from maskgate.files import write_atomic
from maskgate.images.arrays import check_image
from maskgate.images.limits import EXTENSIONS, FORMATS
from maskgate.types import Image

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 92},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 90},
    "TIFF": {"compression": "tiff_deflate"},
}


def encode_image(image: Image, format: str) -> bytes:
    """The file of ``image``, ``(H, W, 3)`` uint8 RGB, in ``format`` (JPEG, PNG, WEBP, BMP or TIFF).

    JPEG and WebP are lossy, at a quality that shows no artefacts at normal viewing.

    Raises :class:`~maskgate.errors.InputError` for another format or a wrong array and
    :class:`~maskgate.errors.ImageFormatError` where the format cannot hold a picture of that size.
    """
    fmt = format.upper()
    if fmt not in FORMATS:
        raise InputError(f"format is {format!r}; choose from {', '.join(sorted(FORMATS))}")
    picture = Pillow.fromarray(check_image(image))
    file = io.BytesIO()
    try:
        picture.save(file, fmt, **_OPTIONS.get(fmt, {}))
    except (OSError, ValueError) as error:
        raise ImageFormatError(
            f"a picture of {picture.width}×{picture.height} pixels cannot be saved as {fmt}; "
            "choose another format"
        ) from error
    return file.getvalue()


def write_image(path: str | Path, image: Image) -> None:
    """Writes ``image``, ``(H, W, 3)`` uint8 RGB, to ``path`` in the format of its extension.

    The file appears whole or not at all; one that was there is replaced.

    Raises :class:`~maskgate.errors.InputError` where the extension is not one of
    :data:`~maskgate.images.limits.EXTENSIONS` or the file cannot be written; else as
    :func:`encode_image`.
    """
    path = Path(path)
    fmt = EXTENSIONS.get(path.suffix.lower())
    if fmt is None:
        raise InputError(f"{path} cannot be written: its name must end in one of {' '.join(EXTENSIONS)}")
    data = encode_image(image, fmt)
    try:
        write_atomic(path, data, folders=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be written: {reason}") from error
