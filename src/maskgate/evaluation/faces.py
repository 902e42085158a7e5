"""How good a detector is: the figures of its answers to annotated pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError
from maskgate.evaluation.asking import Answers, Protocol
from maskgate.evaluation.coco_precision import coco_precision
from maskgate.evaluation.curves import free_response
from maskgate.evaluation.face_pictures import FacePicture
from maskgate.evaluation.face_sets import FaceSet
from maskgate.evaluation.landmarks import landmark_errors, summarise_errors
from maskgate.evaluation.matching import OVERLAP, SMALLEST, match_faces, short_side
from maskgate.evaluation.report import Model, identity, own_version
from maskgate.evaluation.wider_precision import wider_average_precision
from maskgate.files import plain
from maskgate.types import LABELS, Faces

SIZE_BINS: tuple[float, ...] = (0, 10, 20, 32, 64, 128, 256, float("inf"))
"""Edges in pixels of the bins of ``recall_by_size``; the lower one is inside."""

FALSE_FACES: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0)
"""A picture, of ``recall_at_false_faces``."""

ALL = "all"
"""Name of the subset of all faces that are not to be ignored."""


@dataclass(frozen=True)
class FaceReport:
    """How a detector does on annotated pictures.

    Shares are in [0, 1], and NaN where there is nothing to share out.

    Attributes:
        kind: of the folder: ``WIDER FACE`` or ``COCO``.
        pictures: number of pictures.
        faces: faces that are not ignored and have a side of at least ``smallest_face`` pixels.
        face_recall: share of them that are found.
        false_faces_per_image: found faces that match none, a picture, as ``maskgate evaluate scenes`` counts.
        recall_at_false_faces: the same share where the score is set so that a picture has as many false
            faces, among those ranked: see :func:`maskgate.evaluation.curves.free_response`.
        wider_ap: WIDER FACE's average precision by subset: ``easy``, ``medium`` and ``hard`` where the folder
            has their lists, and ``all``. See :mod:`maskgate.evaluation.wider_precision`.
        coco_ap: COCO's by name. See :mod:`maskgate.evaluation.coco_precision`.
        faces_by_size, recall_by_size: number and share found, small ones too, by the shorter side in pixels.
        faces_by_class, recall_by_class: of the ``faces``, by what is on them, where that is annotated.
        landmarks: error over the distance of the eyes, of found faces with annotated landmarks: see
            :class:`maskgate.evaluation.landmarks.LandmarkError`.
        landmarks_by_class: the same by what is on them, where both are annotated.
        milliseconds: median time to ``read`` a picture and to ``detect`` its faces; ``detect_p90`` is what
            nine in ten stay under.
        score: from which a face counts as found; None for the detector's own.
        floor: score from which faces are ranked for the average precisions.
        scales, flip: views of a picture, see :class:`maskgate.detection.views.MultiViewDetector`.
        overlap, smallest_face: rules of matching for recall and false faces: IoU, pixels.
        detector: name and sha256, where known.
        version: of maskgate.
    """

    kind: str
    pictures: int
    faces: int
    face_recall: float
    false_faces_per_image: float
    recall_at_false_faces: Mapping[str, float]
    wider_ap: Mapping[str, float]
    coco_ap: Mapping[str, float]
    faces_by_size: Mapping[str, int]
    recall_by_size: Mapping[str, float]
    faces_by_class: Mapping[str, int]
    recall_by_class: Mapping[str, float]
    landmarks: Mapping[str, float]
    landmarks_by_class: Mapping[str, Mapping[str, float]]
    milliseconds: Mapping[str, float]
    score: float | None
    floor: float
    scales: Sequence[int]
    flip: bool
    overlap: float
    smallest_face: float
    detector: Mapping[str, str] | None
    version: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, in the order of the fields; NaN and infinity become None."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


def score_faces(
    face_set: FaceSet, answers: Answers, protocol: Protocol, *, detector: Model | None = None
) -> FaceReport:
    """The figures of a detector's answers.

    Args:
        face_set: see :func:`~maskgate.evaluation.face_sets.read_face_set`.
        answers: of :func:`~maskgate.evaluation.asking.ask` to its pictures.
        protocol: how it was asked, to be told in the report.
        detector: its card, to be named there.

    Raises :class:`~maskgate.errors.InputError` where the answers are not as many as the pictures, or there
    are none.
    """
    pictures = face_set.pictures
    if not pictures or len(pictures) != len(answers.found):
        raise InputError(
            f"{len(pictures)} pictures and {len(answers.found)} answers; give as many, at least one"
        )
    table, false = _tabulate(pictures, answers.found)
    counted = table.side >= SMALLEST
    sizes = {
        f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+": (table.side >= low) & (table.side < high)
        for low, high in pairwise(SIZE_BINS)
    }
    kinds = {str(label): table.label == i for i, label in enumerate(LABELS) if (table.label == i).any()}
    subsets = {**face_set.subsets, ALL: [~p.ignore for p in pictures]}
    ranked = [f.boxes for f in answers.ranked], [f.scores for f in answers.ranked]
    faces = [p.boxes for p in pictures]
    return FaceReport(
        kind=face_set.kind,
        pictures=len(pictures),
        faces=int(counted.sum()),
        face_recall=_share(table.found[counted]),
        false_faces_per_image=false / len(pictures),
        recall_at_false_faces=_recall_at_false_faces(pictures, answers.ranked, int(counted.sum())),
        wider_ap={name: wider_average_precision(*ranked, faces, own) for name, own in subsets.items()},
        coco_ap=asdict(coco_precision(*ranked, faces, [p.ignore for p in pictures])),
        faces_by_size={name: int(own.sum()) for name, own in sizes.items()},
        recall_by_size={name: _share(table.found_any_size[own]) for name, own in sizes.items()},
        faces_by_class={name: int((own & counted).sum()) for name, own in kinds.items()},
        recall_by_class={name: _share(table.found[own & counted]) for name, own in kinds.items()},
        landmarks=asdict(summarise_errors(table.error)),
        landmarks_by_class={
            name: asdict(summarise_errors(table.error[own]))
            for name, own in kinds.items()
            if np.isfinite(table.error[own]).any()
        },
        milliseconds={
            "read": float(np.median(answers.read_ms)),
            "detect": float(np.median(answers.detect_ms)),
            "detect_p90": float(np.quantile(answers.detect_ms, 0.9)),
        },
        score=protocol.score,
        floor=protocol.floor,
        scales=tuple(protocol.scales),
        flip=protocol.flip,
        overlap=OVERLAP,
        smallest_face=SMALLEST,
        detector=identity(detector),
        version=own_version(),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """The faces of all pictures that are not ignored.

    ``side`` in pixels, ``label``, ``found`` among those that are large enough, ``found_any_size`` among
    all, and the normalised ``error`` of the landmarks, NaN where it is not known: ``(N,)`` each.
    """

    side: NDArray[np.float32]
    label: NDArray[np.int64]
    found: NDArray[np.bool_]
    found_any_size: NDArray[np.bool_]
    error: NDArray[np.float64]


def _tabulate(pictures: Sequence[FacePicture], answers: Sequence[Faces]) -> tuple[_Table, int]:
    """The faces, and the number of false detections."""
    rows: list[tuple[NDArray[Any], ...]] = []
    false = 0
    for picture, faces in zip(pictures, answers, strict=True):
        matching = match_faces(faces.boxes, faces.scores, picture.boxes, picture.ignore)
        every = match_faces(faces.boxes, faces.scores, picture.boxes, picture.ignore, smallest=0)
        false += int(matching.false.sum())
        error = np.full(len(picture), np.nan)
        hits = np.flatnonzero(every.truth >= 0)
        places = every.truth[hits]
        error[places] = landmark_errors(faces.landmarks[hits], picture.landmarks[places])
        error[~every.found] = np.nan
        own = ~picture.ignore
        row = short_side(picture.boxes), picture.labels, matching.found, every.found, error
        rows.append(tuple(column[own] for column in row))
    return _Table(*(np.concatenate(columns) for columns in zip(*rows, strict=True))), false


def _recall_at_false_faces(
    pictures: Sequence[FacePicture], ranked: Sequence[Faces], count: int
) -> dict[str, float]:
    hits, scores = [], []
    for picture, faces in zip(pictures, ranked, strict=True):
        matching = match_faces(faces.boxes, faces.scores, picture.boxes, picture.ignore)
        hits.append(matching.truth[~matching.ignored] >= 0)
        scores.append(faces.scores[~matching.ignored])
    recalls = (
        free_response(np.concatenate(hits), np.concatenate(scores), count, len(pictures), FALSE_FACES)
        if count
        else [float("nan")] * len(FALSE_FACES)
    )
    return {f"{limit:g}": recall for limit, recall in zip(FALSE_FACES, recalls, strict=True)}


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
