from __future__ import annotations

import math

import numpy as np
import pytest

from maskgate.detection.anchors import decode_boxes, decode_landmarks, make_anchors
from maskgate.training.detector_targets import BACKGROUND, FACE, IGNORED, AnchorTargets, match_anchors

SIZES = ((10, 20), (32, 64), (128, 256))
ANCHORS = make_anchors(96, 128, SIZES)
NOTHING = np.zeros((0, 4), np.float32)


def corners(anchor: np.ndarray) -> list[float]:
    x, y, w, h = (float(v) for v in anchor)
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def shared(a: list[float], b: list[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    return max(w, 0.0) * max(h, 0.0)


def overlap(a: list[float], b: list[float]) -> float:
    both = shared(a, b)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def slow(
    boxes: list[list[float]], ignore: list[list[float]], threshold: float
) -> tuple[list[int], list[int | None]]:
    """Kind and face of each anchor, by plain loops."""
    kind, owner = [], []
    for anchor in ANCHORS:
        a = corners(anchor)
        best, which = 0.0, None
        for f, box in enumerate(boxes):
            if overlap(a, box) > best:
                best, which = overlap(a, box), f
        if which is not None and best >= threshold:
            kind.append(FACE)
            owner.append(which)
            continue
        inside = any(shared(a, region) >= 0.5 * (a[2] - a[0]) * (a[3] - a[1]) for region in ignore)
        kind.append(IGNORED if inside else BACKGROUND)
        owner.append(None)
    wanted: dict[int, tuple[float, int]] = {}
    for f, box in enumerate(boxes):
        scores = [overlap(corners(a), box) for a in ANCHORS]
        place = max(range(len(scores)), key=scores.__getitem__)
        if place not in wanted or scores[place] > wanted[place][0]:
            wanted[place] = scores[place], f
    for place, (_, f) in wanted.items():
        kind[place], owner[place] = FACE, f
    return kind, owner


def match(boxes: np.ndarray, ignore: np.ndarray = NOTHING, threshold: float = 0.35) -> AnchorTargets:
    points = np.stack(
        [boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) * s for s in (0.3, 0.4, 0.5, 0.6, 0.7)], 1
    )
    has = np.arange(len(boxes)) % 2 == 0
    return match_anchors(ANCHORS, boxes, points.astype(np.float32), has, ignore, threshold)


@pytest.mark.parametrize("seed", range(12))
def test_equals_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def draw(count: int) -> np.ndarray:
        side = np.exp(rng.uniform(math.log(4), math.log(90), (count, 2)))
        corner = rng.uniform(-5, 1, (count, 2)) + rng.uniform(0, 1, (count, 2)) * [100, 70]
        return np.concatenate([corner, corner + side], 1).astype(np.float32)

    boxes, ignore = draw(int(rng.integers(1, 9))), draw(int(rng.integers(0, 4)))
    threshold = float(rng.choice([0.2, 0.35, 0.5]))
    targets = match(boxes, ignore, threshold)
    kind, owner = slow(boxes.tolist(), ignore.tolist(), threshold)
    assert targets.kind.tolist() == kind
    decoded = decode_boxes(targets.boxes, ANCHORS)
    points = decode_landmarks(targets.landmarks, ANCHORS)
    assert targets.faces.tolist() == [-1 if f is None else f for f in owner]
    for a, f in enumerate(owner):
        if f is not None:
            assert decoded[a] == pytest.approx(boxes[f], abs=2e-3)
            assert points[a][2] == pytest.approx((boxes[f, :2] + boxes[f, 2:]) / 2, abs=2e-3)
            assert targets.has_landmarks[a] == (f % 2 == 0)
        else:
            assert not targets.has_landmarks[a]


def test_small_face_keeps_its_best_anchor() -> None:
    tiny = np.array([[41, 41, 45, 45]], np.float32)  # IoU 0.16 at best
    targets = match(tiny)
    assert (targets.kind == FACE).sum() == 1
    place = int(targets.kind.argmax())
    assert ANCHORS[place].tolist() == [44, 44, 10, 10]


def test_better_face_wins_the_anchor_that_two_want() -> None:
    # both lie in the anchor of 10 pixels at (44, 44); the second fills more of it
    boxes = np.array([[39, 39, 43.9, 43.9], [40, 40, 48, 48]], np.float32)
    for order in ([0, 1], [1, 0]):
        targets = match(boxes[order])
        place = int(np.flatnonzero((ANCHORS == [44, 44, 10, 10]).all(1))[0])
        assert decode_boxes(targets.boxes, ANCHORS)[place] == pytest.approx([40, 40, 48, 48], abs=1e-3)


def test_no_face() -> None:
    targets = match(NOTHING)
    assert set(targets.kind.tolist()) == {BACKGROUND}
    assert targets.kind.dtype == np.int8
    assert (targets.boxes.shape, targets.landmarks.shape) == ((len(ANCHORS), 4), (len(ANCHORS), 10))


def test_face_inside_an_ignored_region_is_learnt() -> None:
    everything = np.array([[0, 0, 128, 96]], np.float32)
    face = np.array([[34, 34, 54, 54]], np.float32)
    targets = match(face, everything)
    assert (targets.kind == FACE).any()
    small = ANCHORS[:, 2] == 10  # larger ones reach out of the picture, by more than half
    assert set(targets.kind[small].tolist()) <= {FACE, IGNORED}
