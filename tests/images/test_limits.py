from __future__ import annotations

import pytest

from maskgate.errors import ImageFormatError, ImageLimitError, InputError
from maskgate.images import ImageLimits, decode_image, encode_image


@pytest.mark.parametrize("field", ["max_bytes", "max_pixels", "max_side"])
def test_limits_below_one_are_refused(field: str) -> None:
    with pytest.raises(InputError, match=field):
        ImageLimits(**{field: 0})


def test_unknown_or_no_formats_are_refused() -> None:
    with pytest.raises(InputError, match="GIF"):
        ImageLimits(formats=frozenset({"JPEG", "GIF"}))
    with pytest.raises(InputError, match="formats"):
        ImageLimits(formats=frozenset())


def test_side_beyond_what_alignment_can_warp_is_refused() -> None:
    with pytest.raises(InputError, match="32767"):
        ImageLimits(max_side=40_000)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_each_limit_holds_for_each_format(astronaut, fmt: str) -> None:
    image = astronaut[:40, :60]
    data = encode_image(image, fmt)
    exact = ImageLimits(len(data), 40 * 60, 60, frozenset({fmt}))
    assert decode_image(data, limits=exact).shape == (40, 60, 3)

    with pytest.raises(ImageLimitError, match=r"a\.x has .* bytes; the limit is"):
        decode_image(data, name="a.x", limits=ImageLimits(max_bytes=len(data) - 1))
    with pytest.raises(ImageLimitError, match=r"a\.x is 60×40 pixels, 2,400 in all; the limit is 2,399"):
        decode_image(data, name="a.x", limits=ImageLimits(max_pixels=2399))
    with pytest.raises(ImageLimitError, match=r"a\.x is 60×40 pixels; no side .* 59"):
        decode_image(data, name="a.x", limits=ImageLimits(max_side=59))
    other = "PNG" if fmt == "JPEG" else "JPEG"
    with pytest.raises(ImageFormatError, match=rf"a\.x is a {fmt} file; accepted are {other}"):
        decode_image(data, name="a.x", limits=ImageLimits(formats=frozenset({other})))
