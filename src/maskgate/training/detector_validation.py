"""What a detector is judged by between epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.evaluation.matching import Matching, match_faces
from maskgate.training.detector_data import LabelledPicture, read_picture
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.types import LABELS, Faces, Image, Label

_MOUTH = slice(3, 5)


def match_picture(faces: Faces, picture: LabelledPicture) -> Matching:
    """Which of the faces found in a picture is which of its own; regions to ignore come after these."""
    truth = np.concatenate([picture.boxes, picture.ignore])
    return match_faces(faces.boxes, faces.scores, truth, np.arange(len(truth)) >= len(picture.boxes))


def detector_figures(found: Sequence[Faces], pictures: Sequence[LabelledPicture]) -> dict[str, float]:
    """Figures of the faces found in each picture.

    ``recall`` of all faces, of masked and of bare ones; ``false_per_picture``; ``landmark_error``, the mean
    distance of landmarks from their places in distances of the eyes, and ``mouth_error``, that of the
    corners of the mouth alone.
    """
    hits = dict.fromkeys((None, Label.MASK, Label.NO_MASK), 0)
    counted = dict(hits)
    false = 0
    apart: list[NDArray[np.float32]] = []
    for faces, picture in zip(found, pictures, strict=True):
        match = match_picture(faces, picture)
        own = np.zeros(len(match.counted), np.int64) - 1
        own[: len(picture.labels)] = picture.labels
        for label in hits:
            of_label = True if label is None else own == LABELS.index(label)
            hits[label] += int((match.found & of_label).sum())
            counted[label] += int((match.counted & of_label).sum())
        false += int(match.false.sum())
        for d, g in enumerate(match.truth):
            if 0 <= g < len(picture.boxes) and picture.has_landmarks[g]:
                apart.append(_landmark_distances(faces.landmarks[d], picture, int(g)))
    distances = np.array(apart, np.float32).reshape(-1, 5)
    return {
        "recall": hits[None] / max(counted[None], 1),
        "false_per_picture": false / max(len(pictures), 1),
        "landmark_error": float(distances.mean()) if apart else 0.0,
        "recall_mask": hits[Label.MASK] / max(counted[Label.MASK], 1),
        "recall_no_mask": hits[Label.NO_MASK] / max(counted[Label.NO_MASK], 1),
        "mouth_error": float(distances[:, _MOUTH].mean()) if apart else 0.0,
    }


def _landmark_distances(
    landmarks: NDArray[np.float32], picture: LabelledPicture, face: int
) -> NDArray[np.float32]:
    """``(5,)`` distances from a face's landmarks, in distances of its eyes."""
    truth = picture.landmarks[face]
    # in profile the eyes almost coincide
    size = max(float(np.hypot(*(truth[0] - truth[1]))), 0.2 * float(np.ptp(picture.boxes[face, 1::2])), 1.0)
    return np.asarray(np.hypot(*(landmarks - truth).T) / size, np.float32)


@dataclass(frozen=True, eq=False)
class DrawnPicture:
    """A picture of bare faces with masks drawn on: ``image`` ``(H, W, 3)`` uint8, and its faces, whose
    landmarks are those from before."""

    image: Image
    faces: LabelledPicture


def draw_masks(
    pictures: Sequence[LabelledPicture], painter: Painter, seed: int, *, limit: int = 80, longest: int = 480
) -> list[DrawnPicture]:
    """Up to ``limit`` of those pictures that have bare faces with landmarks, masks drawn on all of them
    that are large enough, none side over ``longest`` pixels. The same ones in every call."""
    drawn: list[DrawnPicture] = []
    for place, picture in enumerate(pictures):
        sides = float((picture.boxes[:, 2:] - picture.boxes[:, :2]).min(initial=np.inf))
        if not len(picture.boxes) or not (picture.bare & picture.has_landmarks).all():
            continue
        image = read_picture(picture.path)
        scale = min(longest / max(image.shape[:2]), 1.0)
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        if sides * scale < 24:
            continue
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        landmarks = (picture.landmarks * scale).astype(np.float32)
        rng = np.random.default_rng((seed, place))
        for points in landmarks:
            image = painter.mask(image, points, Wearing.RIGHT, rng)
        faces = replace(
            picture,
            boxes=picture.boxes * np.float32(scale),
            landmarks=landmarks,
            ignore=picture.ignore * np.float32(scale),
            labels=np.full(len(picture.labels), LABELS.index(Label.MASK)),
        )
        drawn.append(DrawnPicture(image, faces))
        if len(drawn) == limit:
            break
    return drawn
