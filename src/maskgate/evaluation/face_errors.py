"""What a detector does wrong, face by face: to be looked at, or to be sorted in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import iou
from maskgate.errors import InputError
from maskgate.evaluation.face_pictures import FacePicture
from maskgate.evaluation.matching import match_faces
from maskgate.types import Faces


@dataclass(frozen=True)
class FaceError:
    """A face that is missed, or found where none is annotated, as ``evaluate scenes`` counts them.

    Attributes:
        picture: number of the picture.
        kind: ``missed`` or ``false``.
        box: x1, y1, x2, y2 in pixels; of a missed face as annotated.
        score: of a false face, in [0, 1]; None of a missed one.
        overlap: best IoU with a found face where it is missed, with an annotated one where it is false.
            From 0.2 on or so it is most often one face, with boxes that are drawn otherwise.
    """

    picture: int
    kind: Literal["missed", "false"]
    box: tuple[float, float, float, float]
    score: float | None
    overlap: float


def face_errors(pictures: Sequence[FacePicture], answers: Sequence[Faces]) -> list[FaceError]:
    """All errors, picture by picture.

    Args:
        pictures: what is annotated.
        answers: faces from the detector's own score on, one for each picture.

    Raises :class:`~maskgate.errors.InputError` where these are not as many.
    """
    if len(pictures) != len(answers):
        raise InputError(f"{len(pictures)} pictures and {len(answers)} answers; give as many")
    errors = []
    for number, (picture, faces) in enumerate(zip(pictures, answers, strict=True)):
        matching = match_faces(faces.boxes, faces.scores, picture.boxes, picture.ignore)
        shared = iou(faces.boxes, picture.boxes)
        for g in np.flatnonzero(matching.counted & ~matching.found):
            best = float(shared[:, g].max(initial=0))
            errors.append(FaceError(number, "missed", corners_of(picture.boxes[g]), None, best))
        for d in np.flatnonzero(matching.false):
            best = float(shared[d].max(initial=0))
            errors.append(
                FaceError(number, "false", corners_of(faces.boxes[d]), float(faces.scores[d]), best)
            )
    return errors


def errors_as_csv(errors: Iterable[FaceError], names: Sequence[str]) -> str:
    """A table with the columns ``file``, ``error``, ``x1``, ``y1``, ``x2``, ``y2``, ``score`` (empty for a
    missed face) and ``overlap``; ``names`` are those of the pictures."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("file", "error", "x1", "y1", "x2", "y2", "score", "overlap"))
    for error in errors:
        corners = [f"{v:.1f}" for v in error.box]
        score = "" if error.score is None else f"{error.score:.4f}"
        writer.writerow((names[error.picture], error.kind, *corners, score, f"{error.overlap:.3f}"))
    return out.getvalue()


def corners_of(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """A box ``(4,)`` as plain numbers."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return x1, y1, x2, y2
