"""COCO's average precision against pycocotools, and cases on paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskgate.errors import InputError
from maskgate.evaluation.coco_precision import CocoPrecision, coco_precision

Box = tuple[int, int, int, int]
Picture = tuple[list[tuple[Box, float]], list[tuple[Box, bool]]]
"""Boxes as x, y, width, height: detections with scores, faces with whether they are a crowd."""


def of(pictures: list[Picture]) -> CocoPrecision:
    def corners(boxes: list[Box]) -> np.ndarray:
        sizes = np.array(boxes, np.float32).reshape(-1, 4)
        return np.concatenate([sizes[:, :2], sizes[:, :2] + sizes[:, 2:]], 1)

    return coco_precision(
        [corners([d[0] for d in found]) for found, _ in pictures],
        [np.array([d[1] for d in found]) for found, _ in pictures],
        [corners([g[0] for g in faces]) for _, faces in pictures],
        [np.array([g[1] for g in faces], bool) for _, faces in pictures],
    )


A: Box = (0, 0, 40, 40)


def test_on_paper() -> None:
    # one face of 40 × 40; the detection's IoU is 40 / 50 = 0.8: found at 0.5 … 0.8, seven of ten thresholds
    result = of([([((0, 0, 40, 50), 0.9)], [(A, False)])])
    assert (result.ap50, result.ap75) == (1, 1)
    assert (result.ap, result.medium) == (pytest.approx(0.7), pytest.approx(0.7))
    assert math.isnan(result.small)
    assert math.isnan(result.large)


def test_a_false_one_before_the_right_one_halves_the_precision() -> None:
    assert of([([((200, 200, 40, 40), 0.9), (A, 0.8)], [(A, False)])]).ap50 == pytest.approx(0.5)


def test_what_lies_in_a_region_to_ignore_is_no_error() -> None:
    region: Box = (200, 200, 100, 100)
    found = [((210, 210, 40, 40), 0.9), ((220, 220, 40, 40), 0.85), (A, 0.8)]
    assert of([(found, [(A, False), (region, True)])]).ap50 == 1
    assert math.isnan(of([(found, [(region, True)])]).ap)


def test_no_more_than_a_hundred_are_not_cut() -> None:
    faces: list[Box] = [(50 * i, 0, 40, 40) for i in range(150)]
    assert of([([(face, 0.5) for face in faces], [(face, False) for face in faces])]).ap == 1


def test_as_many_of_each() -> None:
    with pytest.raises(InputError, match="as many pictures"):
        coco_precision([np.zeros((0, 4))], [], [], [])


# sides about the limits of the sizes, 32 and 96, and boxes close enough to meet
box = st.tuples(
    st.integers(0, 60), st.integers(0, 60), *(st.sampled_from([8, 16, 31, 32, 33, 64, 95, 96, 100]),) * 2
)
found = st.lists(st.tuples(box, st.integers(1, 20).map(lambda v: v / 20)), max_size=7)
faces = st.lists(st.tuples(box, st.booleans().map(bool)), max_size=5)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(found, faces), min_size=1, max_size=4))
def test_equals_pycocotools(pictures: list[Picture]) -> None:
    expected = official(pictures)
    got = of(pictures)
    ours = [got.ap, got.ap50, got.ap75, got.small, got.medium, got.large]
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), expected, atol=1e-9)


def official(pictures: list[Picture]) -> list[float]:
    """-1 where no face counts, as pycocotools has it."""
    truth, answers = COCO(), COCO()
    images = [{"id": i, "width": 200, "height": 200} for i in range(1, len(pictures) + 1)]
    entries: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (found, faces) in enumerate(pictures, 1):
        for bbox, crowd in faces:
            entries.append(entry(len(entries), image, bbox) | {"iscrowd": int(crowd), "ignore": int(crowd)})
        for bbox, score in found:
            results.append(entry(len(results), image, bbox) | {"iscrowd": 0, "score": score})
    for side, own in ((truth, entries), (answers, results)):
        side.dataset = {"images": images, "categories": [{"id": 1}], "annotations": own}
        side.createIndex()
    judge = COCOeval(truth, answers, "bbox")
    judge.params.maxDets = [1000]
    judge.evaluate()
    judge.accumulate()
    table = judge.eval["precision"][:, :, 0, :, 0]  # (T, R, areas)
    rows = [table[..., 0], table[:1, :, 0], table[5:6, :, 0], *(table[..., k] for k in (1, 2, 3))]
    return [float(row.mean()) if row.max() > -1 else -1.0 for row in rows]


def entry(number: int, image: int, bbox: Box) -> dict[str, Any]:
    # ids count from 1: pycocotools takes 0 for "no match"
    return {
        "id": number + 1, "image_id": image, "category_id": 1, "bbox": list(bbox), "area": bbox[2] * bbox[3]
    }  # fmt: skip
