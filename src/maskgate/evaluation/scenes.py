"""Runs the pipeline over annotated scenes and works out the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError, InputError
from maskgate.evaluation import metrics
from maskgate.evaluation.coco import Scene
from maskgate.evaluation.matching import OVERLAP, SMALLEST, match_faces, short_side
from maskgate.evaluation.report import Interval, Model, SceneReport, identity, own_version
from maskgate.types import LABELS, Label, Verdicts

SIZE_BINS: tuple[float, ...] = (20, 32, 64, 128, float("inf"))
"""Edges in pixels of the bins of ``recall_by_size``; the lower one is inside."""

AP_OVERLAP = 0.5
"""IoU of a match in ``ap50``."""

_MASK, _NO_MASK, _INCORRECT = (LABELS.index(x) for x in (Label.MASK, Label.NO_MASK, Label.INCORRECT))


class Gate(Protocol):
    """The pipeline as seen from here: a picture's file in, verdicts out."""

    def __call__(self, image: Path, /) -> Verdicts:
        """Verdicts on the faces of the picture; raises where it cannot be read."""
        ...


def evaluate_scenes(
    gate: Gate,
    scenes: Sequence[Scene],
    *,
    detector: Model | None = None,
    classifier: Model | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SceneReport:
    """Runs ``gate`` over each scene's picture, one at a time, and scores what it says.

    Args:
        gate: the pipeline.
        scenes: at least one, see :func:`maskgate.evaluation.coco.read_scenes`.
        detector, classifier: the models' cards, to be named in the report.
        progress: called after each picture with the number done and the number of all.

    Raises what ``gate`` raises on a picture that cannot be read: no picture is left out in
    silence. Raises :class:`~maskgate.errors.DataError` where a picture's size is not the annotated
    one, for its boxes would be of another picture.
    """
    verdicts = []
    for done, scene in enumerate(scenes, 1):
        verdicts.append(gate(scene.path))
        if progress is not None:
            progress(done, len(scenes))
    return score_scenes(scenes, verdicts, detector=detector, classifier=classifier)


def score_scenes(
    scenes: Sequence[Scene],
    verdicts: Sequence[Verdicts],
    *,
    detector: Model | None = None,
    classifier: Model | None = None,
) -> SceneReport:
    """The figures of verdicts that are there already, one per scene.

    Raises :class:`~maskgate.errors.InputError` where their numbers differ or are 0, and
    :class:`~maskgate.errors.DataError` where a picture's size is not the annotated one.
    """
    if not scenes or len(scenes) != len(verdicts):
        raise InputError(f"{len(scenes)} scenes and {len(verdicts)} verdicts; give as many, at least one")
    for scene, verdict in zip(scenes, verdicts, strict=True):
        if (scene.width, scene.height) != (verdict.width, verdict.height):
            raise DataError(
                f"{scene.path} is {verdict.width}×{verdict.height} pixels upright, but annotated as"
                f" {scene.width}×{scene.height}; correct the annotations"
            )

    faces, false = _tabulate(scenes, verdicts)
    found = faces.called >= 0
    masked, flagged = faces.called == _MASK, found & (faces.called != _MASK)
    violation = faces.truth != _MASK
    # the paper's two classes
    pair = faces.select(found & (faces.truth != _INCORRECT))
    truth, called, p_mask = pair.truth == _MASK, pair.called == _MASK, pair.probabilities[:, _MASK]
    seen = faces.select(found)
    likeliest = seen.probabilities.max(1, initial=0)
    right = seen.probabilities.argmax(1) == seen.truth
    confusion = metrics.confusion_matrix(seen.truth, seen.called, len(LABELS))
    sizes = {
        f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+": (faces.side >= low) & (faces.side < high)
        for low, high in pairwise(SIZE_BINS)
    }
    kinds = {str(label): faces.truth == i for i, label in enumerate(LABELS)}

    return SceneReport(
        pictures=len(scenes),
        faces=len(faces),
        face_recall=_share(found),
        false_faces_per_image=false / len(scenes),
        accuracy=metrics.accuracy(truth, called),
        recall_mask=metrics.recall(truth, called),
        recall_no_mask=metrics.recall(~truth, ~called),
        precision_mask=metrics.precision(truth, called),
        roc_auc=metrics.roc_auc(truth, p_mask),
        incorrect_flagged=_share(~masked[found & (faces.truth == _INCORRECT)]),
        violators_found=_share(flagged[violation]),
        wearers_accused=_share(flagged[~violation]),
        ap50={str(label): _average_precision(scenes, verdicts, i) for i, label in enumerate(LABELS)},
        ap50_face=_average_precision(scenes, verdicts, None),
        confusion={
            str(label): {str(other): int(confusion[i, j]) for j, other in enumerate(LABELS)}
            for i, label in enumerate(LABELS)
        },
        missed={name: int((~found[chosen]).sum()) for name, chosen in kinds.items()},
        recall_by_class={name: _share(found[chosen]) for name, chosen in kinds.items()},
        faces_by_size={name: int(chosen.sum()) for name, chosen in sizes.items()},
        recall_by_size={name: _share(found[chosen]) for name, chosen in sizes.items()},
        ece=metrics.expected_calibration_error(likeliest, right),
        ece_mask=metrics.expected_calibration_error(seen.probabilities[:, _MASK], seen.truth == _MASK),
        brier_mask=metrics.brier_score(seen.probabilities[:, _MASK], seen.truth == _MASK),
        uncertain=_share(seen.uncertain),
        accuracy_certain=metrics.accuracy(truth[~pair.uncertain], called[~pair.uncertain]),
        intervals=_intervals(faces, pair),
        milliseconds=_medians(verdicts),
        threshold=verdicts[0].threshold,
        overlap=OVERLAP,
        smallest_face=SMALLEST,
        detector=identity(detector),
        classifier=identity(classifier),
        version=own_version(),
    )


@dataclass(frozen=True, eq=False)
class _FaceTable:
    """The evaluated faces of all scenes and the verdict on each.

    ``picture``, ``truth`` and ``called`` are ``(N,)`` integers: the scene, the label's place in
    LABELS and the verdict's, -1 where no detection found the face. ``side`` ``(N,)`` in pixels;
    ``probabilities (N, 3)`` and ``uncertain (N,)`` mean nothing where the face was not found.
    """

    picture: NDArray[np.int64]
    truth: NDArray[np.int64]
    called: NDArray[np.int64]
    side: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    uncertain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.truth)

    def select(self, index: NDArray[np.bool_]) -> _FaceTable:
        return _FaceTable(*(array[index] for array in vars(self).values()))


