from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from maskgate.errors import ImageFormatError, ImageLimitError, ImageReadError
from maskgate.images import encode_image
from maskgate.images.headers import Header, exif_orientation, read_header


def saved(image: np.ndarray, fmt: str, **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, fmt, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (255, 257), (300, 1)])
@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"icc_profile": b"profile" * 20_000}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": b"profile"}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_size_agrees_with_pillow(size: tuple[int, int], fmt: str, options: dict[str, object]) -> None:
    data = saved(np.zeros((*size, 3), np.uint8), fmt, **options)
    header = read_header(data, "a")
    with Pillow.open(io.BytesIO(data)) as picture:
        assert (header.format, header.width, header.height) == (picture.format, *picture.size)
    assert header.orientation == 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"tile": (64, 64)}, {"rowsperstrip": 1}])
def test_tiffs_of_another_writer(byteorder: str, options: dict[str, object]) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((70, 90, 3), np.uint8), byteorder=byteorder, **options)
    assert read_header(file.getvalue(), "a") == Header("TIFF", 90, 70)


def test_bmp_of_os2_and_upside_down_bmp() -> None:
    core = b"BM" + struct.pack("<IHHI", 26 + 8, 0, 0, 26) + struct.pack("<IHHHH", 12, 2, 1, 1, 24)
    assert read_header(core + bytes(8), "a") == Header("BMP", 2, 1)
    data = bytearray(encode_image(np.zeros((5, 4, 3), np.uint8), "BMP"))
    data[22:26] = struct.pack("<i", -5)
    assert read_header(bytes(data), "a") == Header("BMP", 4, 5)


def test_jpeg_fill_bytes_and_stray_bytes_before_a_marker_are_skipped(astronaut) -> None:
    data = encode_image(astronaut[:33, :44], "JPEG")
    padded = data[:2] + b"\xff\xff\xff" + data[2:]
    assert read_header(padded, "a") == read_header(data, "a") == Header("JPEG", 44, 33, simple=True)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_of_a_block_written_by_hand(order: str, prefix: bytes) -> None:
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    for value in range(0, 11):
        directory = struct.pack(f"{order}HHHIIHHIHxxI", 2, 0x010F, 2, 4, 0x41424300, 0x0112, 3, 1, value, 0)
        assert exif_orientation(prefix + start + directory) == (value if 1 <= value <= 8 else 1)


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"II*\0", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", b"II+\0" + b"\xff" * 12],
)
def test_damaged_exif_means_upright(exif: bytes) -> None:
    assert exif_orientation(exif) == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GIF89a\x01\0\x01\0", "a GIF"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "a video"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL"),
        (b"8BPS\0\x01", "a Photoshop"),
    ],
)
def test_other_formats_are_named(data: bytes, kind: str) -> None:
    with pytest.raises(ImageFormatError, match=f"^a.jpg is {kind} file; save it as JPEG, PNG"):
        read_header(data, "a.jpg")


@pytest.mark.parametrize(
    "data",
    [
        b"hello, world",
        b"BMW is what this text begins with",
        b"\xff\xd8",
        b"RIFF\0\0\0\0WAVE",
        bytes(100),
        b"\x89PNG",
    ],
)
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(ImageReadError, match=r"^a\.jpg is not a picture"):
        read_header(data, "a.jpg")


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_every_cut_within_the_header_is_an_error(fmt: str) -> None:
    data = encode_image(np.zeros((3, 2, 3), np.uint8), fmt)
    for length in range(16):
        with pytest.raises(ImageReadError, match=r"^a "):
            read_header(data[:length], "a")


def test_twelve_bit_jpeg_is_refused(astronaut) -> None:
    data = bytearray(encode_image(astronaut[:8, :8], "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageFormatError, match="a JPEG of 12 bits"):
        read_header(bytes(data), "a")


def test_endless_jpeg_header_is_refused_soon() -> None:
    started = time.perf_counter()
    with pytest.raises(ImageReadError, match="over 4096 segments"):
        read_header(b"\xff\xd8" + b"\xff\xe0\0\x02" * 2**20, "a")
    assert time.perf_counter() - started < 1


def test_jpeg_of_thousands_of_scans_is_refused(astronaut) -> None:
    data = saved(astronaut[:16, :16], "JPEG", progressive=True)
    scan = data.index(b"\xff\xda")
    end = data.index(b"\xff", scan + 20)
    while data[end + 1] == 0:
        end = data.index(b"\xff", end + 2)
    bomb = data[:end] + data[scan:end] * 1000 + data[end:]
    with pytest.raises(ImageLimitError, match="over 200 scans"):
        read_header(bomb, "a")


def tiff(*entries: tuple[int, int, int, int]) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4)


SIZE = ((256, 4, 1, 100), (257, 4, 1, 50))


def test_tiff_written_by_hand() -> None:
    assert read_header(tiff(*SIZE), "a") == Header("TIFF", 100, 50)


def test_tiff_whose_values_overlap_is_refused() -> None:
    data = tiff(*SIZE, *((60_000 + i, 1, 50_000, 8) for i in range(100))) + bytes(100_000)
    with pytest.raises(ImageLimitError, match="more data than the file has"):
        read_header(data, "a")


def test_tiff_with_too_many_entries_is_refused() -> None:
    with pytest.raises(ImageLimitError, match="directory"):
        read_header(tiff(*SIZE, *((60_000, 1, 1, 0) for _ in range(5000))), "a")


def test_tiff_with_a_tile_far_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ImageLimitError, match="tiles of 60000×60000"):
        read_header(tiff(*SIZE, (322, 4, 1, 60_000), (323, 4, 1, 60_000)), "a")
    assert read_header(tiff(*SIZE, (322, 4, 1, 1024), (323, 4, 1, 1024)), "a").width == 100


def test_a_size_of_nothing_is_an_error() -> None:
    with pytest.raises(ImageReadError, match="states 0×50 pixels"):
        read_header(tiff((256, 4, 1, 0), SIZE[1]), "a")
