"""Figures of a detector: a case worked out by hand, and what ``evaluate scenes`` says of the same faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.evaluation.asking import Answers, Protocol
from maskgate.evaluation.coco import Scene
from maskgate.evaluation.face_pictures import UNKNOWN, FacePicture, without_landmarks
from maskgate.evaluation.face_sets import FaceSet
from maskgate.evaluation.faces import score_faces
from maskgate.evaluation.scenes import score_scenes
from maskgate.types import AVERAGE_LANDMARKS, Faces, Verdicts


def square(x: float, y: float, side: float) -> list[float]:
    return [x, y, x + side, y + side]


A, B, SMALL, CROWD = square(0, 0, 100), square(200, 0, 40), square(300, 0, 12), square(400, 0, 80)


def points_in(boxes: np.ndarray) -> np.ndarray:
    """An average face's landmarks in ``(N, 4)`` boxes."""
    return boxes[:, None, :2] + AVERAGE_LANDMARKS * (boxes[:, 2:] - boxes[:, :2])[:, None]


def picture(
    boxes: list[list[float]], labels: list[int], ignore: list[bool], *, landmarks: bool = True
) -> FacePicture:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = points_in(array) if landmarks else without_landmarks(len(array))
    return FacePicture(Path("x.jpg"), array, points, np.array(ignore, bool), np.array(labels, np.int64))


def found(*rows: tuple[list[float], float]) -> Faces:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Faces(boxes, np.array([row[1] for row in rows], np.float32), points_in(boxes))


def answers(own: list[Faces], ranked: list[Faces] | None = None) -> Answers:
    return Answers(own, ranked or own, [1.0, 3.0][: len(own)], [20.0, 10.0][: len(own)])


def test_on_paper() -> None:
    pictures = [
        picture([A, B, SMALL, CROWD], [0, 1, UNKNOWN, 1], [False, False, False, True]),
        picture([A], [2], [False], landmarks=False),
    ]
    # A is found 10 pixels to the right, B is missed, SMALL is found; one false one in each picture
    low = (square(500, 500, 50), 0.6), (square(410, 10, 40), 0.55)
    first = found((square(10, 0, 100), 0.9), (SMALL, 0.7), *low)
    second = found((A, 0.8), (square(500, 0, 50), 0.75))
    report = score_faces(FaceSet("COCO", pictures), answers([first, second]), Protocol())
    assert (report.kind, report.pictures, report.faces) == ("COCO", 2, 3)
    assert report.face_recall == pytest.approx(2 / 3)
    assert report.false_faces_per_image == 1.0
    # by score: a hit, another, and then nothing but false and ignored ones
    assert report.recall_at_false_faces == pytest.approx(
        {"0.1": 2 / 3, "0.3": 2 / 3, "0.5": 2 / 3, "1": 2 / 3}
    )
    assert report.faces_by_size == {
        "0-10": 0, "10-20": 1, "20-32": 0, "32-64": 1, "64-128": 2, "128-256": 0, "256+": 0
    }  # fmt: skip
    assert report.recall_by_size["10-20"] == 1
    assert report.recall_by_size["32-64"] == 0
    assert report.recall_by_size["64-128"] == 1
    assert math.isnan(report.recall_by_size["256+"])
    assert report.faces_by_class == {"mask": 1, "no_mask": 1, "incorrect": 1}
    assert report.recall_by_class == {"mask": 1, "no_mask": 0, "incorrect": 1}
    # A's eyes are 40 pixels apart and all its points off by 10; SMALL's are right
    assert report.landmarks["faces"] == 2
    assert report.landmarks["mean"] == pytest.approx((10 / 40 + 0) / 2)
    assert report.landmarks["failed"] == 0.5
    assert report.landmarks_by_class == {
        "mask": pytest.approx({"faces": 1, "mean": 0.25, "median": 0.25, "failed": 1})
    }
    assert report.milliseconds == {"read": 2.0, "detect": 15.0, "detect_p90": 19.0}
    # by score: right, right, false, right, false, ignored; of four faces: recall 1/4, 1/2 at 1, 3/4 at 3/4
    assert report.wider_ap == {"all": pytest.approx(1 / 4 + 1 / 4 + 1 / 4 * 3 / 4)}
    assert report.coco_ap["ap50"] == pytest.approx((51 + 25 * 3 / 4) / 101)


