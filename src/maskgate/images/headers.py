"""Picture headers: format, size and orientation, read without a decoder.

Decoders may take memory for the pixels as soon as they see a header, and some warn or block on
hostile ones, so everything that limits are checked on is read here first. Nothing in this module
takes time or memory beyond the size of the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from maskgate.errors import ImageFormatError, ImageLimitError, ImageReadError

_OTHER_FORMATS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"GIF8", "a GIF"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"\0\0\1\0", "an icon"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftyphev", "a HEIC"),
    (4, b"ftypmif1", "a HEIF"),
    (4, b"ftyp", "a video"),
)
"""Offset, signature and name of formats that are worth naming in the error."""

_SEGMENTS_AT_MOST: Final = 4096
_SCANS_AT_MOST: Final = 200
_TIFF_ENTRIES_AT_MOST: Final = 1024
_TIFF_TYPE_BYTES: Final = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels.

    Attributes:
        format: one of :data:`~maskgate.images.limits.FORMATS`.
        width, height: pixels as stored, before EXIF orientation.
        simple: 8-bit grey or colour without transparency, animation or metadata that matters,
            which OpenCV decodes as well as Pillow and faster.
        orientation: EXIF orientation, 1 to 8; known here for JPEG only.
    """

    format: str
    width: int
    height: int
    simple: bool = False
    orientation: int = 1


def read_header(data: bytes, name: str) -> Header:
    """Header of the picture in ``data``.

    Raises :class:`~maskgate.errors.ImageFormatError` for a known format that is not one of ours,
    :class:`~maskgate.errors.ImageReadError` where the data are no picture or stop within the header,
    and :class:`~maskgate.errors.ImageLimitError` for a header made to exhaust a decoder.
    """
    fmt = _identify(data, name)
    try:
        header = _READERS[fmt](data, name)
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise ImageReadError(f"{name} is truncated or damaged: its {fmt} header is not complete") from error
    if header.width < 1 or header.height < 1:
        raise ImageReadError(f"{name} is damaged: its header states {header.width}×{header.height} pixels")
    return header


def _identify(data: bytes, name: str) -> str:
    if not data:
        raise ImageReadError(f"{name} is empty")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    for offset, signature, kind in _OTHER_FORMATS:
        if data.startswith(signature, offset):
            raise ImageFormatError(f"{name} is {kind} file; save it as JPEG, PNG, WebP, BMP or TIFF")
    raise ImageReadError(f"{name} is not a picture: no JPEG, PNG, WebP, BMP or TIFF header was found")


def _jpeg(data: bytes, name: str) -> Header:
    """Walks the marker segments up to the first scan (ITU-T T.81, annex B)."""
    width = height = channels = orientation = 0
    progressive = False
    position = 2
    for _ in range(_SEGMENTS_AT_MOST):
        # fill bytes may precede a marker; decoders skip stray bytes too
        position = data.find(b"\xff", position)
        if position < 0:
            raise IndexError
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker <= 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _JPEG_FRAMES and not channels:
            precision, height, width, channels = struct.unpack_from(">BHHB", data, position + 2)
            if precision != 8:
                raise ImageFormatError(f"{name} is a JPEG of {precision} bits; save it with 8 bits")
            progressive = marker in (0xC2, 0xCA)
        elif marker == 0xE1 and not orientation and data.startswith(b"Exif\0\0", position + 2):
            orientation = exif_orientation(data[position + 2 : position + length])
        elif marker == 0xDA:
            break
        position += length
    else:
        raise ImageReadError(f"{name} is damaged: its JPEG header has over {_SEGMENTS_AT_MOST} segments")
    # A stream cut short has no end marker after the first scan; a thumbnail's lies before it. Some
    # versions of OpenCV paint the missing part grey, so this is not left to the decoder.
    if data.rfind(b"\xff\xd9", position) < 0:
        raise ImageReadError(f"{name} is truncated: its JPEG data end before the picture does")
    # each scan of a progressive picture costs a pass over all pixels, however few bytes it has
    if progressive and data.count(b"\xff\xda", position) > _SCANS_AT_MOST:
        raise ImageLimitError(f"{name} is a JPEG of over {_SCANS_AT_MOST} scans; save it again")
    return Header("JPEG", width, height, channels in (1, 3), max(orientation, 1))


_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _png(data: bytes, _: str) -> Header:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise KeyError(kind)
    return Header("PNG", width, height)


def _webp(data: bytes, _: str) -> Header:
    """RFC 9649, sections 2.5 to 2.7."""
    kind = data[12:16]
    if kind == b"VP8 ":
        code, width, height = struct.unpack_from("<3sHH", data, 23)
        if code != b"\x9d\x01\x2a":
            raise KeyError(code)
        # the simple lossy layout has no room for alpha, animation or EXIF
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF, simple=True)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X" and len(data) >= 30:
        return Header(
            "WEBP", int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        )
    raise KeyError(kind)


def _bmp(data: bytes, name: str) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    if size not in (12, 16, 40, 52, 56, 64, 108, 124):
        # two letters are a weak signature: a text may begin with them too
        raise ImageReadError(f"{name} is not a picture, or a BMP whose header is damaged")
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    # a negative height says that rows run from the top
    return Header("BMP", width, abs(height))


def _tiff(data: bytes, name: str) -> Header:
    values: dict[int, int] = {}
    total = 0
    for number, (tag, kind, count, first) in enumerate(_tiff_entries(data)):
        values.setdefault(tag, first)
        # Values that overlap make a small file large once each is read into memory.
        total += count * _TIFF_TYPE_BYTES.get(kind, 0)
        if total > len(data) or number == _TIFF_ENTRIES_AT_MOST:
            raise ImageLimitError(f"{name} is damaged: its TIFF directory states more data than the file has")
    width, height = values[256], values[257]
    # a tile may reach over the edge, but not by far: it is decoded whole
    tile_width, tile_height = values.get(322, 0), values.get(323, 0)
    if tile_width * tile_height > max(4 * width * height, 2**24):
        raise ImageLimitError(
            f"{name} has tiles of {tile_width}×{tile_height} pixels in a TIFF of {width}×{height}; "
            "save it without tiles"
        )
    return Header("TIFF", width, height)


def _tiff_entries(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and first value (0 unless it is a short, long or long8 within the entry) of
    each entry in the first directory of a TIFF or BigTIFF."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if version == 43:
        (start,) = struct.unpack_from(f"{order}Q", data, 8)
        (entries,) = struct.unpack_from(f"{order}Q", data, start)
        start, step, layout, room = start + 8, 20, f"{order}HHQ", 8
    else:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, start)
        start, step, layout, room = start + 2, 12, f"{order}HHI", 4
    codes = {3: "H", 4: "I", 16: "Q"}
    for position in range(start, start + step * min(entries, _TIFF_ENTRIES_AT_MOST + 1), step):
        tag, kind, count = struct.unpack_from(layout, data, position)
        first = 0
        if kind in codes and count * _TIFF_TYPE_BYTES[kind] <= room:
            (first,) = struct.unpack_from(f"{order}{codes[kind]}", data, position + struct.calcsize(layout))
        yield tag, kind, count, first


def exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 from an EXIF block; 1 where it states none or is damaged."""
    try:
        for tag, _, _, first in _tiff_entries(exif.removeprefix(b"Exif\0\0")):
            if tag == 0x0112:
                return first if 1 <= first <= 8 else 1
    except (struct.error, KeyError, OverflowError):
        pass
    return 1


_READERS: Final = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "BMP": _bmp, "TIFF": _tiff}
