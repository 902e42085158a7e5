"""Whole methods as the comparison asks them: of pictures, and of faces whose places are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.classification import Classifier
from maskgate.detection import Detector, MaskFinder
from maskgate.detection.cascade import CascadeDetector
from maskgate.errors import DataError
from maskgate.pipeline import MaskGate
from maskgate.types import LABELS, Faces, Image, Label, Verdicts

LOWEST = 0.05
"""Score from which a detector of masked faces reports for its ROC curve."""

MISSED = np.array([0.0, 1.0, 0.0])
"""Probabilities of a face that a detector of masked faces does not find: not masked."""


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A method, ready to be asked.

    Attributes:
        gate: verdicts on the faces that it finds in a picture.
        given: ``(N, 3)`` probabilities of N faces of a picture, their places told.
        threshold: P(mask) from which a face counts as masked.
        masked_only: it finds masked faces and no others: a face that it does not find counts as not
            masked, with P(mask) 0.
        classifier: its classifier; None where it has none of its own.
    """

    gate: Callable[[Image], Verdicts]
    given: Callable[[Image, Faces], NDArray[np.float32]]
    threshold: float
    masked_only: bool = False
    classifier: Classifier | None = None

    @property
    def finds(self) -> tuple[Label, ...]:
        """Labels of the faces that it looks for."""
        return (Label.MASK,) if self.masked_only else LABELS


def two_stages(detector: Detector, classifier: Classifier) -> Recogniser:
    """A detector of faces, and a classifier that says what is on them: the paper's first type."""

    def given(image: Image, faces: Faces) -> NDArray[np.float32]:
        return classifier.classify(classifier.crop.cut(image, faces))

    return Recogniser(MaskGate(detector, classifier), given, classifier.threshold, classifier=classifier)


def masked_faces(detector: CascadeDetector, threshold: float) -> Recogniser:
    """The cascade, which has no classifier: what it finds counts as masked from ``threshold`` on.

    Args:
        detector: with the score :data:`LOWEST`, so that there is a ROC curve. Of a picture it finds the
            same faces above ``threshold`` as with that as its score.
        threshold: the score that its card gives.
    """

    def gate(image: Image) -> Verdicts:
        faces = detector.detect([image])[0]
        none = np.zeros(len(faces), np.bool_)
        height, width = image.shape[:2]
        return Verdicts(width, height, faces, _masked_or_not(faces.scores), none, threshold)

    def given(image: Image, faces: Faces) -> NDArray[np.float32]:
        return _masked_or_not(detector.score(image, faces.boxes))

    return Recogniser(gate, given, threshold, masked_only=True)


def _masked_or_not(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([scores, 1 - scores, np.zeros_like(scores)], 1)


def recogniser_of(
    name: str, create: Callable[[float | None], Detector], classifier: Classifier | None
) -> Recogniser:
    """The method that a detector makes, with a classifier or alone.

    A detector whose faces carry labels (the paper's second type) needs no classifier: its ``gate``
    passes the labels on, its ``given`` judges each face in its surroundings.

    Args:
        name: of the method.
        create: makes the detector with a lowest score, its own where None.

    Raises :class:`~maskgate.errors.DataError` where the detector alone says nothing about masks.
    """
    detector = create(None)
    if classifier is not None:
        return two_stages(detector, classifier)
    if isinstance(detector, CascadeDetector):
        threshold = detector.settings.score
        eager = create(min(LOWEST, threshold))
        assert isinstance(eager, CascadeDetector)
        return masked_faces(eager, threshold)
    if isinstance(detector, MaskFinder):
        return Recogniser(MaskGate(detector), detector.judge, detector.threshold)
    raise DataError(f"method {name!r} has no classifier, and its detector says nothing about masks; name one")
