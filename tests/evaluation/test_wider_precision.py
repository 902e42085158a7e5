"""WIDER FACE's average precision: cases on paper, and a slow reference that follows the protocol's words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.errors import InputError
from maskgate.evaluation.wider_precision import stretch, wider_average_precision

Picture = tuple[list[list[float]], list[float], list[list[float]], list[bool]]
"""Detections, their scores, faces, and which of these count."""

A, B, FAR = [0.0, 0, 40, 40], [100.0, 0, 140, 40], [300.0, 300, 340, 340]


def of(*pictures: Picture) -> float:
    columns: Any = zip(*pictures, strict=True)
    boxes, scores, faces, counted = columns
    return wider_average_precision(
        [np.array(b, np.float32).reshape(-1, 4) for b in boxes],
        [np.array(s, np.float32) for s in scores],
        [np.array(f, np.float32).reshape(-1, 4) for f in faces],
        [np.array(c, bool) for c in counted],
    )


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        # found, false, found: recall 1/2 at precision 1, then recall 1 at 2/3
        ([([A, FAR, B], [0.9, 0.8, 0.7], [A, B], [True, True])], 1 / 2 + 1 / 2 * 2 / 3),
        # a second detection of a face is a false one too
        ([([A, A, B], [0.9, 0.8, 0.7], [A, B], [True, True])], 1 / 2 + 1 / 2 * 2 / 3),
        # the order in the list is of no importance
        ([([B, A, FAR], [0.7, 0.9, 0.8], [A, B], [True, True])], 1 / 2 + 1 / 2 * 2 / 3),
        # a detection of an ignored face is left out
        ([([A, FAR, B], [0.9, 0.8, 0.7], [A, B, FAR], [True, True, False])], 1.0),
        # a picture without faces is left out, but its scores stretch the others
        ([([A, B], [0.9, 0.7], [A, B], [True, True]), ([FAR], [1.0], [], [])], 1.0),
        # faces of which none counts are not: what belongs to no face is false
        ([([A], [0.8], [A], [True]), ([FAR], [1.0], [B], [False])], 1 / 2),
        # a face that nothing finds
        ([([A], [0.5], [A, B], [True, True])], 1 / 2),
        ([([], [], [A], [True])], 0.0),
        # all scores equal
        ([([A, FAR], [0.3, 0.3], [A], [True])], 1 / 2),
    ],
)
def test_on_paper(pictures: list[Picture], expected: float) -> None:
    assert of(*pictures) == pytest.approx(expected)


def test_the_last_pixel_is_inside() -> None:
    """Two boxes with sides of 9 pixels, 3 apart: 6 / 12 with the last pixel, 5 / 11 without."""
    assert of(([[3, 0, 11, 8]], [0.5], [[0, 0, 8, 8]], [True])) == 1
    assert of(([[4, 0, 12, 8]], [0.5], [[0, 0, 8, 8]], [True])) == 0


def test_there_is_no_second_choice() -> None:
    """The detection overlaps both by more than half, and the ignored face more."""
    near, nearer = [0.0, 0, 40, 48], [0.0, 0, 40, 42]
    assert of(([A], [0.5], [near, nearer], [True, False])) == 0
    assert of(([A], [0.5], [near], [True])) == 1


def test_scores_closer_than_a_thousandth_go_together() -> None:
    """Stretched, the first two have 1 and 0.9996: no threshold lies between them."""
    together = of(([A, FAR, B], [1.0, 0.9996, 0.0], [A, B], [True, True]))
    assert together == pytest.approx(1 / 2 * 2 / 3 + 1 / 2 * 2 / 3)
    assert of(([A, FAR, B], [1.0, 0.99, 0.0], [A, B], [True, True])) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_nothing_counts() -> None:
    assert math.isnan(of(([A], [0.5], [A], [False])))
    assert math.isnan(wider_average_precision([], [], [], []))


def test_as_many_of_each() -> None:
    with pytest.raises(InputError, match="as many pictures"):
        wider_average_precision([np.zeros((0, 4))], [], [], [])


def test_stretched_scores() -> None:
    one, two = stretch([np.array([0.2, 0.6]), np.array([0.4])])
    np.testing.assert_allclose(one, [0, 1])
    np.testing.assert_allclose(two, [0.5])
    assert stretch([np.zeros(0)])[0].shape == (0,)


corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(1, 12), st.integers(1, 12)).map(
    lambda v: [float(v[0]), float(v[1]), float(v[0] + v[2]), float(v[1] + v[3])]
)
found = st.lists(st.tuples(box, st.integers(1, 40).map(lambda v: v / 40)), max_size=8)
picture = st.tuples(found, st.lists(st.tuples(box, st.booleans()), max_size=5)).map(
    lambda v: ([f[0] for f in v[0]], [f[1] for f in v[0]], [g[0] for g in v[1]], [g[1] for g in v[1]])
)


@settings(max_examples=100, deadline=None)
@given(st.lists(picture, min_size=1, max_size=5))
def test_equals_the_slow_reference(pictures: list[Picture]) -> None:
    expected = slowly(pictures)
    got = of(*pictures)
    assert (math.isnan(got) and math.isnan(expected)) or got == pytest.approx(expected)


def slowly(pictures: list[Picture]) -> float:
    """One threshold, one picture, one detection at a time, from the protocol's description."""
    every = [np.float64(np.float32(s)) for p in pictures for s in p[1]]
    total = sum(sum(p[3]) for p in pictures)
    if not total:
        return math.nan
    # for each detection its score, the face that it belongs to or None, and whether that counts
    belongs: list[list[tuple[float, int | None, bool]]] = []
    for boxes, scores, faces, counted in pictures:
        belongs.append([])
        for box, score in zip(boxes, scores, strict=True):
            overlaps = [inclusive_iou(box, face) for face in faces]
            if not faces:
                continue
            best = overlaps.index(max(overlaps))
            low, high = min(every), max(every)
            own = (np.float64(np.float32(score)) - low) / (high - low) if high > low else 1.0
            belongs[-1].append((own, best if overlaps[best] >= 0.5 else None, counted[best]))
    points = []
    for step in range(1, 1001):
        found = called = 0
        for detections in belongs:
            taken = set()
            for own, face, counts in detections:
                if own < 1 - step / 1000:
                    continue
                if face is None or counts:
                    called += 1
                if face is not None and counts:
                    taken.add(face)
            found += len(taken)
        points.append((found / total, found / called if called else 0.0))
    area = before = best_after = 0.0
    envelope = []
    for _, precision in reversed(points):
        best_after = max(best_after, precision)
        envelope.insert(0, best_after)
    for (recall, _), precision in zip(points, envelope, strict=True):
        area += (recall - before) * precision
        before = recall
    return area


def inclusive_iou(a: list[float], b: list[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(w, 0) * max(h, 0)
    return shared / (sum((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)) - shared)
