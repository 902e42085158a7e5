from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskgate.alignment import CropSpec
from maskgate.detection.cascade import CascadeDetector
from maskgate.evaluation.coco import Scene
from maskgate.evaluation.scenes import score_scenes
from maskgate.images import write_image
from maskgate.studies.answers import TestAnswers, ask_given, ask_pictures, kept_answers
from maskgate.studies.comparison_results import MethodResult, method_figures
from maskgate.studies.recognisers import masked_faces, two_stages
from maskgate.types import LABELS, Faces, Image, Verdicts

pytest.importorskip("torch")

from maskgate.studies.annotated import AnnotatedPicture, GivenFaces

SIZE = 200


class Scripted:
    """Finds in a picture what its top left pixel says."""

    name = "scripted"

    def __init__(self, found: list[Faces]) -> None:
        self.found = found

    def detect(self, images: list[Image]) -> list[Faces]:
        return [self.found[int(image[0, 0, 0])] for image in images]


class Brightness:
    """P(mask) is the mean of the crop over 255."""

    name = "brightness"
    crop = CropSpec("rotate", 8, 1.0)
    threshold = 0.4

    def classify(self, crops: Image) -> np.ndarray:
        p = crops.reshape(len(crops), -1).mean(1) / 255
        return np.stack([p, (1 - p) * 0.7, (1 - p) * 0.3], 1).astype(np.float32)


def random_scenes(folder: Path) -> tuple[list[AnnotatedPicture], list[Faces]]:
    """Forty pictures with annotated faces, and what a detector finds: jittered, missed, invented."""
    rng = np.random.default_rng(5)
    pictures, found = [], []
    for number in range(40):
        image = rng.integers(0, 256, (5, 5, 1)).repeat(40, 0).repeat(40, 1).repeat(3, 2).astype(np.uint8)
        image[0, 0] = number
        write_image(folder / f"{number}.png", image)
        count = int(rng.integers(0, 5))
        corners = rng.uniform(0, SIZE - 60, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(12, 60, (count, 1))], 1).astype(np.float32)
        ignore = rng.random(count) < 0.2
        pictures.append(AnnotatedPicture(folder / f"{number}.png", boxes, rng.integers(0, 3, count), ignore))
        seen = boxes[rng.random(count) < 0.7] + rng.normal(0, 4, 4).astype(np.float32)
        extra = np.array([[5, 5, 45, 45]], np.float32)
        all_ = np.concatenate([extra, seen] if number % 2 else [seen, extra])
        scores = np.sort(rng.uniform(0.1, 1, len(all_)))[::-1]
        found.append(Faces(all_, scores, np.full((len(all_), 5, 2), np.nan)))
    return pictures, found


def test_figures_end_to_end_are_those_of_evaluate_scenes(tmp_path: Path) -> None:
    pictures, found = random_scenes(tmp_path)
    recogniser = two_stages(Scripted(found), Brightness())  # type: ignore[arg-type]
    answers = ask_pictures(recogniser, pictures, "test")
    test = ("cross", "pictures")
    result = MethodResult("a", "A", (), 0, LABELS, Brightness.threshold, {test: answers})  # type: ignore[dict-item]
    figures = method_figures(result, test)  # type: ignore[arg-type]
    assert figures is not None
    scenes = [Scene(p.path, SIZE, SIZE, p.boxes, p.labels, p.ignore) for p in pictures]
    report = score_scenes(scenes, [recogniser.gate(p.read()[0]) for p in pictures])
    assert 0 < report.face_recall < 1
    assert 0 < report.accuracy < 1
    assert figures["faces"] == report.faces
    for ours, theirs in (
        ("face_recall", report.face_recall), ("accuracy", report.accuracy), ("recall", report.recall_mask),
        ("recall_no_mask", report.recall_no_mask), ("roc_auc", report.roc_auc),
        ("precision", report.precision_mask), ("incorrect_flagged", report.incorrect_flagged),
        ("false_faces_per_picture", report.false_faces_per_image),
    ):  # fmt: skip
        assert figures[ours] == pytest.approx(theirs), ours


class Masks(CascadeDetector):
    """A cascade that finds what it is told to, from its lowest score on."""

    def __init__(self, found: list[Faces], least: float) -> None:
        self.found, self.least = found, least

    def detect(self, images: list[Image]) -> list[Faces]:  # type: ignore[override]
        return [(f := self.found[int(i[0, 0, 0])]).select(f.scores >= self.least) for i in images]

    def score(self, image: Image, boxes: np.ndarray) -> np.ndarray:
        return (boxes[:, 0] / SIZE).astype(np.float32)


def test_a_low_score_finds_the_same_masks_as_the_cards_own(tmp_path: Path) -> None:
    pictures, found = random_scenes(tmp_path)
    eager = ask_pictures(masked_faces(Masks(found, 0.05), 0.6), pictures, "test")
    own = ask_pictures(masked_faces(Masks(found, 0.6), 0.6), pictures, "test")
    assert np.array_equal(eager.faces.probabilities[:, 0] >= 0.6, own.found)
    assert eager.false == own.false > 0
    assert eager.found.sum() > own.found.sum()
    assert np.array_equal(
        eager.faces.probabilities[~eager.found], np.tile([0, 1, 0], ((~eager.found).sum(), 1))
    )


def test_given_faces_are_asked_for_by_their_places() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    faces = Faces([[20, 0, 60, 40], [100, 0, 150, 50]], [1, 1], np.full((2, 5, 2), np.nan))
    image[:, 90:] = 255
    given = [GivenFaces(lambda: image, faces, np.array([1, 0]), picture=7)]
    bright = ask_given(two_stages(Scripted([]), Brightness()), given, "test")  # type: ignore[arg-type]
    assert bright.faces.probabilities[:, 0].tolist() == [0, 1]
    assert bright.faces.truth.tolist() == [1, 0]
    assert bright.faces.groups.tolist() == [7, 7]
    masked = ask_given(masked_faces(Masks([], 0.05), 0.6), given, "test")
    assert masked.faces.probabilities == pytest.approx(np.array([[0.1, 0.9, 0], [0.5, 0.5, 0]]))
    assert bright.found.all()
    assert len(ask_given(masked_faces(Masks([], 0.05), 0.6), [], "none")) == 0


def test_verdicts_of_masked_faces_follow_the_cards_threshold() -> None:
    faces = Faces([[0, 0, 9, 9], [20, 20, 40, 40]], [0.7, 0.2], np.full((2, 5, 2), np.nan))
    verdicts: Verdicts = masked_faces(Masks([faces], 0.05), 0.6).gate(np.zeros((50, 80, 3), np.uint8))
    assert [str(label) for label in verdicts.labels] == ["mask", "no_mask"]
    assert (verdicts.width, verdicts.height) == (80, 50)


def test_answers_are_kept_for_their_key_only(tmp_path: Path) -> None:
    pictures, found = random_scenes(tmp_path)
    answers = ask_pictures(two_stages(Scripted(found), Brightness()), pictures, "test")  # type: ignore[arg-type]
    file, asked = tmp_path / "new" / "kept.npz", []

    def ask() -> TestAnswers:
        asked.append(1)
        return answers

    for key in ("a", "a", "b"):
        kept = kept_answers(file, key, ask)
        assert np.array_equal(kept.faces.probabilities, answers.faces.probabilities)
        assert np.array_equal(kept.found, answers.found)
        assert (kept.false, kept.pictures) == (answers.false, 40)
    assert len(asked) == 2
    file.write_bytes(file.read_bytes()[:100])  # cut short
    kept_answers(file, "b", ask)
    assert len(asked) == 3
