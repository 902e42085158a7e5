"""Which picture files are accepted, and how large they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maskgate.errors import ImageFormatError, ImageLimitError, InputError

EXTENSIONS: Final[dict[str, str]] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name extension in lower case → format. Reading goes by content; searching and writing by this."""

FORMATS: Final[frozenset[str]] = frozenset(EXTENSIONS.values())
"""The formats that can be read and written."""

MAX_SIDE: Final = 32_767
"""Longest side in pixels that OpenCV's ``warpAffine`` takes (it counts in signed 16-bit)."""


@dataclass(frozen=True)
class ImageLimits:
    """What a picture file may be; checked on its size and its header, before pixels are decoded.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width × height.
        max_side: the longer of width and height in pixels, at most :data:`MAX_SIDE`.
        formats: a subset of :data:`FORMATS`.

    Raises :class:`~maskgate.errors.InputError` where a limit makes no sense.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 100_000_000
    max_side: int = MAX_SIDE
    formats: frozenset[str] = FORMATS

    def __post_init__(self) -> None:
        for field in ("max_bytes", "max_pixels", "max_side"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} is {getattr(self, field)}; it must be at least 1")
        if self.max_side > MAX_SIDE:
            raise InputError(f"max_side is {self.max_side}; it can be at most {MAX_SIDE}")
        object.__setattr__(self, "formats", frozenset(self.formats))
        if not self.formats or not self.formats <= FORMATS:
            raise InputError(f"formats is {sorted(self.formats)}; choose from {', '.join(sorted(FORMATS))}")

    def check_bytes(self, count: int, name: str) -> None:
        """Raises :class:`~maskgate.errors.ImageLimitError` where a file of ``count`` bytes is too large."""
        if count > self.max_bytes:
            raise ImageLimitError(f"{name} has {count:,} bytes; the limit is {self.max_bytes:,}")

    def check_format(self, fmt: str, name: str) -> None:
        """Raises :class:`~maskgate.errors.ImageFormatError` where ``fmt`` is not accepted."""
        if fmt not in self.formats:
            raise ImageFormatError(f"{name} is a {fmt} file; accepted are {', '.join(sorted(self.formats))}")

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raises :class:`~maskgate.errors.ImageLimitError` where the picture has too many pixels."""
        if width * height > self.max_pixels:
            raise ImageLimitError(
                f"{name} is {width}×{height} pixels, {width * height:,} in all; "
                f"the limit is {self.max_pixels:,}"
            )
        if max(width, height) > self.max_side:
            raise ImageLimitError(
                f"{name} is {width}×{height} pixels; no side may be longer than {self.max_side}"
            )


DEFAULT_LIMITS: Final = ImageLimits()
