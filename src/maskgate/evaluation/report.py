"""The figures of an evaluation over scenes, and their file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from maskgate.errors import InputError
from maskgate.files import plain, write_atomic


class Model(Protocol):
    """What is said of a model in a report; a model card fits."""

    @property
    def name(self) -> str:
        """The name that chooses the model."""
        ...

    @property
    def sha256(self) -> str:
        """Of the model's file, in hexadecimal."""
        ...


def identity(model: Model | None) -> dict[str, str] | None:
    """Name and sha256; None where there is no card."""
    return None if model is None else {"name": model.name, "sha256": model.sha256}


def own_version() -> str:
    """Of maskgate, as installed."""
    try:
        return version("maskgate")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


Interval = tuple[float, float]


@dataclass(frozen=True)
class SceneReport:
    """How the pipeline does on annotated scenes.

    Faces with a side under ``smallest_face`` and crowds are not evaluated. A face is *found* where
    a detection is matched to it (:func:`maskgate.evaluation.matching.match_faces`) and *called* by
    that detection's label: ``mask`` where P(mask) reaches the threshold. Shares are in [0, 1] and
    NaN where there is nothing to share out.

    Attributes:
        pictures: number of pictures.
        faces: number of evaluated faces.
        face_recall: found faces of all.
        false_faces_per_image: detections that match no face, per picture. An upper bound where
            not every face is annotated.
        accuracy: found ``mask`` and ``no_mask`` faces where "called mask" is right. The next four
            are of the same faces.
        recall_mask: ``mask`` faces called mask.
        recall_no_mask: ``no_mask`` faces not called mask.
        precision_mask: ``mask`` faces among those called mask.
        roc_auc: of P(mask).
        incorrect_flagged: *found* ``incorrect`` faces not called mask: the classifier's part. What
            the detector misses weighs in ``violators_found``.
        violators_found: ``no_mask`` and ``incorrect`` faces found and not called mask, of *all*.
        wearers_accused: ``mask`` faces found and not called mask, of *all*.
        ap50: average precision at IoU 0.5 of each label. As two-stage detectors do, each face
            stands as one detection of every label, with the detector's score × the label's
            probability, so the figure judges the ranking and no threshold.
        ap50_face: the same of faces, whatever their label, with the detector's score.
        confusion: found faces, ``[truth][called]``.
        missed: evaluated faces that were not found, by label.
        recall_by_class: share of faces found, by label.
        faces_by_size, recall_by_size: number and share found, by the shorter side in pixels.
        ece: expected calibration error of the likeliest label's probability, over found faces.
        ece_mask, brier_mask: calibration error and Brier score of P(mask) for "is ``mask``", over
            found faces of all three labels.
        uncertain: share of found faces whose verdict is uncertain.
        accuracy_certain: ``accuracy`` without those.
        intervals: 95% bootstrap intervals of some shares; whole pictures are drawn.
        milliseconds: median over pictures of each step and of their sum.
        threshold: P(mask) from which a face counts as masked.
        overlap, smallest_face: rules of matching: IoU, pixels.
        detector, classifier: name and sha256 of the models, where known.
        version: of maskgate.
    """

    pictures: int
    faces: int
    face_recall: float
    false_faces_per_image: float
    accuracy: float
    recall_mask: float
    recall_no_mask: float
    precision_mask: float
    roc_auc: float
    incorrect_flagged: float
    violators_found: float
    wearers_accused: float
    ap50: Mapping[str, float]
    ap50_face: float
    confusion: Mapping[str, Mapping[str, int]]
    missed: Mapping[str, int]
    recall_by_class: Mapping[str, float]
    faces_by_size: Mapping[str, int]
    recall_by_size: Mapping[str, float]
    ece: float
    ece_mask: float
    brier_mask: float
    uncertain: float
    accuracy_certain: float
    intervals: Mapping[str, Interval]
    milliseconds: Mapping[str, float]
    threshold: float
    overlap: float
    smallest_face: float
    detector: Mapping[str, str] | None
    classifier: Mapping[str, str] | None
    version: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, in the order of the fields; NaN and infinity become None."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def write_report(report: SceneReport, path: str | Path) -> None:
    """Writes the report as JSON, whole or not at all; an existing file is replaced.

    The folder is made where it is missing. Raises :class:`~maskgate.errors.InputError` where the
    file cannot be written.
    """
    write_figures(report.to_json(), path)


def write_figures(figures: Mapping[str, Any], path: str | Path) -> None:
    """Writes figures by name as JSON; NaN and infinity become null. As :func:`write_report`."""
    path = Path(path)
    text = json.dumps(plain(figures), indent=2, allow_nan=False) + "\n"
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another file") from error
