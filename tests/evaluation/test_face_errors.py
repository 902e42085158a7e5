"""Errors of a detector, one by one, against a case worked out by hand and the figures of the report."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.evaluation.asking import Answers, Protocol
from maskgate.evaluation.face_errors import FaceError, errors_as_csv, face_errors
from maskgate.evaluation.face_pictures import FacePicture, without_landmarks
from maskgate.evaluation.face_sets import FaceSet
from maskgate.evaluation.faces import score_faces
from maskgate.types import Faces


def faces(*rows: tuple[float, float, float, float, float]) -> Faces:
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(array[:, :4], array[:, 4], np.zeros((len(array), 5, 2), np.float32))


def picture(*boxes: tuple[float, float, float, float], ignore: tuple[int, ...] = ()) -> FacePicture:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    left_out = np.isin(np.arange(len(array)), ignore)
    return FacePicture(
        Path("x.jpg"), array, without_landmarks(len(array)), left_out, np.zeros(len(array), np.int64)
    )


def test_on_paper() -> None:
    pictures = [
        picture((0, 0, 40, 40), (100, 0, 140, 40), (200, 0, 210, 10), (300, 0, 400, 100), ignore=(3,)),
        picture((0, 0, 30, 30)),
        picture(),
    ]
    answers = [
        # the second is a third of its face (IoU 1/3), the third lies in an ignored region
        faces((0, 0, 40, 40, 0.9), (120, 0, 160, 40, 0.8), (310, 10, 350, 50, 0.7)),
        faces(),
        faces((5, 5, 45, 45, 0.6), (50, 50, 60, 60, 0.9)),  # the smaller one is too small to count
    ]
    errors = face_errors(pictures, answers)
    assert errors == [
        FaceError(0, "missed", (100, 0, 140, 40), None, pytest.approx(1 / 3)),
        FaceError(0, "false", (120, 0, 160, 40), pytest.approx(0.8), pytest.approx(1 / 3)),
        FaceError(1, "missed", (0, 0, 30, 30), None, 0.0),
        FaceError(2, "false", (5, 5, 45, 45), pytest.approx(0.6), 0.0),
    ]
    rows = list(csv.DictReader(io.StringIO(errors_as_csv(errors, ["a, b.jpg", "c.jpg", "d.jpg"]))))
    assert [(row["file"], row["error"], row["score"], row["overlap"]) for row in rows] == [
        ("a, b.jpg", "missed", "", "0.333"), ("a, b.jpg", "false", "0.8000", "0.333"),
        ("c.jpg", "missed", "", "0.000"), ("d.jpg", "false", "0.6000", "0.000"),
    ]  # fmt: skip
    assert [rows[1][name] for name in ("x1", "y1", "x2", "y2")] == ["120.0", "0.0", "160.0", "40.0"]


def test_there_are_as_many_as_the_report_says() -> None:
    rng = np.random.default_rng(3)
    pictures, answers = [], []
    for _ in range(40):
        corner, side = rng.uniform(0, 300, (6, 2)), rng.uniform(12, 80, (6, 1))
        boxes = np.concatenate([corner, corner + side], 1)
        seen = boxes[:4] + rng.normal(0, 6, (4, 4))
        pictures.append(picture(*boxes, ignore=(0,)))
        answers.append(faces(*np.concatenate([seen, rng.uniform(0.5, 1, (4, 1))], 1)))
    errors = face_errors(pictures, answers)
    nothing = [0.0] * 40
    report = score_faces(FaceSet("COCO", pictures), Answers(answers, answers, nothing, nothing), Protocol())
    missed = sum(error.kind == "missed" for error in errors)
    assert 0 < missed == round((1 - report.face_recall) * report.faces)
    assert 0 < len(errors) - missed == round(report.false_faces_per_image * 40)


def test_as_many_answers_as_pictures() -> None:
    with pytest.raises(InputError, match="1 pictures and 0 answers"):
        face_errors([picture()], [])