def test_average_precision_is_of_the_ranked_faces_and_recall_of_the_others() -> None:
    pictures = [picture([A, B], [0, 0], [False, False])]
    own, low = found((A, 0.9)), found((A, 0.9), (B, 0.1))
    report = score_faces(FaceSet("COCO", pictures), answers([own], [low]), Protocol())
    assert report.face_recall == 0.5
    assert report.recall_at_false_faces["0.1"] == 1
    assert report.wider_ap["all"] == report.coco_ap["ap"] == 1


def test_subsets_have_their_own_precision() -> None:
    pictures = [picture([A, B], [UNKNOWN] * 2, [False, False])]
    subsets = {"easy": [np.array([True, False])], "hard": [np.array([True, True])]}
    report = score_faces(FaceSet("WIDER FACE", pictures, subsets), answers([found((A, 0.9))]), Protocol())
    assert report.wider_ap == {"easy": 1.0, "hard": 0.5, "all": 0.5}
    assert (report.faces_by_class, report.landmarks_by_class) == ({}, {})


def test_recall_and_false_faces_are_those_of_evaluate_scenes() -> None:
    rng = np.random.default_rng(5)
    pictures, scenes, own, verdicts = [], [], [], []
    for _ in range(30):
        corner, side = rng.uniform(0, 300, (6, 2)), rng.uniform(12, 80, (6, 1))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        labels, ignore = rng.integers(0, 3, 6), rng.random(6) < 0.2
        seen = np.concatenate(
            [boxes[:4] + rng.normal(0, 5, (4, 4)), rng.uniform([0, 0, 90, 90], [90, 90, 180, 180], (2, 4))]
        )
        detected = Faces(seen, np.sort(rng.random(6))[::-1], np.zeros((6, 5, 2)))
        pictures.append(FacePicture(Path("x"), boxes, without_landmarks(6), ignore, labels))
        scenes.append(Scene(Path("x"), 400, 400, boxes, labels, ignore))
        own.append(detected)
        verdicts.append(Verdicts(400, 400, detected, np.full((6, 3), 1 / 3), np.zeros(6, bool), 0.5))
    report = score_faces(FaceSet("COCO", pictures), Answers(own, own, [0.0] * 30, [0.0] * 30), Protocol())
    reference = score_scenes(scenes, verdicts)
    assert report.faces == reference.faces > 50
    assert 0.2 < report.face_recall < 0.9
    for name in ("face_recall", "false_faces_per_image"):
        assert getattr(report, name) == pytest.approx(getattr(reference, name))
    assert report.recall_by_class == pytest.approx(dict(reference.recall_by_class))


def test_json_has_no_nan() -> None:
    report = score_faces(FaceSet("COCO", [picture([], [], [])]), answers([Faces.empty()]), Protocol())
    assert report.to_json()["face_recall"] is None
    assert report.to_json()["coco_ap"]["ap"] is None
    assert report.to_json()["recall_at_false_faces"] == dict.fromkeys(("0.1", "0.3", "0.5", "1"))


def test_no_pictures_or_too_few_answers() -> None:
    with pytest.raises(InputError, match="0 pictures and 0 answers"):
        score_faces(FaceSet("COCO", []), Answers([], [], [], []), Protocol())
    with pytest.raises(InputError, match="1 pictures and 0 answers"):
        score_faces(FaceSet("COCO", [picture([], [], [])]), Answers([], [], [], []), Protocol())
