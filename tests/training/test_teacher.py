from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from maskgate.detection.boxes import iou
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.detection.views import mirror_faces
from maskgate.training.labelling import TeacherRecipe, load_detector
from maskgate.training.recipe import build, read_recipe
from maskgate.training.teacher import OneLook, Teacher, drop_parts, fuse
from maskgate.types import Faces

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "detector.toml"


def faces(*rows: tuple[list[float], float]) -> Faces:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    points = np.stack([boxes[:, :2]] * 5, 1) + np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    return Faces(boxes, np.array([score for _, score in rows], np.float32), points)


def test_fused_face_by_hand() -> None:
    """Three passes see it: score-weighted means, and the mean of the three best scores."""
    passes = [faces(([0, 0, 10, 10], 0.9)), faces(([1, 0, 11, 10], 0.6)), faces(([0, 1, 10, 11], 0.3))]
    fused = fuse(passes)
    assert fused.scores == pytest.approx([0.6])
    assert fused.boxes[0] == pytest.approx([0.6 / 1.8, 0.3 / 1.8, 10 + 0.6 / 1.8, 10 + 0.3 / 1.8])
    assert fused.landmarks[0, 0] == pytest.approx([0.6 / 1.8, 1 + 0.3 / 1.8])


def test_what_one_pass_in_three_saw_scores_a_third() -> None:
    sure, doubtful = ([0, 0, 10, 10], 1.0), ([50, 50, 60, 60], 0.9)
    fused = fuse([faces(sure, doubtful), faces(sure), faces(sure), faces(sure)])
    assert fused.scores == pytest.approx([1.0, 0.3])


def test_nothing_to_fuse() -> None:
    assert len(fuse([Faces.empty(), Faces.empty()])) == 0


def test_parts_are_dropped() -> None:
    whole, eye, beside = ([0, 0, 100, 100], 0.9), ([10, 10, 40, 40], 0.95), ([90, 90, 130, 130], 0.5)
    kept = drop_parts(faces(whole, beside))
    assert len(kept) == 2  # a sixteenth of the smaller is shared
    kept = drop_parts(faces(whole, eye, beside))
    assert kept.scores.tolist() == pytest.approx([0.95, 0.5])  # the better one stays, whichever it is


@pytest.fixture(scope="module")
def detectors(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RetinaFaceDetector]:
    recipe = build(TeacherRecipe, read_recipe(RECIPE)["teacher"], "[teacher]")
    folder = tmp_path_factory.mktemp("teacher")
    return [
        load_detector(shared / "weights" / file, folder, RetinaFaceSettings(anchors=anchors, score=0.25))
        for file, anchors in zip(recipe.files, recipe.anchors, strict=True)
    ]


def test_merging_on_a_real_face(
    detectors: list[RetinaFaceDetector], astronaut: np.ndarray, astronaut_face: Faces
) -> None:
    found = Teacher(detectors).label(astronaut)
    sure = found.select(found.scores >= 0.8)
    assert len(sure) == 1
    single = [replace_scale(d, 640).detect([astronaut])[0].select([0]) for d in detectors]
    for one in [*single, astronaut_face]:
        assert iou(sure.boxes, one.boxes)[0, 0] > 0.85
        assert np.abs(sure.landmarks - one.landmarks).max() < 6
    assert (np.diff(found.scores) <= 0).all()


def replace_scale(detector: RetinaFaceDetector, scale: int) -> RetinaFaceDetector:
    settings = replace(detector.settings, long_side=scale, enlarge_to=scale, enlarge=3.0, close_up=0)
    return RetinaFaceDetector(detector.session, settings)


def test_mirrored_pictures_get_mirrored_labels(
    detectors: list[RetinaFaceDetector], astronaut: np.ndarray
) -> None:
    """With every pass mirrored too, the labels cannot depend on which side is which."""
    teacher = Teacher(detectors[:1], scales=(512,))
    plain = teacher.label(astronaut)
    mirror = mirror_faces(teacher.label(np.ascontiguousarray(astronaut[:, ::-1])), 512)
    assert plain.boxes[0] == pytest.approx(mirror.boxes[0], abs=0.1)
    assert plain.landmarks[0] == pytest.approx(mirror.landmarks[0], abs=0.1)


def test_border_helps_a_tight_crop_and_is_taken_off_again(
    detectors: list[RetinaFaceDetector], astronaut: np.ndarray, astronaut_face: Faces
) -> None:
    x, y = 179, 58
    crop = astronaut[y:177, x:271].copy()  # the very box
    found = Teacher(detectors, scales=(160, 256, 400), pad=0.4).label(crop)
    assert found.scores[0] > 0.8
    assert found.boxes.min() >= 0
    assert (found.boxes <= [92, 119, 92, 119]).all()
    assert np.abs(found.landmarks[0] + [x, y] - astronaut_face.landmarks[0]).max() < 6


def test_nobody_in_a_plain_picture(detectors: list[RetinaFaceDetector]) -> None:
    grey = cv2.resize(np.full((2, 2, 3), 128, np.uint8), (200, 150))
    found = Teacher(detectors[:1]).label(grey)
    assert not (found.scores >= 0.25).any()


class Fixed:
    """Finds one face, a fixed place from the top left corner."""

    name = "fixed"

    def detect(self, images: list[np.ndarray]) -> list[Faces]:
        self.shapes = [i.shape for i in images]
        box = np.array([[50, 45, 95, 90]], np.float32)
        return [Faces(box, np.ones(1, np.float32), np.full((1, 5, 2), 70, np.float32)) for _ in images]


def test_one_look_takes_the_border_off() -> None:
    detector = Fixed()
    faces = OneLook(detector, pad=0.4).label(np.zeros((80, 100, 3), np.uint8))
    assert detector.shapes == [(160, 180, 3)]  # 40 pixels on each side
    assert faces.boxes.tolist() == [[10, 5, 55, 50]]
    assert (faces.landmarks == 30).all()
    plain = OneLook(detector).label(np.zeros((80, 92, 3), np.uint8))
    assert detector.shapes == [(80, 92, 3)]
    assert plain.boxes.tolist() == [[50, 45, 92, 80]]  # cut at the picture's edge
