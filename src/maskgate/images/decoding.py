"""Decoding: the project's only way from a picture file to an array.

What a picture looks like is settled here once: upright (EXIF orientation applied), RGB, 8 bits.
Transparent parts show :data:`BACKGROUND`, more bits than 8 are scaled, grey is repeated, CMYK is
turned to RGB by R = (1 - C)(1 - K); colour profiles are not applied. An animated WebP or PNG is
refused, of a TIFF with several pages and a JPEG with several pictures the first is read.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from maskgate.errors import ImageError, ImageFormatError, ImageLimitError, ImageReadError
from maskgate.images.headers import Header, exif_orientation, read_header
from maskgate.images.limits import DEFAULT_LIMITS, ImageLimits
from maskgate.types import Image

BACKGROUND: Final = (255, 255, 255)
"""RGB behind transparent pixels: white, as on a page."""

# Pillow's plugins are called directly: Pillow.open would warn of "bombs" at a limit of its own.
_PLUGINS: Final[dict[str, type[ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}
_WARNINGS: Final = threading.Lock()


def read_image(path: str | Path, *, limits: ImageLimits = DEFAULT_LIMITS) -> Image:
    """The picture in the file ``path`` as ``(H, W, 3)`` uint8 RGB, upright.

    Raises :class:`~maskgate.errors.ImageReadError` where there is no such file, it is a folder, a
    pipe or a device, or cannot be read; else as :func:`decode_image`.
    """
    path = Path(path)
    name = str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageReadError(f"{name} is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise ImageReadError(f"{name} is not a regular file, so it is not opened as a picture")
        limits.check_bytes(status.st_size, name)
        with path.open("rb") as file:
            # the file may have grown since
            data = file.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise ImageReadError(f"{name} does not exist") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageReadError(f"{name!r} cannot be read: {reason}") from error
    return decode_image(data, name=name, limits=limits)


def decode_image(data: bytes, *, name: str = "image", limits: ImageLimits = DEFAULT_LIMITS) -> Image:
    """The picture file in ``data`` as ``(H, W, 3)`` uint8 RGB, upright, C-contiguous and writable.

    Args:
        data: a whole JPEG, PNG, WebP, BMP or TIFF file.
        name: what errors call it.
        limits: checked on the header, before anything is decoded.

    Raises :class:`~maskgate.errors.ImageLimitError` over a limit,
    :class:`~maskgate.errors.ImageFormatError` for a kind of picture that is not accepted and
    :class:`~maskgate.errors.ImageReadError` for data that are truncated, damaged or no picture.
    """
    limits.check_bytes(len(data), name)
    header = read_header(data, name)
    limits.check_format(header.format, name)
    limits.check_size(header.width, header.height, name)
    image, orientation = None, header.orientation
    if header.simple:
        image = _decode_with_opencv(data)
    if image is None:
        image, orientation = _decode_with_pillow(data, header, name)
    stored = (header.height, header.width, 3)
    if image.shape not in (stored, (header.width, header.height, 3)):
        raise ImageReadError(f"{name} is damaged: it holds another number of pixels than its header states")
    return _upright(image, orientation)


def _decode_with_opencv(data: bytes) -> Image | None:
    try:
        decoded = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        return None
    # a damaged picture gives None, which cv2's own types do not say
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _decode_with_pillow(data: bytes, header: Header, name: str) -> tuple[Image, int]:
    """The picture's pixels as stored (TIFF: upright already) and the orientation still to apply."""
    fmt = header.format
    # Only these two warn while they decode; the others need not wait for each other.
    warns = fmt == "TIFF" or (fmt == "PNG" and b"acTL" in data)
    try:
        with _without_warnings():
            picture = _PLUGINS[fmt](io.BytesIO(data))
        if fmt in ("PNG", "WEBP") and getattr(picture, "is_animated", False):
            raise ImageFormatError(f"{name} is animated; extract its frames and give them one by one")
        with _without_warnings() if warns else nullcontext():
            picture.load()
            image = _to_rgb(picture, name)
    except ImageError:
        raise
    except (MemoryError, Pillow.DecompressionBombError) as error:
        raise ImageLimitError(
            f"{name} has {header.width}×{header.height} pixels, more than can be decoded here"
        ) from error
    except Exception as error:
        # Hostile data bring out errors of almost any type in the plugins.
        if fmt == "TIFF" and isinstance(error, SyntaxError):
            raise ImageFormatError(
                f"{name} is a TIFF whose pixel type or compression is not accepted; save it as 8-bit RGB"
            ) from error
        raise ImageReadError(f"{name} is truncated or damaged: its {fmt} data cannot be decoded") from error
    exif = picture.info.get("exif")
    if fmt in ("PNG", "WEBP") and isinstance(exif, bytes):
        return image, exif_orientation(exif)
    return image, header.orientation


@contextmanager
def _without_warnings() -> Iterator[None]:
    # The list of warning filters belongs to the process: two threads that both change it for a
    # while may leave it changed for good.
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(picture: ImageFile, name: str) -> Image:
    mode = picture.mode
    if mode.startswith("I;16"):
        return _from_16_bit(picture)
    if mode == "F":
        return _from_float(picture, name)
    if mode in ("I", "LAB"):
        kind = "32-bit or signed integers" if mode == "I" else "L*a*b* colours"
        raise ImageFormatError(f"{name} holds {kind}; save it with 8 bits as grey or RGB")
    converted: Pillow.Image
    if picture.has_transparency_data:
        overlay = picture.convert("RGBA")
        converted = Pillow.new("RGB", overlay.size, BACKGROUND)
        converted.paste(overlay, mask=overlay.getchannel("A"))
    else:
        converted = picture if mode == "RGB" else picture.convert("RGB")
    return np.array(converted, np.uint8)


def _from_16_bit(picture: ImageFile) -> Image:
    tags: Any = getattr(picture, "tag_v2", {})
    bits = int(tags.get(258, (16,))[0])
    grey = np.asarray(picture).astype(np.uint16) >> (bits - 8)
    if tags.get(262) == 0:
        # WhiteIsZero; Pillow turns only up to 8 bits round
        grey = 255 - grey
    return _repeat_grey(grey.astype(np.uint8))


def _from_float(picture: ImageFile, name: str) -> Image:
    """White is 1, the convention; values over 1 can only mean that it is 255."""
    values = np.asarray(picture)
    low, high = float(values.min()), float(values.max())
    # NaN fails every comparison
    if not (low >= 0 and high <= 255):
        raise ImageFormatError(f"{name} holds float values beyond 0 to 1; scale them or save it with 8 bits")
    return _repeat_grey(np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8))


def _repeat_grey(grey: Image) -> Image:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _upright(image: Image, orientation: int) -> Image:
    """Undoes EXIF orientation: which side of the stored picture is the top, and is it mirrored."""
    turned: Any = image
    if orientation in (5, 7):
        turned = cv2.transpose(image)
    elif orientation == 6:
        turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    elif orientation == 8:
        turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    if orientation in _FLIPS:
        turned = cv2.flip(turned, _FLIPS[orientation])
    upright: Image = np.ascontiguousarray(turned, np.uint8)
    return upright


_FLIPS: Final = {2: 1, 3: -1, 4: 0, 7: -1}
"""OpenCV's flip code: 1 swaps left and right, 0 top and bottom, -1 both."""