def _tabulate(scenes: Sequence[Scene], verdicts: Sequence[Verdicts]) -> tuple[_FaceTable, int]:
    """The evaluated faces, and the number of false detections."""
    parts, false = [], 0
    for i, (scene, verdict) in enumerate(zip(scenes, verdicts, strict=True)):
        matching = match_faces(verdict.faces.boxes, verdict.faces.scores, scene.boxes, scene.ignore)
        false += int(matching.false.sum())
        hits = np.flatnonzero(matching.truth >= 0)
        places = matching.truth[hits]
        called = np.full(len(scene), -1, np.int64)
        called[places] = np.array([LABELS.index(x) for x in verdict.labels], np.int64)[hits]
        probabilities = np.zeros((len(scene), len(LABELS)), np.float32)
        probabilities[places] = verdict.probabilities[hits]
        uncertain = np.zeros(len(scene), np.bool_)
        uncertain[places] = verdict.uncertain[hits]
        table = _FaceTable(
            picture=np.full(len(scene), i, np.int64),
            truth=scene.labels,
            called=called,
            side=short_side(scene.boxes),
            probabilities=probabilities,
            uncertain=uncertain,
        )
        parts.append(table.select(matching.counted))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return _FaceTable(*(np.concatenate(column) for column in columns)), false


def _average_precision(scenes: Sequence[Scene], verdicts: Sequence[Verdicts], label: int | None) -> float:
    """AP at IoU 0.5 of one label (a place in LABELS), or of faces whatever their label."""
    hits, scores, positives = [], [], 0
    for scene, verdict in zip(scenes, verdicts, strict=True):
        chosen = np.ones(len(scene), np.bool_) if label is None else scene.labels == label
        score = verdict.faces.scores
        if label is not None:
            score = score * verdict.probabilities[:, label]
        matching = match_faces(
            verdict.faces.boxes, score, scene.boxes[chosen], scene.ignore[chosen], overlap=AP_OVERLAP
        )
        hits.append((matching.truth >= 0)[~matching.ignored])
        scores.append(score[~matching.ignored])
        positives += int(matching.counted.sum())
    return metrics.average_precision(np.concatenate(hits), np.concatenate(scores), positives)


def _intervals(faces: _FaceTable, pair: _FaceTable) -> dict[str, Interval]:
    found = faces.called >= 0
    truth, p_mask = pair.truth == _MASK, pair.probabilities[:, _MASK]
    right = truth == (pair.called == _MASK)
    return {
        "face_recall": metrics.bootstrap_interval(lambda i: _share(found[i]), faces.picture),
        "accuracy": metrics.bootstrap_interval(lambda i: _share(right[i]), pair.picture),
        "roc_auc": metrics.bootstrap_interval(lambda i: metrics.roc_auc(truth[i], p_mask[i]), pair.picture),
    }


def _medians(verdicts: Sequence[Verdicts]) -> Mapping[str, float]:
    times = [asdict(verdict.milliseconds) | {"total": verdict.milliseconds.total} for verdict in verdicts]
    return {step: float(np.median([time[step] for time in times])) for step in times[0]}


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
