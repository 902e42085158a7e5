from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgate.detection.boxes import area, intersection, iou, non_maximum_suppression, share_of_smaller

coordinate = st.integers(-20, 60)
box = st.tuples(coordinate, coordinate, coordinate, coordinate)


def pixels(box: np.ndarray) -> set[tuple[int, int]]:
    """Unit squares that a box of whole numbers covers."""
    x1, y1, x2, y2 = (int(v) for v in box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


def array(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


@given(st.lists(box, max_size=4), st.lists(box, max_size=4))
def test_overlap_by_counting_squares(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> None:
    one, two = array(a), array(b)
    squares, others = [pixels(v) for v in one], [pixels(v) for v in two]
    assert area(one).tolist() == [len(s) for s in squares]
    assert intersection(one, two).shape == iou(one, two).shape == (len(a), len(b))
    for i, s in enumerate(squares):
        for j, t in enumerate(others):
            if s and t:  # inverted boxes cover nothing but may reach over another
                assert intersection(one, two)[i, j] == len(s & t)
                assert iou(one, two)[i, j] == pytest.approx(len(s & t) / len(s | t))
                smaller = min(len(s), len(t))
                assert share_of_smaller(one, two)[i, j] == pytest.approx(len(s & t) / smaller)


def test_empty_boxes_overlap_nothing() -> None:
    flat = array([(5, 5, 5, 9), (7, 7, 7, 7)])
    assert (iou(flat, array([(0, 0, 20, 20)])) == 0).all()
    assert (iou(flat, flat) == 0).all()


def slow_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Best first; a box stays unless one that stays overlaps it by more than the threshold."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(float(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0]) <= threshold for k in kept):
            kept.append(i)
    return kept


@given(
    st.lists(st.tuples(box, st.sampled_from([0.1, 0.5, 0.7, 0.9])), max_size=14),
    st.sampled_from([0.0, 0.3, 0.4, 0.7, 1.0]),
)
def test_suppression_against_a_plain_version(
    faces: list[tuple[tuple[int, int, int, int], float]], threshold: float
) -> None:
    boxes = array([b for b, _ in faces])
    scores = np.array([s for _, s in faces], np.float32)
    kept = non_maximum_suppression(boxes, scores, threshold)
    assert kept.dtype == np.intp
    assert kept.tolist() == slow_suppression(boxes, scores, threshold)


def test_suppression_against_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(5)
    corner, sides = rng.uniform(0, 200, (300, 2)), rng.uniform(10, 60, (300, 2))
    scores = (1 + rng.permutation(300)).astype(np.float32) / 300  # no two alike
    boxes = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    rectangles = np.concatenate([corner, sides], 1).tolist()
    wanted = cv2.dnn.NMSBoxes(rectangles, scores.tolist(), 0.0, 0.4)
    assert non_maximum_suppression(boxes, scores, 0.4).tolist() == np.asarray(wanted).ravel().tolist()


def test_equal_scores_keep_their_order() -> None:
    boxes = array([(0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)])
    assert non_maximum_suppression(boxes, np.full(3, 0.5, np.float32), 0.4).tolist() == [0, 2]


def test_suppression_by_the_share_of_the_smaller_box() -> None:
    boxes = array([(0, 0, 40, 40), (10, 10, 20, 20), (30, 30, 50, 50)])
    scores = np.array([0.5, 0.9, 0.8], np.float32)
    # the small box lies in the large one, which has a quarter of the third
    assert non_maximum_suppression(boxes, scores, 0.7).tolist() == [1, 2, 0]
    assert non_maximum_suppression(boxes, scores, 0.7, share_of_smaller).tolist() == [1, 2]
    assert non_maximum_suppression(boxes, scores, 0.2, share_of_smaller).tolist() == [1, 2]
    assert non_maximum_suppression(boxes[[0, 2]], scores[[0, 2]], 0.3, share_of_smaller).tolist() == [1, 0]
