"""The paper's Table II as an experiment: all methods trained and tested on the same faces."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from maskgate.detection import create_detector
from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.files import write_atomic, write_json
from maskgate.models import DEFAULT_DETECTOR
from maskgate.models.registry import find_card, find_plugin
from maskgate.models.sessions import RuntimeOptions
from maskgate.studies.annotated import (
    AnnotatedPicture,
    GivenFaces,
    digest_of_crops,
    digest_of_pictures,
    given_crops,
    given_in_pictures,
    pictures_of_scenes,
    pictures_on_side,
)
from maskgate.studies.answers import TestAnswers, ask_given, ask_pictures, kept_answers
from maskgate.studies.comparison_recipe import ComparisonRecipe
from maskgate.studies.comparison_results import Comparison, MethodResult, Speed, Test
from maskgate.studies.factors import standard_factors
from maskgate.studies.methods import Contender, check_sides, find_weights, make_contender
from maskgate.studies.robustness import Method, measure_robustness
from maskgate.studies.robustness_results import RobustnessReport
from maskgate.studies.speed import median_milliseconds
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.crops import FaceCrops
from maskgate.training.face_labels import read_face_labels
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.splits import TEST

VERSION = 1
"""Of how methods are asked: one more asks all of them anew."""


def run_comparison(
    recipe: ComparisonRecipe, places: Places, output: Path, *, cross: Path | None, runs: Path | None = None,
    threads: int, workers: int, robustness: bool = False,
) -> Comparison:  # fmt: skip
    """Trains what is not trained yet, and tests what is not tested yet.

    A comparison that was stopped goes on where it was: runs that are finished are kept, others go on from
    their checkpoint, and what a method said of a test is asked again only where its weights or the test
    have changed. The faces are found once, and all methods learn from them.

    Args:
        recipe: see :func:`~maskgate.studies.comparison_recipe.read_comparison`.
        places: folders of data and weights.
        output: the comparison's folder.
        cross: folder of annotated scenes of another origin, or None.
        runs: holds the run folders; ``runs`` in ``output`` where None.
        robustness: also try all methods on changed faces of ``cross``.

    Raises :class:`~maskgate.errors.DataError` on recipes, data or weights that cannot be used, and where a
    run has learnt from the pictures that judge it.
    """
    cv2.setNumThreads(1)
    if robustness and cross is None:
        raise DataError("the study of robustness wants scenes: give a folder of them with --cross")
    _check_models(recipe, places)
    scenes = pictures_of_scenes(cross) if cross is not None else None  # errors in it show at once
    found = _found_faces(places, output)
    own = replace(places, recipe=recipe.folders[recipe.split], face_labels=None)
    data = prepare_faces(recipe.recipes[recipe.split], own, found)
    judging = [p for p, side in zip(data.crops.pictures, data.sides, strict=True) if side == TEST]
    contenders = []
    for method in tqdm(recipe.methods, desc="methods", unit="method", mininterval=0):
        contender = make_contender(
            method, recipe, replace(places, face_labels=found), runs or output / "runs", output / "models",
            threads=threads, workers=workers,
        )  # fmt: skip
        check_sides(contender, judging)
        contenders.append(contender)
    tests = _tests(recipe, data, places, found, scenes, threads)
    answers: dict[str, dict[Test, TestAnswers]] = {c.name: {} for c in contenders}
    for test, (digest, ask) in tests.items():
        for contender in contenders:
            key = f"{VERSION} {contender.fingerprint} {contender.recogniser.threshold} {digest}"
            file = output / "answers" / f"{contender.name}-{'-'.join(test)}.npz"
            answers[contender.name][test] = kept_answers(file, key, partial(ask, contender))
    pictures = scenes if scenes is not None else pictures_on_side(data, places.data, read_face_labels(found))
    speeds = _speeds(recipe, contenders, pictures, data.test, output / "speed.json", threads)
    report = None
    if robustness and cross is not None:
        report = _robustness(recipe, contenders, cross, data, output / "robustness", threads)
    results = tuple(
        MethodResult(
            c.name, c.title, c.models, c.bytes, c.recogniser.finds, c.recogniser.threshold, answers[c.name],
            speeds.get(c.name),
        )
        for c in contenders
    )  # fmt: skip
    return Comparison(results, recipe.default, report)


def _check_models(recipe: ComparisonRecipe, places: Places) -> None:
    """Raises where a model or weights are missing: before hours of training."""
    for method in recipe.methods:
        for task, part in method.parts.items():
            if part.weights:
                find_weights(part, places)
            elif part.model and find_plugin(part.model, task) is None:
                find_card(part.model, task)


def _found_faces(places: Places, output: Path) -> Path:
    """The file of faces found, which all methods share: one given by the caller is where it starts."""
    file = output / "teacher.jsonl"
    if places.face_labels is not None and not file.exists():
        write_atomic(file, places.face_labels.read_bytes())
    return file


def _tests(
    recipe: ComparisonRecipe, data: ClassifierData, places: Places, found: Path,
    scenes: Sequence[AnnotatedPicture] | None, threads: int,
) -> dict[Test, tuple[str, Callable[[Contender], TestAnswers]]]:  # fmt: skip
    """For each test, a digest of its faces, and what asks a method."""
    tests: dict[Test, tuple[str, Callable[[Contender], TestAnswers]]] = {}
    for name, crops in (("train", _learnt(data, recipe.learnt)), ("test", data.test)):
        if len(crops):
            tests[name, "given"] = digest_of_crops(crops), _given(name, partial(given_crops, crops))
    pictures = pictures_on_side(data, places.data, read_face_labels(found))
    if pictures:
        tests["test", "pictures"] = digest_of_pictures(pictures), partial(_whole, "test", pictures)
    if scenes is not None:
        digest = digest_of_pictures(scenes)
        # a plugin that stands in for the default detector has no card
        plugin = find_plugin(DEFAULT_DETECTOR, "detection")
        sha = "" if plugin else find_card(DEFAULT_DETECTOR, "detection").sha256
        reference = create_detector(None, RuntimeOptions(threads=threads))
        tests["cross", "given"] = (
            f"{digest} {sha}",
            _given("cross", partial(given_in_pictures, scenes, reference)),
        )
        tests["cross", "pictures"] = digest, partial(_whole, "cross", scenes)
    return tests


def _learnt(data: ClassifierData, limit: int) -> FaceCrops:
    """A sample of the faces to learn from whose labels people gave."""
    learnt = data.learnt
    named = [i for i, p in enumerate(learnt.sources) if data.sources[int(p)].labelled]
    return learnt.select(np.sort(np.random.default_rng(0).permutation(named)[:limit]).astype(np.intp))


def _given(name: str, make: Callable[[], list[GivenFaces]]) -> Callable[[Contender], TestAnswers]:
    """Asks about faces that are made ready for the first method that wants them."""
    kept: list[list[GivenFaces]] = []

    def ask(contender: Contender) -> TestAnswers:
        if not kept:
            kept.append(make())
        return ask_given(contender.recogniser, kept[0], f"{contender.name}, {name}, given faces")

    return ask


def _whole(name: str, pictures: Sequence[AnnotatedPicture], contender: Contender) -> TestAnswers:
    return ask_pictures(contender.recogniser, pictures, f"{contender.name}, {name}, end to end")


def _speeds(
    recipe: ComparisonRecipe, contenders: Sequence[Contender], pictures: Sequence[AnnotatedPicture],
    crops: FaceCrops, file: Path, threads: int,
) -> dict[str, Speed]:  # fmt: skip
    """Times of all methods, from ``file`` where they were taken of the same ones."""
    settings = recipe.speed
    lot = np.random.default_rng(0)
    whole = [pictures[i] for i in np.sort(lot.permutation(len(pictures))[: settings.pictures])]
    some = crops.select(np.sort(lot.permutation(len(crops))[: settings.pictures]).astype(np.intp))
    if not whole or not len(some):
        return {}
    about = [
        VERSION, settings.pictures, settings.rounds, threads, digest_of_pictures(whole),
        digest_of_crops(some), *(f"{c.name} {c.fingerprint}" for c in contenders),
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    kept = _read_speeds(file, key)
    if kept is not None:
        return kept
    images = [picture.read()[0] for picture in whole]
    faces = [(given.image(), given.faces) for given in given_crops(some)]
    per_picture = median_milliseconds(
        {c.name: c.recogniser.gate for c in contenders}, images, settings.rounds, what="speed, pictures"
    )
    per_face = median_milliseconds(
        {c.name: _judging(c) for c in contenders}, faces, settings.rounds, what="speed, given faces"
    )
    speeds = {name: Speed(per_picture[name], per_face[name]) for name in per_picture}
    write_json(file, {"key": key, "methods": {name: vars(speed) for name, speed in speeds.items()}})
    return speeds


def _judging(contender: Contender) -> Callable[[Any], object]:
    return lambda item: contender.recogniser.given(*item)


def _read_speeds(file: Path, key: str) -> dict[str, Speed] | None:
    try:
        content: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        if content["key"] != key:
            return None
        return {name: Speed(**values) for name, values in content["methods"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _robustness(
    recipe: ComparisonRecipe, contenders: Sequence[Contender], cross: Path, data: ClassifierData, keep: Path,
    threads: int,
) -> RobustnessReport:  # fmt: skip
    """All methods on changed faces of the scenes; hands are of people that no training sees."""
    methods = {c.title: Method(c.recogniser.classifier, c.recogniser.gate, c.fingerprint) for c in contenders}
    with tqdm(desc="robustness", mininterval=5, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return measure_robustness(
            methods,
            read_scenes(cross),
            create_detector(None, RuntimeOptions(threads=threads)),
            factors=standard_factors(read_hands(data.hands_to_judge)),
            faces=recipe.robustness.faces,
            pictures=recipe.robustness.pictures,
            keep=keep,
            progress=progress,
        )
