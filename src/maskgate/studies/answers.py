"""What a method says of all faces of a test, end to end and on given faces, kept for the next call."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskgate.evaluation.matching import match_faces
from maskgate.files import npz_bytes, write_atomic
from maskgate.studies.recognisers import MISSED, Recogniser
from maskgate.studies.results import Predictions
from maskgate.types import LABELS

if TYPE_CHECKING:  # reports read answers without what training needs
    from maskgate.studies.annotated import AnnotatedPicture, GivenFaces


@dataclass(frozen=True, eq=False)
class TestAnswers:
    """A method's answers about the N faces of a test.

    Attributes:
        faces: truth, probabilities and picture of each face. Where a face was not found, its probabilities
            are those of :data:`~maskgate.studies.recognisers.MISSED`.
        found: ``(N,)`` bool; True throughout where the faces were given.
        false: what was found where no face is annotated, with P(mask) from the threshold on where the
            method finds masked faces only.
        pictures: number of pictures, those without a face included.
    """

    __test__ = False  # not for pytest

    faces: Predictions
    found: NDArray[np.bool_]
    false: int
    pictures: int

    def __len__(self) -> int:
        return len(self.found)

    def select(self, index: NDArray[np.bool_]) -> TestAnswers:
        """The faces where ``(N,)`` ``index`` is True."""
        f = self.faces
        faces = Predictions(f.truth[index], f.probabilities[index], f.groups[index])
        return TestAnswers(faces, self.found[index], self.false, self.pictures)

    def to_bytes(self, key: str) -> bytes:
        """An ``.npz``; ``key`` says what the answers depend on."""
        f = self.faces
        return npz_bytes(
            truth=f.truth, probabilities=f.probabilities, groups=f.groups, found=self.found,
            counts=np.array([self.false, self.pictures]), key=np.array(key),
        )  # fmt: skip

    @classmethod
    def load(cls, file: Path, key: str) -> TestAnswers | None:
        """What :meth:`to_bytes` gave; None where there is no such file, it is broken, or of another key."""
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as a:
                if str(a["key"]) != key:
                    return None
                faces = Predictions(a["truth"], a["probabilities"], a["groups"])
                return cls(faces, a["found"], int(a["counts"][0]), int(a["counts"][1]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def kept_answers(file: Path, key: str, ask: Callable[[], TestAnswers]) -> TestAnswers:
    """The answers in ``file`` if they are of that ``key``, else what ``ask`` gives, written there."""
    answers = TestAnswers.load(file, key)
    if answers is None:
        answers = ask()
        write_atomic(file, answers.to_bytes(key))
    return answers


def ask_given(recogniser: Recogniser, given: Sequence[GivenFaces], what: str) -> TestAnswers:
    """Answers about faces whose places are told: the classifier alone. ``what`` names the progress bar."""
    rows = [np.zeros((0, len(LABELS)), np.float32)]
    labels, groups = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for faces in tqdm(given, desc=what, mininterval=5):
        rows.append(recogniser.given(faces.image(), faces.faces))
        labels.append(faces.labels)
        groups.append(np.full(len(faces.labels), faces.picture, np.int64))
    truth, pictures = np.concatenate(labels), np.concatenate(groups)
    probabilities = np.concatenate(rows).astype(np.float64)
    found = np.ones(len(truth), np.bool_)
    return TestAnswers(Predictions(truth, probabilities, pictures), found, 0, len(np.unique(pictures)))


def ask_pictures(recogniser: Recogniser, pictures: Sequence[AnnotatedPicture], what: str) -> TestAnswers:
    """Answers end to end: the method gets pictures, and what it finds is matched as
    :func:`~maskgate.evaluation.scenes.evaluate_scenes` does."""
    rows = [np.zeros((0, len(LABELS)))]
    labels, groups, hit = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    false = 0
    for number, picture in enumerate(tqdm(pictures, desc=what, mininterval=5)):
        image, boxes = picture.read()
        verdicts = recogniser.gate(image)
        matching = match_faces(verdicts.faces.boxes, verdicts.faces.scores, boxes, picture.ignore)
        wrong = matching.false
        if recogniser.masked_only:
            wrong = wrong & (verdicts.probabilities[:, 0] >= recogniser.threshold)
        false += int(wrong.sum())
        hits = np.flatnonzero(matching.truth >= 0)
        probabilities = np.tile(MISSED, (len(boxes), 1))
        probabilities[matching.truth[hits]] = verdicts.probabilities[hits]
        rows.append(probabilities[matching.counted])
        labels.append(picture.labels[matching.counted])
        groups.append(np.full(int(matching.counted.sum()), number, np.int64))
        hit.append(matching.found[matching.counted])
    truth, numbers = np.concatenate(labels), np.concatenate(groups)
    faces = Predictions(truth, np.concatenate(rows), numbers)
    return TestAnswers(faces, np.concatenate(hit), false, len(pictures))
