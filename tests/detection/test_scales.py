from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.detection.protocol import LabelledFaces
from maskgate.detection.scales import join_views, view_scale
from maskgate.types import Faces

POLICY: dict[str, Any] = {
    "long_side": 1280, "reduce": 2.0, "longest": 2560, "enlarge_to": 480, "enlarge": 1.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("longer", "seen"),
    [
        (1, 1.5),
        (200, 300),  # by no more than the factor
        (320, 480),
        (400, 480),
        (480, 480),
        (640, 640),
        (1280, 1280),
        (1281, 1280),
        (1920, 1280),
        (2560, 1280),
        (3000, 1500),  # by no more than half
        (4000, 2000),
        (5120, 2560),
        (9000, 2560),  # but never more than this
    ],
)
def test_longer_side_that_the_network_sees(longer: int, seen: float) -> None:
    for width, height in ((longer, 1), (1, longer), (longer, longer)):
        assert longer * view_scale(width, height, **POLICY) == pytest.approx(seen)


@given(longer=st.integers(1, 40_000))
def test_a_larger_picture_is_not_seen_smaller(longer: int) -> None:
    one, more = (n * view_scale(n, 1, **POLICY) for n in (longer, longer + 1))
    assert more >= one - 1e-6
    assert one <= max(1.5 * longer, 2560)


def test_policy_can_be_switched_off() -> None:
    plain = POLICY | {"enlarge_to": 0, "reduce": 1e9}
    for longer, seen in ((100, 100), (4000, 1280)):
        assert longer * view_scale(longer, 10, **plain) == pytest.approx(seen)


def faces(*rows: tuple[float, float, float, float, float]) -> LabelledFaces:
    """From boxes and a score each; landmarks at the box's first corner and its sides in place of
    probabilities, to follow them."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    found = Faces(table[:, :4], table[:, 4], np.repeat(table[:, None, :2], 5, 1))
    return LabelledFaces(found, table[:, 1:4])


def boxes_of(joined: LabelledFaces) -> list[list[float]]:
    found = joined.faces
    np.testing.assert_array_equal(found.landmarks[:, 0], found.boxes[:, :2])
    np.testing.assert_array_equal(joined.probabilities, found.boxes[:, 1:])
    assert (np.diff(found.scores) <= 0).all()
    return found.boxes.tolist()


SMALL = (0, 0, 50, 60, 0.9)
LARGE = (100, 100, 500, 480, 0.8)


def test_each_view_is_asked_about_its_own_sizes() -> None:
    too_large = (400, 0, 800, 400, 0.7)
    too_small = (700, 700, 750, 750, 0.99)
    joined = join_views(faces(SMALL, too_large), faces(too_small, LARGE), 256, 0.4)
    assert boxes_of(joined) == [list(SMALL[:4]), list(LARGE[:4])]


def test_fragments_of_a_large_face_go() -> None:
    eye = (150, 150, 230, 220, 0.95)
    half_out = (60, 100, 160, 200, 0.9)  # 6/10 of it within the large face
    beside = (20, 100, 120, 200, 0.85)  # 2/10 of it
    joined = join_views(faces(eye, half_out, beside), faces(LARGE), 256, 0.4)
    assert boxes_of(joined) == [list(beside[:4]), list(LARGE[:4])]


def test_a_face_near_the_limit_that_both_views_see_counts_once() -> None:
    first, again = (0, 0, 250, 250, 0.7), (4, 4, 248, 252, 0.9)
    assert boxes_of(join_views(faces(first), faces(again), 256, 0.4)) == [list(again[:4])]
    # from three quarters of the limit on the close-up's faces count; below, the first view's stay
    less = (0, 0, 191, 150, 0.99)
    assert boxes_of(join_views(faces(first), faces(less), 256, 0.4)) == [list(first[:4])]


def test_of_two_large_faces_in_one_place_the_better_stays() -> None:
    other = (110, 110, 505, 470, 0.85)
    assert boxes_of(join_views(faces(), faces(other, LARGE), 256, 0.4)) == [list(other[:4])]


def test_views_without_faces() -> None:
    assert boxes_of(join_views(faces(), faces(), 256, 0.4)) == []
    assert boxes_of(join_views(faces(SMALL), faces(), 256, 0.4)) == [list(SMALL[:4])]
    assert boxes_of(join_views(faces(), faces(LARGE), 256, 0.4)) == [list(LARGE[:4])]
    assert boxes_of(join_views(faces(LARGE), faces(), 256, 0.4)) == []
