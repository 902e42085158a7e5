"""How far each method holds when faces are turned, covered, badly lit, small or before something else.

The faces are annotated ones of scenes. Landmarks come from a reference detector, the same for all methods,
so that on given faces the classifiers alone are compared: box and landmarks go along with the picture. End
to end, a method must find the face in the changed picture itself. What is changed, and why expression is
not, stands in :mod:`maskgate.studies.factors`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from maskgate.classification import Classifier
from maskgate.detection import Detector
from maskgate.errors import InputError
from maskgate.evaluation.coco import Scene
from maskgate.evaluation.matching import match_faces
from maskgate.studies.factors import Factor, standard_factors
from maskgate.studies.perturbations import FaceView, Level
from maskgate.studies.robustness_results import (
    Answers,
    Point,
    RobustnessCurve,
    RobustnessReport,
    Track,
    load_points,
    point_of,
    save_points,
)  # fmt: skip
from maskgate.studies.sampling import FaceSample, draw_faces
from maskgate.types import LABELS, Image, Label, Verdicts

_MASK = LABELS.index(Label.MASK)

_CHUNK = 64
"""Faces that are changed and classified at a time."""


class Gate(Protocol):
    """A whole method: a picture in, verdicts out. :class:`~maskgate.pipeline.MaskGate` is one."""

    def __call__(self, image: Image, /) -> Verdicts:
        """Verdicts on the faces of an ``(H, W, 3)`` uint8 RGB picture."""
        ...


@dataclass(frozen=True)
class Method:
    """What is tried.

    Attributes:
        classifier: tried on given faces; None for a method that has none of its own.
        gate: tried end to end; None to leave that out.
        fingerprint: of the weights; curves that were kept are used again only for the same one.
    """

    classifier: Classifier | None = None
    gate: Gate | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.classifier is None and self.gate is None:
            raise InputError("a method has neither a classifier nor a gate; give at least one")


def measure_robustness(
    methods: Mapping[str, Method], scenes: Sequence[Scene], reference: Detector, *,
    factors: Sequence[Factor] | None = None, faces: int | None = 600, pictures: int | None = 120,
    seed: int = 0, keep: Path | None = None, progress: Callable[[int, int], None] | None = None,
) -> RobustnessReport:  # fmt: skip
    """Tries every method on faces of scenes, changed by every factor at every level.

    Args:
        methods: by the names that they have in the report.
        scenes: see :func:`maskgate.evaluation.coco.read_scenes`. Crowds and faces with a side under
            20 px are left alone.
        reference: gives the landmarks of the annotated faces that it finds, NaN for the others.
        factors: :func:`~maskgate.studies.factors.standard_factors` without hands where None.
        faces: at most so many given faces, drawn by the seed; all where None.
        pictures: at most so many of them are looked for end to end, in their whole pictures, at the
            factors' coarse levels; 0 leaves that out.
        keep: a folder in which each finished curve is kept, and from which it is taken where methods
            (their names and fingerprints), faces, factor and seed are the same.
        progress: called after each level of each factor with the number done and the number of all.

    Raises :class:`~maskgate.errors.InputError` where there is no method, or a number is negative;
    :class:`~maskgate.errors.DataError` where no face can be used or a picture's size is not the annotated
    one; and what reading a picture raises.
    """
    factors = standard_factors() if factors is None else factors
    if not methods or not factors:
        raise InputError("robustness needs at least one method and one factor")
    if (faces is not None and faces < 1) or (pictures is not None and pictures < 0):
        raise InputError(f"{faces} faces and {pictures} pictures: give at least 1 and 0")
    given, whole = draw_faces(scenes, reference, faces, pictures, seed)
    tracks: list[tuple[FaceSample, dict[str, Method]]] = [
        (given, {name: method for name, method in methods.items() if method.classifier is not None}),
        (whole, {name: method for name, method in methods.items() if method.gate is not None}),
    ]
    steps = [len(_levels(f, sample.track)) if sample.views and own else 0
             for sample, own in tracks for f in factors]  # fmt: skip
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, sum(steps))

    curves = []
    for sample, own in tracks:
        if sample.views and own:
            curves += _measure_track(sample, own, factors, seed, keep, step)
    return RobustnessReport(
        faces=len(given.views),
        pictures=len(whole.views),
        without_landmarks=sum(bool(np.isnan(view.landmarks).any()) for view in given.views),
        seed=seed,
        reference=reference.name,
        curves=tuple(curves),
    )


def _levels(factor: Factor, track: Track) -> tuple[Level, ...]:
    return factor.levels if track == "faces" else factor.coarse


def _measure_track(
    sample: FaceSample, methods: Mapping[str, Method], factors: Sequence[Factor], seed: int,
    keep: Path | None, step: Callable[[], None],
) -> list[RobustnessCurve]:  # fmt: skip
    """All curves on given faces or in whole pictures."""
    base: dict[str, Answers] = {}
    curves = []
    for factor in factors:
        files = {name: _kept_file(keep, sample, factor, seed, name, m) for name, m in methods.items()}
        points = {name: None if file is None else load_points(file) for name, file in files.items()}
        missing = {name: methods[name] for name, own in points.items() if own is None}
        for name in missing.keys() - base.keys():
            base[name] = _ask(methods[name], sample.track, sample.views)
        rows: list[dict[str, Point]] = []
        for level in _levels(factor, sample.track):
            if missing:
                rows.append(_measure_level(sample, missing, base, factor, level, seed))
            step()
        for name, file in files.items():
            own = points[name]
            if own is None:
                own = tuple(row[name] for row in rows)
                if file is not None:
                    save_points(own, file)
            about = factor.name, factor.number, sample.track, factor.unit, factor.log
            curves.append(RobustnessCurve(name, *about, own))
    return curves


def _measure_level(
    sample: FaceSample, methods: Mapping[str, Method], base: Mapping[str, Answers], factor: Factor,
    level: Level, seed: int,
) -> dict[str, Point]:  # fmt: skip
    """A point of each method. What a change leaves as it is, is not asked again."""
    answers = {name: Answers(base[name].score.copy(), base[name].masked.copy()) for name in methods}
    usable = np.zeros(len(sample.views), np.bool_)
    lot = zlib.crc32(factor.name.encode())
    for start in range(0, len(sample.views), _CHUNK):
        places, changed = [], []
        for n in range(start, min(start + _CHUNK, len(sample.views))):
            # the same lot at each level: only the size of the change differs
            rng = np.random.default_rng((seed, lot, sample.numbers[n]))
            view = factor.perturb(sample.views[n], level, rng)
            usable[n] = view is not None
            if view is not None and view is not sample.views[n]:
                places.append(n)
                changed.append(view)
        for name, method in methods.items():
            asked = _ask(method, sample.track, changed)
            answers[name].score[places] = asked.score
            answers[name].masked[places] = asked.masked
    return {
        name: point_of(level, sample.labels, sample.pictures, usable, base[name], answers[name])
        for name in methods
    }


def _ask(method: Method, track: Track, views: Sequence[FaceView]) -> Answers:
    if not views:
        return Answers(np.zeros(0), np.zeros(0, np.bool_))
    if track == "faces":
        classifier = method.classifier
        assert classifier is not None
        parts = []
        for start in range(0, len(views), _CHUNK):
            crops = [classifier.crop.cut(view.image, view.face) for view in views[start : start + _CHUNK]]
            parts.append(classifier.classify(np.concatenate(crops))[:, _MASK])
        score = np.concatenate(parts).astype(np.float64)
        return Answers(score, score >= classifier.threshold)
    assert method.gate is not None
    score = np.full(len(views), np.nan)
    masked = np.zeros(len(views), np.bool_)
    for n, view in enumerate(views):
        verdicts = method.gate(view.image)
        height, width = view.image.shape[:2]
        seen = np.clip(view.box, 0, np.array([width, height, width, height], np.float32))
        faces = verdicts.faces
        matching = match_faces(faces.boxes, faces.scores, seen[None], np.zeros(1, np.bool_), smallest=0)
        hits = np.flatnonzero(matching.truth == 0)
        if len(hits):
            score[n] = verdicts.probabilities[hits[0], _MASK]
            masked[n] = verdicts.labels[int(hits[0])] is Label.MASK
    return Answers(score, masked)


def _kept_file(
    keep: Path | None, sample: FaceSample, factor: Factor, seed: int, name: str, method: Method
) -> Path | None:
    """Where a curve is kept; another file for anything that it depends on, but the program itself."""
    if keep is None:
        return None
    asked = method.classifier if sample.track == "faces" else method.gate
    key = [
        sample.digest, factor.name, _levels(factor, sample.track), getattr(factor.perturb, "digest", ""),
        seed, name, method.fingerprint, getattr(asked, "threshold", None),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return keep / f"{sample.track}-{factor.name.replace(' ', '-')}-{digest[:16]}.json"
