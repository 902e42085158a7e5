"""The paper's open problem as a test: does a hand over the mouth make a mask of a bare face?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.classification import Classifier
from maskgate.detection import Detector
from maskgate.errors import DataError
from maskgate.evaluation.matching import match_faces
from maskgate.evaluation.metrics import bootstrap_interval
from maskgate.training.crops import main_face
from maskgate.training.occlusion.hand_poses import HandPose, draw_pose
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.types import LABELS, Faces, Image, Label

_MASK, _INCORRECT = LABELS.index(Label.MASK), LABELS.index(Label.INCORRECT)


@dataclass(frozen=True)
class PoseFigures:
    """The faces with hands in one pose, and the shares of them called so afterwards."""

    faces: int
    called_mask: float
    called_incorrect: float


@dataclass(frozen=True)
class HandReport:
    """What became of bare faces when a hand was laid over their mouths. Shares are in [0, 1].

    Attributes:
        pictures: number of pictures looked at.
        faces: those with a face, which is the main one of its picture.
        called_mask_before, called_mask_after: P(mask) reaches the threshold.
        called_mask_interval: 95 % bootstrap interval of the latter.
        called_incorrect_before, called_incorrect_after: it does not, and ``incorrect`` is likeliest.
        lost_by_detector: faces that are not found any more; they are classified at their old place.
        threshold: on P(mask).
        by_pose: the same after, by the name of the hand's pose.
    """

    pictures: int
    faces: int
    called_mask_before: float
    called_mask_after: float
    called_mask_interval: tuple[float, float]
    called_incorrect_before: float
    called_incorrect_after: float
    lost_by_detector: float
    threshold: float
    by_pose: dict[str, PoseFigures]


def hand_test(
    images: Sequence[Callable[[], Image]], hands: Sequence[Hand], detector: Detector, classifier: Classifier,
    *, threshold: float | None = None, seed: int = 0, progress: Callable[[int], None] = lambda done: None,
) -> HandReport:  # fmt: skip
    """Lays a hand over the main face of each picture and asks the pipeline again.

    Args:
        images: functions that read pictures of bare faces, ``(H, W, 3)`` uint8 RGB.
        hands: at least one; the seed draws one for each picture, and where it lies.
        threshold: the classifier's where None.
        progress: called with the number of pictures done.

    Raises :class:`~maskgate.errors.DataError` where there is no hand, or no face in any picture.
    """
    if not hands:
        raise DataError("no photograph shows a hand before a plain background; give other --hands")
    limit = classifier.threshold if threshold is None else threshold
    before, after, lost, poses = [], [], [], []
    for number, read in enumerate(images):
        image = read()
        faces = main_face(detector.detect([image])[0], doubtful=0.0)
        if len(faces):
            rng = np.random.default_rng((seed, number))
            hand = hands[int(rng.integers(len(hands)))]
            pose = draw_pose(hand.compact, rng)
            covered = lay_hand(image, faces.landmarks[0], hand, rng, pose=pose)
            poses.append(pose)
            again = detector.detect([covered])[0]
            matching = match_faces(again.boxes, again.scores, faces.boxes, np.zeros(1, np.bool_), smallest=0)
            found = np.flatnonzero(matching.truth == 0)
            lost.append(not len(found))
            place = again.select(found[:1]) if len(found) else faces
            before.append(_probabilities(image, faces, classifier))
            after.append(_probabilities(covered, place, classifier))
        progress(number + 1)
    if not before:
        raise DataError("no face was found in any picture; give other --faces")
    first, second = np.stack(before), np.stack(after)
    called = second[:, _MASK] >= limit
    return HandReport(
        pictures=len(images),
        faces=len(first),
        called_mask_before=float((first[:, _MASK] >= limit).mean()),
        called_mask_after=float(called.mean()),
        called_mask_interval=bootstrap_interval(lambda i: float(called[i].mean()), np.arange(len(called))),
        called_incorrect_before=_incorrect(first, limit),
        called_incorrect_after=_incorrect(second, limit),
        lost_by_detector=float(np.mean(lost)),
        threshold=limit,
        by_pose={
            str(pose): PoseFigures(int(own.sum()), float(called[own].mean()), _incorrect(second[own], limit))
            for pose in HandPose
            if (own := np.array([p is pose for p in poses])).any()
        },
    )


def _probabilities(image: Image, face: Faces, classifier: Classifier) -> NDArray[np.float32]:
    return np.asarray(classifier.classify(classifier.crop.cut(image, face))[0], np.float32)


def _incorrect(p: NDArray[np.float32], limit: float) -> float:
    return float(((p[:, _MASK] < limit) & (p[:, 1:].argmax(1) + 1 == _INCORRECT)).mean())
