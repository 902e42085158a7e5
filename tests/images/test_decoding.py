from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from skimage import data as pictures

from maskgate.errors import ImageError, ImageFormatError, ImageLimitError, ImageReadError
from maskgate.images import ImageLimits, decode_image, encode_image, read_image

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (21, 34, 3), np.uint8)
GREY = RNG.integers(0, 256, (21, 34), np.uint8)
DEEP = RNG.integers(0, 65_536, (21, 34), np.uint16)
DEEP_RGB = RNG.integers(0, 65_536, (21, 34, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (21, 34), np.uint8)


def saved(picture: Pillow.Image | np.ndarray, fmt: str, **options: object) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Pillow.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, fmt, **options)
    return file.getvalue()


def png(samples: np.ndarray, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by the book, for kinds that Pillow does not write: samples (H, W, C), bits 8 or 16."""
    height, width = samples.shape[:2]
    rows = samples.astype(f">u{bits // 8}").reshape(height, -1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


def assert_close(image: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert image.shape == expected.shape
    assert np.abs(image.astype(float) - expected).max() <= tolerance


# --- kinds of pixels ---------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_gives_the_pixels_that_pillow_gives(
    astronaut, progressive: bool, subsampling: int, grey: bool
) -> None:
    source = astronaut[:101, :203, 0] if grey else astronaut[:101, :203]
    data = saved(source, "JPEG", progressive=progressive, subsampling=subsampling)
    with Pillow.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    # two builds of libjpeg may round their chroma differently
    assert_close(decode_image(data), expected, 2)
    assert_close(decode_image(data), repeated(source) if grey else source, 140)


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("rgb", [True, False])
def test_lossless_rgb_and_grey(fmt: str, rgb: bool) -> None:
    data = saved(RGB if rgb else GREY, fmt)
    assert_close(decode_image(data), RGB if rgb else repeated(GREY), 0)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": True, "icc_profile": b"profile"}])
def test_lossless_webp(options: dict[str, object]) -> None:
    assert_close(decode_image(saved(RGB, "WEBP", **options)), RGB, 0)


def test_lossy_webp_gives_the_pixels_that_pillow_gives(astronaut) -> None:
    data = saved(astronaut, "WEBP", quality=80)
    with Pillow.open(io.BytesIO(data)) as picture:
        assert_close(decode_image(data), np.asarray(picture), 2)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "raw"])
def test_compressed_tiff(compression: str) -> None:
    assert_close(decode_image(saved(RGB, "TIFF", compression=compression)), RGB, 0)


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"planarconfig": "separate"}, {"bigtiff": True}])
def test_layouts_of_tiff(options: dict[str, object]) -> None:
    source = np.moveaxis(RGB, 2, 0) if "planarconfig" in options else RGB
    assert_close(decode_image(tiff(source, photometric="rgb", **options)), RGB, 0)


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_rgba_is_laid_on_white(fmt: str) -> None:
    options = {"WEBP": {"lossless": True, "exact": True}}.get(fmt, {})
    data = saved(np.dstack([RGB, ALPHA]), fmt, **options)
    assert_close(decode_image(data), over_white(RGB, ALPHA), 1)


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_grey_with_alpha_is_laid_on_white(fmt: str) -> None:
    data = saved(Pillow.fromarray(np.dstack([GREY, ALPHA])), fmt)
    assert_close(decode_image(data), over_white(repeated(GREY), ALPHA), 1)


def test_premultiplied_alpha_in_tiff() -> None:
    alpha = np.maximum(ALPHA, 1)
    stored = np.rint(RGB * (alpha[..., None] / 255)).astype(np.uint8)
    data = tiff(np.dstack([stored, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    # colour over white is what is stored and the rest white, whatever the colour was
    assert_close(decode_image(data), stored + (255.0 - alpha[..., None]), 2)


def test_transparent_is_white_and_opaque_is_itself() -> None:
    alpha = np.zeros((2, 2), np.uint8)
    alpha[0] = 255
    image = decode_image(saved(np.dstack([np.full((2, 2, 3), (10, 20, 30), np.uint8), alpha]), "PNG"))
    assert image.tolist() == [[[10, 20, 30]] * 2, [[255, 255, 255]] * 2]


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
def test_palette(fmt: str) -> None:
    palette = RNG.integers(0, 256, (256, 3), np.uint8)
    picture = Pillow.fromarray(GREY).convert("L")
    picture.putpalette(palette.tobytes())
    assert_close(decode_image(saved(picture, fmt)), palette[GREY], 0)


def test_palette_with_alpha_of_each_colour() -> None:
    palette = RNG.integers(0, 256, (256, 3), np.uint8)
    alpha = RNG.integers(0, 256, 256, np.uint8)
    chunks = (b"PLTE", palette.tobytes()), (b"tRNS", alpha.tobytes())
    data = png(GREY[..., None], 8, 3, *chunks)
    assert_close(decode_image(data), over_white(palette[GREY], alpha[GREY]), 1)


def test_one_transparent_colour() -> None:
    source = RGB.copy()
    source[3, 4] = source[5, 6] = (1, 2, 3)
    expected = source.copy()
    expected[3, 4] = expected[5, 6] = 255
    assert_close(decode_image(png(source, 8, 2, (b"tRNS", struct.pack(">HHH", 1, 2, 3)))), expected, 0)
    grey = png(GREY[..., None], 8, 0, (b"tRNS", struct.pack(">H", int(GREY[0, 0]))))
    assert_close(decode_image(grey), repeated(np.where(GREY[0, 0] == GREY, 255, GREY)), 0)


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
def test_one_bit(fmt: str) -> None:
    black_and_white = GREY > 127
    data = saved(Pillow.fromarray(black_and_white), fmt)
    assert_close(decode_image(data), repeated(black_and_white * np.uint8(255)), 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_is_scaled(channels: int) -> None:
    samples = RNG.integers(0, 65_536, (21, 34, channels), np.uint16)
    data = png(samples, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    scaled = samples / 65_535 * 255
    colour = scaled[..., :3] if channels > 2 else repeated(scaled[..., 0])
    expected = over_white(colour, scaled[..., -1]) if channels in (2, 4) else colour
    assert_close(decode_image(data), expected, 2 if channels in (2, 4) else 1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("array", [DEEP, DEEP_RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff_is_scaled(array: np.ndarray, byteorder: str, compression: str | None) -> None:
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    data = tiff(array, photometric=photometric, byteorder=byteorder, compression=compression)
    scaled = array / 65_535 * 255
    assert_close(decode_image(data), scaled if array.ndim == 3 else repeated(scaled), 1)


def test_black_and_white_of_sixteen_bits_are_exact() -> None:
    ends = np.array([[0, 65_535]], np.uint16)
    assert decode_image(tiff(ends, photometric="minisblack"))[0, :, 0].tolist() == [0, 255]
    assert decode_image(png(ends[..., None], 16, 0))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("array", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_tiff_in_which_white_is_zero(array: np.ndarray) -> None:
    data = tiff(array, photometric="miniswhite")
    full = np.iinfo(array.dtype).max
    assert_close(decode_image(data), repeated((full - array) / full * 255), 1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_float_tiff_whose_white_is_one(byteorder: str) -> None:
    values = RNG.random((21, 34), np.float32)
    data = tiff(values, photometric="minisblack", byteorder=byteorder)
    assert_close(decode_image(data), repeated(values * 255), 0.5001)


def test_float_tiff_whose_white_is_255() -> None:
    values = GREY.astype(np.float32)
    assert_close(decode_image(tiff(values, photometric="minisblack")), repeated(values), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 256])
def test_float_tiff_with_values_that_mean_nothing(value: float) -> None:
    values = np.full((3, 3), 0.5, np.float32)
    values[1, 1] = value
    with pytest.raises(ImageFormatError, match=r"^a\.tif holds float values beyond"):
        decode_image(tiff(values, photometric="minisblack"), name="a.tif")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 3), np.int32),
        np.zeros((3, 3), np.int16),
        np.zeros((3, 3, 3), np.float32),
        np.zeros((3, 3), np.float64),
        np.zeros((3, 3), np.complex64),
    ],
    ids=str,
)
def test_tiffs_without_a_white_are_refused(array: np.ndarray) -> None:
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    with pytest.raises(ImageFormatError, match=r"^a\.tif .*; save it "):
        decode_image(tiff(array, photometric=photometric), name="a.tif")


INKS = np.array(
    [[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0]],
     [[0, 0, 0, 255], [200, 100, 50, 0], [30, 60, 90, 120], [255, 255, 255, 255]]], np.uint8
)  # fmt: skip
PATCHES = INKS.repeat(16, 0).repeat(16, 1)
"""Cyan, magenta, yellow and black, 255 for full ink, in patches that JPEG keeps."""


def rgb_of_inks(inks: np.ndarray) -> np.ndarray:
    return 255 * (1 - inks[..., :3] / 255) * (1 - inks[..., 3:] / 255)


def test_cmyk_tiff() -> None:
    assert_close(decode_image(saved(Pillow.fromarray(PATCHES, "CMYK"), "TIFF")), rgb_of_inks(PATCHES), 1)


def test_cmyk_jpeg_as_adobe_writes_it() -> None:
    data = saved(Pillow.fromarray(PATCHES, "CMYK"), "JPEG", quality=100, subsampling=0)
    assert data[data.index(b"Adobe") + 11] == 0
    assert_close(decode_image(data), rgb_of_inks(PATCHES), 4)


def test_ycck_jpeg_as_adobe_writes_it() -> None:
    # Adobe stores 255 - ink. As YCCK, a decoder turns the first three to RGB and takes 255 - RGB
    # for the stored CMY (T.872, 6.5.3), so what goes in as RGB is the ink itself.
    red, green, blue = np.moveaxis(PATCHES[..., :3].astype(float), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    stored = np.dstack(
        [luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402, 255.0 - PATCHES[..., 3]]
    )
    # Pillow turns CMYK round on writing, hence 255 - stored to have these very samples in the file
    samples = 255 - np.clip(np.rint(stored), 0, 255).astype(np.uint8)
    data = bytearray(saved(Pillow.fromarray(samples, "CMYK"), "JPEG", quality=100, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2
    assert_close(decode_image(bytes(data)), rgb_of_inks(PATCHES), 6)


# --- orientation -------------------------------------------------------------------------------

SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
"""EXIF 2.3, tag 274: which side of the upright picture the first stored row and column are."""


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The stored picture, pixel by pixel from the table of the standard."""
    height, width = upright.shape[:2]
    first_row, first_column = SIDES[orientation]
    turned = first_row in ("left", "right")
    stored = np.zeros((width, height, 3) if turned else upright.shape, np.uint8)
    for row in range(stored.shape[0]):
        for column in range(stored.shape[1]):
            place = {}
            for side, index in ((first_row, row), (first_column, column)):
                axis = "x" if side in ("left", "right") else "y"
                last = (width if axis == "x" else height) - 1
                place[axis] = last - index if side in ("right", "bottom") else index
            stored[row, column] = upright[place["y"], place["x"]]
    return stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("fmt", "options", "tolerance"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}, 6),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
    ],
)
def test_exif_orientation(orientation: int, fmt: str, options: dict[str, object], tolerance: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a maker"
    data = saved(as_stored(RGB, orientation), fmt, exif=exif, **options)
    assert_close(decode_image(data), RGB, tolerance)


def test_orientation_of_grey_and_cmyk_jpeg() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    grey = saved(as_stored(repeated(GREY), 6)[..., 0], "JPEG", quality=100, exif=exif)
    assert_close(decode_image(grey), repeated(GREY), 3)
    inks = np.dstack([as_stored(PATCHES[..., :3], 6), as_stored(repeated(PATCHES[..., 3]), 6)[..., :1]])
    cmyk = saved(Pillow.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0, exif=exif)
    assert_close(decode_image(cmyk), rgb_of_inks(PATCHES), 4)


# --- more pictures than one --------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_animations_are_refused(fmt: str) -> None:
    data = saved(Pillow.fromarray(RGB), fmt, save_all=True, append_images=[Pillow.fromarray(RGB[::-1])])
    with pytest.raises(ImageFormatError, match=r"^a is animated; extract its frames"):
        decode_image(data, name="a")


def test_animated_gif_is_refused() -> None:
    data = saved(Pillow.fromarray(RGB), "GIF", save_all=True, append_images=[Pillow.fromarray(RGB[::-1])])
    with pytest.raises(ImageFormatError, match=r"^a\.gif is a GIF file; save it as"):
        decode_image(data, name="a.gif")


def test_first_page_of_a_tiff_and_first_picture_of_a_jpeg_are_read() -> None:
    second = [Pillow.fromarray(RGB[::-1])]
    pages = saved(Pillow.fromarray(RGB), "TIFF", save_all=True, append_images=second)
    assert_close(decode_image(pages), RGB, 0)
    multi = saved(
        Pillow.fromarray(RGB), "MPO", save_all=True, append_images=second, quality=100, subsampling=0
    )
    assert_close(decode_image(multi), RGB, 6)


# --- truncated, damaged and hostile ------------------------------------------------------------

WHOLE: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG": lambda a: saved(a, "JPEG"),
    "progressive JPEG": lambda a: saved(a, "JPEG", progressive=True),
    "CMYK JPEG": lambda a: saved(Pillow.fromarray(a).convert("CMYK"), "JPEG"),
    "PNG": lambda a: saved(a, "PNG"),
    "WebP": lambda a: saved(a, "WEBP"),
    "lossless WebP": lambda a: saved(a, "WEBP", lossless=True),
    "BMP": lambda a: saved(a, "BMP"),
    "TIFF": lambda a: tiff(a, photometric="rgb"),
    "compressed TIFF": lambda a: tiff(a, photometric="rgb", compression="zlib"),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_data_are_an_error(astronaut, kind: str, share: float) -> None:
    data = WHOLE[kind](astronaut)
    assert decode_image(data).shape == astronaut.shape
    with pytest.raises(ImageReadError, match=r"^some/a\.x is .*(truncated|damaged)"):
        decode_image(data[: int(len(data) * share)], name="some/a.x")


@pytest.mark.parametrize("missing", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_without_its_last_bytes_is_an_error(astronaut, missing: int, progressive: bool) -> None:
    data = saved(astronaut, "JPEG", progressive=progressive)
    with pytest.raises(ImageReadError, match="truncated"):
        decode_image(data[:-missing])


def test_truncated_jpeg_with_a_whole_thumbnail_is_an_error(astronaut) -> None:
    thumbnail = saved(astronaut[::8, ::8], "JPEG", quality=50)
    data = saved(astronaut, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail)
    assert decode_image(data).shape == astronaut.shape
    with pytest.raises(ImageReadError, match="truncated"):
        decode_image(data[: len(data) // 2])


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(astronaut) -> None:
    data = saved(astronaut, "JPEG")
    np.testing.assert_array_equal(decode_image(data + b"more" * 1000), decode_image(data))


def test_a_jpeg_that_is_cut_short_is_not_filled_with_pixels_of_another(astronaut) -> None:
    # OpenCV 4.10 left what it had decoded before in the missing part
    decode_image(saved(astronaut, "JPEG"))
    data = saved(np.zeros_like(astronaut), "JPEG")
    with pytest.raises(ImageReadError):
        decode_image(data[: len(data) // 2])


def test_one_pixel_is_a_picture() -> None:
    for fmt in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        assert decode_image(encode_image(np.full((1, 1, 3), 200, np.uint8), fmt)).shape == (1, 1, 3)


HUGE: dict[str, bytes] = {
    "PNG": png(np.zeros((1, 1, 3)), 8, 2).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", 60_000, 60_000), 1
    ),
    "JPEG": encode_image(np.zeros((16, 16, 3), np.uint8), "JPEG").replace(
        struct.pack(">HH", 16, 16), struct.pack(">HH", 60_000, 60_000), 1
    ),
    "BMP": encode_image(np.zeros((7, 7, 3), np.uint8), "BMP").replace(
        struct.pack("<ii", 7, 7), struct.pack("<ii", 60_000, 60_000), 1
    ),
    "TIFF": struct.pack(
        "<2sHIHHHIIHHIII", b"II", 42, 8, 2, 256, 4, 1, 60_000, 257, 4, 1, 60_000, 0
    ),
    "WebP": b"RIFF\x30\0\0\0WEBPVP8L\x24\0\0\0\x2f" + struct.pack("<I", 16_383 | 16_383 << 14) + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("fmt", HUGE)
def test_huge_header_is_refused(fmt: str) -> None:
    with pytest.raises(ImageLimitError, match=r"^a\.x is \d+×\d+ pixels, .*; the limit is 100,000,000"):
        decode_image(HUGE[fmt], name="a.x")


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_huge_headers_take_no_memory(tmp_path: Path) -> None:
    for fmt, data in HUGE.items():
        (tmp_path / fmt).write_bytes(data)
    code = """
import pathlib, resource, sys
from maskgate.errors import ImageLimitError
from maskgate.images import read_image, decode_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for path in pathlib.Path(sys.argv[1]).iterdir():
    try: read_image(path)
    except ImageLimitError: continue
    sys.exit(f"{path} was read")
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    kibibytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kibibytes < 8 * 1024


def test_pixels_that_pillow_would_warn_of_are_a_matter_of_our_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # RGB has 714 pixels: over the one Pillow warns, over twice the other it raises
    for bomb in (500, 100):
        monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", bomb)
        for fmt in ("JPEG", "PNG", "BMP", "WEBP"):
            assert decode_image(encode_image(RGB, fmt)).shape == RGB.shape
        with pytest.raises(ImageLimitError, match="pixels"):
            decode_image(encode_image(RGB, "PNG"), limits=ImageLimits(max_pixels=100))
        # Pillow checks a TIFF a second time, which cannot be put off
        if bomb == 500:
            assert decode_image(encode_image(RGB, "TIFF")).shape == RGB.shape
        else:
            with pytest.raises(ImageLimitError, match="more than can be decoded here"):
                decode_image(encode_image(RGB, "TIFF"))


def test_damage_that_pillow_warns_of_gives_no_warning() -> None:
    damaged = tiff(RGB, photometric="rgb", extratags=[(60_000, 2, 40, "a" * 39, True)])
    where = damaged.index(struct.pack("<HHI", 60_000, 2, 40)) + 8
    damaged = damaged[:where] + struct.pack("<I", len(damaged) - 1) + damaged[where + 4 :]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Pillow.open(io.BytesIO(damaged)) as picture:
            picture.load()
        assert caught  # or this test tests nothing
        caught.clear()
        assert_close(decode_image(damaged), RGB, 0)
        assert not caught


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    data = [encode_image(RGB, fmt) for fmt in ("PNG", "TIFF", "WEBP", "JPEG")] * 25
    threads = [threading.Thread(target=lambda: [decode_image(d) for d in data]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


SMALL = pictures.astronaut()[100:148, 200:264]
EXIF = Pillow.Exif()
EXIF[0x0112] = 6
SEEDS = [whole(SMALL) for whole in WHOLE.values()] + [
    saved(SMALL, "JPEG", exif=EXIF),
    saved(SMALL, "PNG", exif=EXIF),
    saved(SMALL, "WEBP", exif=EXIF),
    saved(Pillow.fromarray(SMALL).convert("P"), "PNG", transparency=3),
    saved(Pillow.fromarray(SMALL).convert("P"), "BMP"),
    saved(SMALL, "TIFF", compression="jpeg", exif=EXIF),
    saved(Pillow.fromarray(SMALL), "PNG", save_all=True, append_images=[Pillow.fromarray(SMALL[::-1])]),
    tiff(DEEP, photometric="minisblack"),
    tiff(DEEP.astype(np.float32), photometric="minisblack"),
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with some bytes changed, taken out or put in, mostly in its header, or cut."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        reach = draw(st.sampled_from([40, 300, len(data)]))
        at = draw(st.integers(0, min(reach, len(data) - 1)))
        length = draw(st.integers(0, 8))
        data[at : at + length] = draw(st.binary(max_size=8))
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


def decodes_or_refuses(data: bytes) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = decode_image(data, name="fuzz.x", limits=ImageLimits(max_pixels=1_000_000))
        except ImageError as error:
            message = str(error)
            assert message.startswith("fuzz.x ")
            assert "\n" not in message
            assert ". " not in message
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
    assert not caught


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_fuzzed_files(data: bytes) -> None:
    decodes_or_refuses(data)


SIGNATURES = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"RIFF\0\0\0\0WEBPVP8",
    b"BM",
    b"II*\0",
    b"MM\0+",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", *SIGNATURES]), st.binary(max_size=200))
def test_random_bytes(signature: bytes, rest: bytes) -> None:
    decodes_or_refuses(signature + rest)


# --- files -------------------------------------------------------------------------------------


def test_reading_a_file_whatever_its_extension(astronaut, tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(saved(astronaut, "PNG"))
    np.testing.assert_array_equal(read_image(path), astronaut)
    np.testing.assert_array_equal(read_image(str(path)), astronaut)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"these are words\n", "is not a picture"), (b"GIF89a", "is a GIF file")],
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.jpg {says}"):
        read_image(path)


def test_missing_files_folders_and_impossible_names(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"none\.jpg does not exist$"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageReadError, match=r"is a folder, not a picture$"):
        read_image(tmp_path)
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_image("a\0b.jpg")
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_image(tmp_path / ("a" * 5000))
    (tmp_path / "file").touch()
    with pytest.raises(ImageReadError, match="cannot be read: Not a directory"):
        read_image(tmp_path / "file" / "a.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ImageReadError, match="is not a regular file"):
            read_image(path)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageLimitError, match=r"large\.jpg has 1,099,511,627,776 bytes; the limit is"):
        read_image(path)
