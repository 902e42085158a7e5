"""Polygons in the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.measure import points_in_poly

from maskgate.errors import InputError
from maskgate.streams.zones import Zone

CONCAVE = ((0.1, 0.1), (0.9, 0.2), (0.5, 0.4), (0.8, 0.9), (0.2, 0.8))


def test_what_lies_in_it_against_scikit_image() -> None:
    zone = Zone("door", "c", CONCAVE)
    random = np.random.default_rng(0)
    points = random.uniform(0, 1, (500, 2))
    inside = points_in_poly(points, CONCAVE)
    assert 50 < inside.sum() < 450
    for (x, y), expected in zip(points, inside, strict=True):
        box = np.array([x * 640 - 20, y * 480 - 30, x * 640 + 20, y * 480 + 30], np.float32)
        assert zone.holds(box, 640, 480) is bool(expected)


def test_it_keeps_its_place_at_another_resolution() -> None:
    zone = Zone("door", "c", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    box = np.array([400, 100, 440, 160], np.float32)
    assert zone.holds(box, 640, 480)
    assert zone.holds(box / 2, 320, 240)
    assert not zone.holds(box, 1280, 960)


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        (((0.1, 0.1), (0.9, 0.9)), "2 points"),
        ((), "0 points"),
        (((0, 0), (1, 0), (1, 1.1)), "outside"),
        (((0, 0), (1, 0), (float("nan"), 1)), "outside"),
        (((0, 0), (0.5, 0.5), (1, 1)), "no area"),
        (((0, 0), (1, 1), (1, 0), (0, 1)), "cross"),
    ],
)
def test_what_is_no_polygon(polygon: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Zone("door", "c", polygon)
