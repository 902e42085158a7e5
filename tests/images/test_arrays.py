from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate.errors import InputError
from maskgate.images import check_image


def test_a_right_array_is_passed_on_without_a_copy(astronaut) -> None:
    assert check_image(astronaut) is astronaut


def test_a_view_is_made_contiguous(astronaut) -> None:
    view = astronaut[::2, ::-1]
    checked = check_image(view)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, view)


def test_one_pixel_is_a_picture() -> None:
    assert check_image(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((4, 4, 3), np.nan, np.float32), "dtype float32 and holds NaN"),
        (np.full((4, 4, 3), np.inf), "dtype float64 and holds NaN or infinite"),
        (np.zeros((4, 4, 3), np.float32), "dtype float32; scale it to 0–255"),
        (np.zeros((4, 4, 3), np.int64), "dtype int64"),
        (np.zeros((4, 4, 3), np.bool_), "dtype bool"),
        (np.zeros((4, 4, 3), object), "dtype object"),
        (np.zeros((4, 4), np.uint8), "is grey"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \(4, 4, 1\); it must be"),
        (np.zeros((4, 4, 4), np.uint8), "4 channels"),
        (np.zeros((3, 4, 5), np.uint8), "channels first"),
        (np.zeros((2, 4, 4, 3), np.uint8), "is a batch"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 0, 3), np.uint8), "no pixels"),
        (np.zeros(12, np.uint8), r"shape \(12,\)"),
        (np.uint8(3), "is a uint8"),
        (np.zeros((1, 40_000, 3), np.uint8), "at most 32767 pixels a side"),
        ([[[0, 0, 0]]], "is a list"),
        (None, "is a NoneType"),
        (Pillow.new("RGB", (4, 4)), "is a Image; give a numpy array"),
    ],
)
def test_anything_else_is_refused_with_one_sentence(array: object, says: str) -> None:
    with pytest.raises(InputError, match=f"^frame .*{says}") as caught:
        check_image(array, "frame")
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value)


def test_the_advice_works(astronaut) -> None:
    grey = astronaut[..., 0]
    assert check_image(np.repeat(grey[..., None], 3, 2)).shape == astronaut.shape
    first = np.ascontiguousarray(astronaut[:100].transpose(2, 0, 1))
    np.testing.assert_array_equal(check_image(first.transpose(1, 2, 0)), astronaut[:100])
