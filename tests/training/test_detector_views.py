from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.training.detector_views import GREY, Sample, keep_seen, mirror, tile, turn_about, turn_boxes


def sample(side: int, colour: int, *boxes: list[float], ignore: list[list[float]] | None = None) -> Sample:
    own = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.stack([own[:, :2] + k for k in range(5)], 1)
    return Sample(
        np.full((side, side, 3), colour, np.uint8), own, points, np.ones(len(own), np.bool_),
        np.full(len(own), colour), np.array(ignore or [], np.float32).reshape(-1, 4),
    )  # fmt: skip


def test_turned_boxes_by_hand() -> None:
    boxes = np.array([[10.0, 20, 30, 80]])
    quarter = np.array([[0.0, -1, 100], [1, 0, 0]])  # (x, y) goes to (100 - y, x)
    for roundness in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(turn_boxes(boxes, quarter, roundness), [[20, 10, 80, 30]])
    # a square of side 2 turned by 45°: side √8 as a rectangle, still 2 as a circle
    r = np.sqrt(0.5)
    eighth = np.array([[r, -r, 0], [r, r, 0]])
    square = np.array([[-1.0, -1, 1, 1]])
    for roundness, half in ((0.0, np.sqrt(2)), (1.0, 1.0), (0.5, (1 + np.sqrt(2)) / 2)):
        wanted = [[-half, -half, half, half]]
        np.testing.assert_allclose(turn_boxes(square, eighth, roundness), wanted)


@pytest.mark.parametrize("degrees", [90.0, -90.0, 30.0])
def test_turn_about_a_point(degrees: float) -> None:
    turn = turn_about(50.0, degrees)
    middle, right = turn @ [50, 50, 1], turn @ [60, 50, 1]
    assert middle == pytest.approx([50, 50])
    radians = np.deg2rad(degrees)  # y points down: clockwise as seen
    assert right == pytest.approx([50 + 10 * np.cos(radians), 50 + 10 * np.sin(radians)])


def test_faces_cut_off_or_tiny_become_ignored_regions() -> None:
    side = 200
    rng = np.random.default_rng(2)
    image = np.zeros((side, side, 3), np.uint8)
    kept = dropped = 0
    for _ in range(60):
        corner, size = rng.uniform(-80, side, (6, 2)), np.exp(rng.uniform(0.5, 4.6, (6, 2)))
        boxes = np.concatenate([corner, corner + size], 1)
        points = rng.uniform(0, side, (6, 5, 2))
        regions = np.array([[150.0, 150, 260, 170], [210, 0, 220, 10]])
        sample = keep_seen(image, boxes, points, np.ones(6, np.bool_), np.arange(6), regions, 7.0)
        faces, known, places, ignored = [], [], [], [[150.0, 150, 200, 170]]
        for place, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            cut = [max(x1, 0.0), max(y1, 0.0), min(x2, side), min(y2, side)]
            w, h = max(cut[2] - cut[0], 0.0), max(cut[3] - cut[1], 0.0)
            share = w * h / ((x2 - x1) * (y2 - y1))
            if share >= 0.6 and max(w, h) >= 7 and min(w, h) >= 3:
                faces.append(cut)
                known.append(share > 0.8)
                places.append(place)
            elif share > 0.05:
                ignored.append(cut)
        assert sample.boxes == pytest.approx(np.array(faces).reshape(-1, 4), abs=1e-4)
        assert sample.has_landmarks.tolist() == known
        assert sample.labels.tolist() == places
        assert sample.ignore == pytest.approx(np.array(ignored), abs=1e-4)
        kept, dropped = kept + len(faces), dropped + len(ignored) - 1
    assert min(kept, dropped) > 50


def test_tiles_by_hand() -> None:
    parts = [
        sample(30, 1, [1, 2, 11, 12]), sample(30, 2), sample(30, 3, [0, 0, 5, 5], ignore=[[6, 6, 9, 9]]),
        sample(30, 4, [2, 3, 4, 5]),
    ]  # fmt: skip
    whole = tile(parts, 61)
    assert whole.image.shape == (61, 61, 3)
    assert whole.image[[0, 0, 30, 59], [0, 30, 0, 59], 0].tolist() == [1, 2, 3, 4]
    assert (whole.image[60] == GREY).all()
    assert (whole.image[:, 60] == GREY).all()
    assert whole.boxes.tolist() == [[1, 2, 11, 12], [0, 30, 5, 35], [32, 33, 34, 35]]
    assert whole.landmarks[2].tolist() == [[32 + k, 33 + k] for k in range(5)]
    assert whole.labels.tolist() == [1, 3, 4]
    assert whole.ignore.tolist() == [[6, 36, 9, 39]]


def test_mirrored_by_hand() -> None:
    one = sample(20, 7, [1, 2, 6, 12], ignore=[[0, 0, 3, 4]])
    one.image[5, 2] = 99
    other = mirror(one)
    assert other.boxes.tolist() == [[14, 2, 19, 12]]
    assert other.ignore.tolist() == [[17, 0, 20, 4]]
    assert other.image[5, 17].tolist() == [99] * 3
    # the left eye is the other one now: points lay at (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)
    assert other.landmarks[0].tolist() == [[18, 3], [19, 2], [17, 4], [15, 6], [16, 5]]
    back = mirror(other)
    assert np.array_equal(back.landmarks, one.landmarks)
    assert np.array_equal(back.image, one.image)
