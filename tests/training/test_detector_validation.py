from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.training.detector_data import LabelledPicture
from maskgate.training.detector_validation import detector_figures, draw_masks
from maskgate.training.occlusion.paint import Painter
from maskgate.types import LABELS, Faces, Label

POINTS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def labelled(
    boxes: list[list[float]], labels: list[Label], points: list[np.ndarray] | None = None,
    path: Path = Path("a.png"), ignore: list[list[float]] | None = None,
) -> LabelledPicture:  # fmt: skip
    n = len(boxes)
    return LabelledPicture(
        path, np.array(boxes, np.float32).reshape(n, 4),
        np.array(points if points else np.zeros((n, 5, 2)), np.float32).reshape(n, 5, 2),
        np.full(n, points is not None), np.array(ignore or [], np.float32).reshape(-1, 4),
        np.array([LABELS.index(label) for label in labels], np.int64),
    )  # fmt: skip


def found(boxes: list[list[float]], points: list[np.ndarray] | None = None) -> Faces:
    n = len(boxes)
    return Faces(
        np.array(boxes).reshape(n, 4), np.linspace(1, 0.9, n),
        np.array(points if points else np.zeros((n, 5, 2))).reshape(n, 5, 2),
    )  # fmt: skip


def test_figures_by_hand() -> None:
    mask, bare, wrong = Label.MASK, Label.NO_MASK, Label.INCORRECT
    pictures = [
        labelled([[0, 0, 50, 50], [100, 0, 150, 50], [200, 0, 250, 50]], [mask, bare, wrong]),
        labelled([[0, 0, 50, 50], [100, 0, 110, 10]], [mask, bare], ignore=[[200, 0, 260, 60]]),
    ]
    answers = [
        found([[1, 0, 51, 50], [205, 0, 255, 50], [400, 0, 450, 50]]),  # one bare face missed, one false
        found([[205, 5, 250, 50], [300, 0, 310, 10]]),  # the masked one missed; the small ones do not count
    ]
    figures = detector_figures(answers, pictures)
    assert figures["recall"] == pytest.approx(2 / 4)
    assert figures["recall_mask"] == pytest.approx(1 / 2)
    assert figures["recall_no_mask"] == 0
    assert figures["false_per_picture"] == pytest.approx(1 / 2)
    assert figures["landmark_error"] == figures["mouth_error"] == 0  # nobody knows any


def test_landmarks_by_hand() -> None:
    picture = labelled([[20, 20, 80, 100]], [Label.MASK], [POINTS])
    off = POINTS + np.array([[4, 0], [0, 4], [0, 0], [0, 8], [-12, 0]], np.float32)
    figures = detector_figures([found([[20, 20, 80, 100]], [off])], [picture])
    assert figures["landmark_error"] == pytest.approx((4 + 4 + 0 + 8 + 12) / 5 / 40)  # eyes 40 apart
    assert figures["mouth_error"] == pytest.approx((8 + 12) / 2 / 40)
    profile = POINTS.copy()
    profile[1] = profile[0] + 1
    picture = labelled([[20, 20, 80, 100]], [Label.MASK], [profile])
    figures = detector_figures([found([[20, 20, 80, 100]], [profile + 4])], [picture])
    assert figures["mouth_error"] == pytest.approx(np.hypot(4, 4) / (0.2 * 80))


def test_nothing_to_judge_by() -> None:
    assert set(detector_figures([], []).values()) == {0.0}


class TestDrawnMasks:
    def pictures(self, folder: Path) -> list[LabelledPicture]:
        image = np.full((960, 720, 3), 150, np.uint8)
        cv2.imwrite(str(folder / "a.png"), image)
        face = [100.0, 100, 300, 380]
        points = POINTS * 4
        path = folder / "a.png"
        return [
            labelled([face], [Label.NO_MASK], [points], path, ignore=[[400, 0, 500, 100]]),
            labelled([face], [Label.MASK], [points], path),  # has one
            labelled([face], [Label.NO_MASK], None, path),  # nobody knows where
            labelled([], [], None, path),
            labelled([face, [600, 600, 630, 640]], [Label.NO_MASK] * 2, [points] * 2, path),  # too small
            labelled([face], [Label.NO_MASK], [points], path),
        ]

    def test_only_on_bare_faces_that_are_large_enough(self, tmp_path: Path) -> None:
        drawn = draw_masks(self.pictures(tmp_path), Painter(), 1)
        assert len(drawn) == 2
        one = drawn[0]
        assert one.image.shape == (480, 360, 3)  # half
        assert one.faces.boxes.tolist() == [[50, 50, 150, 190]]
        assert one.faces.ignore.tolist() == [[200, 0, 250, 50]]
        assert one.faces.landmarks[0] == pytest.approx(POINTS * 2)
        assert one.faces.labels.tolist() == [LABELS.index(Label.MASK)]
        changed = (one.image != 150).any(2)
        x, y = (POINTS[3:] * 2).mean(0).astype(int)
        assert changed[y, x]  # a mask over the mouth
        assert not changed[:40].any()
        assert not changed[300:].any()

    def test_always_the_same(self, tmp_path: Path) -> None:
        pictures = self.pictures(tmp_path)
        first, second, other = (draw_masks(pictures, Painter(), seed) for seed in (1, 1, 2))
        assert np.array_equal(first[0].image, second[0].image)
        assert not np.array_equal(first[0].image, other[0].image)
        assert not np.array_equal(first[0].image, first[1].image)
        assert len(draw_masks(pictures, Painter(), 1, limit=1)) == 1
