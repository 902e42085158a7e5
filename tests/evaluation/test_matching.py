"""Matching of detections to faces: by hand, and against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskgate.evaluation.matching import match_faces, short_side


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def no_crowd(n: int) -> np.ndarray:
    return np.zeros(n, np.bool_)


def scores(n: int) -> np.ndarray:
    """Falling."""
    return np.linspace(0.9, 0.5, n, dtype=np.float32)


def test_one_face_is_found_once() -> None:
    face = boxes((0, 0, 40, 40))
    matching = match_faces(boxes((2, 0, 42, 40), (0, 0, 40, 40)), scores(2), face, no_crowd(1))
    assert matching.truth.tolist() == [0, -1]  # the better score, not the better overlap
    assert matching.false.tolist() == [False, True]
    assert matching.found.tolist() == [True]


def test_score_decides_who_chooses_first() -> None:
    found = boxes((0, 0, 40, 40), (2, 0, 42, 40))
    matching = match_faces(found, np.array([0.5, 0.9], np.float32), boxes((0, 0, 40, 40)), no_crowd(1))
    assert matching.truth.tolist() == [-1, 0]


def test_a_detection_takes_the_face_that_it_overlaps_most() -> None:
    faces = boxes((0, 0, 40, 40), (10, 0, 50, 40))
    matching = match_faces(boxes((9, 0, 49, 40), (0, 0, 40, 40)), scores(2), faces, no_crowd(2))
    assert matching.truth.tolist() == [1, 0]


@pytest.mark.parametrize(("shift", "found"), [(17, True), (18, False)])
def test_threshold_of_overlap(shift: float, found: bool) -> None:
    # IoU of equal boxes of width 40 shifted by s is (40 - s) / (40 + s): .404 at 17, .379 at 18
    matching = match_faces(boxes((shift, 0, shift + 40, 40)), scores(1), boxes((0, 0, 40, 40)), no_crowd(1))
    assert matching.found.tolist() == [found]
    assert matching.false.tolist() == [not found]


@pytest.mark.parametrize(("side", "counted"), [(19.9, False), (20, True)])
def test_small_faces_are_neither_missed_nor_false(side: float, counted: bool) -> None:
    face = boxes((100, 100, 140, 100 + side))
    unseen = match_faces(boxes(), scores(0), face, no_crowd(1))
    assert unseen.counted.tolist() == [counted]
    seen = match_faces(boxes((100, 100, 140, 122)), scores(1), face, no_crowd(1))
    assert seen.found.tolist() == [counted]
    assert seen.ignored.tolist() == [not counted]
    assert not seen.false.any()


def test_side_of_twenty_survives_float32() -> None:
    x = np.arange(0, 4000, 7.3)
    faces = np.stack([x, x, x + 20, x + 40], 1).astype(np.float32)
    assert (faces[:, 2] - faces[:, 0] < 20).any()  # what it is about
    assert match_faces(boxes(), scores(0), faces, no_crowd(len(x))).counted.all()
    assert short_side(faces).min() == 20


def test_a_small_detection_that_matches_nothing_is_not_false() -> None:
    found = boxes((200, 200, 215, 240), (200, 0, 240, 40))
    matching = match_faces(found, scores(2), boxes((0, 0, 40, 40)), no_crowd(1))
    assert matching.false.tolist() == [False, True]


def test_a_small_detection_may_find_a_face() -> None:
    matching = match_faces(boxes((0, 0, 19, 24)), scores(1), boxes((0, 0, 22, 24)), no_crowd(1))
    assert matching.found.all()
    assert not matching.ignored.any()


def test_evaluated_faces_go_before_ignored_ones() -> None:
    # the small face overlaps more, IoU .95 against .79
    faces = boxes((0, 0, 40, 19), (0, 0, 40, 25.2))
    detection = boxes((0, 0, 40, 20))
    matching = match_faces(detection, scores(1), faces, no_crowd(2))
    assert matching.truth.tolist() == [1]
    # a second one has only the small face left
    again = match_faces(np.repeat(detection, 2, 0), scores(2), faces, no_crowd(2))
    assert again.truth.tolist() == [1, -1]
    assert again.ignored.tolist() == [False, True]


def test_a_crowd_takes_any_number() -> None:
    found = boxes((0, 0, 30, 30), (50, 0, 80, 30), (150, 0, 190, 30), (300, 0, 340, 40))
    matching = match_faces(found, scores(4), boxes((0, 0, 170, 60)), np.array([True]))
    assert not matching.counted.any()
    assert matching.false.tolist() == [False, False, False, True]  # the third lies in it by half


def test_nothing_at_all() -> None:
    matching = match_faces(boxes(), scores(0), boxes(), no_crowd(0))
    assert matching.truth.shape == matching.counted.shape == (0,)


def _random_scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    n = r.integers(1, 12)
    corner, side = r.uniform(0, 150, (n, 2)), r.uniform(10, 60, (n, 2))
    faces = np.concatenate([corner, corner + side], 1)
    # detections: faces jittered, some twice, and some anywhere
    near = faces[r.integers(0, n, r.integers(0, 15))]
    near = near + r.normal(0, 5, near.shape)
    far = r.uniform(0, 150, (r.integers(0, 4), 2))
    found = np.concatenate([near, np.concatenate([far, far + r.uniform(10, 60, far.shape)], 1)])
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 5)
    score = r.permutation(np.linspace(0.1, 0.9, len(found)))
    return found.astype(np.float32), score.astype(np.float32), faces.astype(np.float32), r.random(n) < 0.15


@pytest.mark.parametrize("seed", range(60))
def test_equals_pycocotools(seed: int) -> None:
    found, score, faces, crowd = _random_scene(seed)
    if not len(found):
        found, score = boxes((0, 0, 5, 5)), scores(1)
    matching = match_faces(found, score, faces, crowd)
    truth, ignored, counted = _coco(found, score, faces, crowd)
    assert matching.truth.tolist() == truth.tolist()
    assert matching.ignored.tolist() == ignored.tolist()
    assert matching.counted.tolist() == counted.tolist()


def _coco(
    found: np.ndarray, score: np.ndarray, faces: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pycocotools' matching; its range of areas is used on the shorter sides."""

    def rows(array: np.ndarray) -> list[dict[str, object]]:
        corners = array.astype(np.float64)
        return [
            {
                "id": i + 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                "area": min(b[2] - b[0], b[3] - b[1]),
                "iscrowd": 0,
            }
            for i, b in enumerate(corners.tolist())
        ]

    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [row | {"iscrowd": int(c)} for row, c in zip(rows(faces), crowd, strict=True)],
    }
    truth.createIndex()
    detections = COCO()
    detections.dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [row | {"score": float(s)} for row, s in zip(rows(found), score, strict=True)],
    }
    detections.createIndex()
    run = COCOeval(truth, detections, "bbox")
    run.params.iouThrs = np.array([0.4])
    run.params.areaRng, run.params.areaRngLbl = [[20, 1e9]], ["all"]
    run.evaluate()
    result = run.evalImgs[0]
    matched = np.array(result["dtMatches"][0], np.int64) - 1  # 0: none
    outside = np.array(result["dtIgnore"][0], np.bool_)
    places = np.array(result["dtIds"]) - 1
    truth_index, ignored = np.empty(len(found), np.int64), np.empty(len(found), np.bool_)
    truth_index[places], ignored[places] = np.where(outside, -1, matched), outside
    counted = np.ones(len(faces), np.bool_)
    counted[np.array(result["gtIds"], np.int64) - 1] = ~np.array(result["gtIgnore"], np.bool_)
    return truth_index, ignored, counted
