"""The methods of a comparison: what each is made of, its training, and the models that come of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskgate.classification.create import create_classifier, open_classifier
from maskgate.detection import Detector
from maskgate.detection.create import create_detector, open_detector
from maskgate.errors import DataError
from maskgate.models.cards import ModelCard, Task
from maskgate.models.registry import find_card, find_plugin
from maskgate.models.sessions import RuntimeOptions
from maskgate.studies.comparison_recipe import ComparisonRecipe, MethodRecipe, Part, TrainedKind
from maskgate.studies.recognisers import Recogniser, recogniser_of
from maskgate.training import publish
from maskgate.training.cascade import train_cascade
from maskgate.training.classifier import train_classifier
from maskgate.training.classifier_setup import Places
from maskgate.training.direct import train_direct
from maskgate.training.eigenfaces import train_eigenfaces
from maskgate.training.facenet_svm import train_facenet_svm
from maskgate.training.mtcnn import publish_mtcnn


@dataclass(frozen=True)
class Trainer:
    """How a kind of model is trained and made a model of.

    Attributes:
        file: what a finished run leaves, written last.
        train: fills a run folder, or goes on with it; takes recipe, places, folder, threads and workers.
        publish: writes model and card of a finished run.
    """

    file: str
    train: Callable[[Mapping[str, Any], Places, Path, int, int], None]
    publish: Callable[[Path, Path, publish.Edition], ModelCard]


TRAINERS: Mapping[TrainedKind, Trainer] = {
    "resnet": Trainer(
        "model.onnx",
        lambda r, p, o, t, w: train_classifier(r, p, o, threads=t, workers=w),
        publish.publish_classifier,
    ),
    "facenet-svm": Trainer(
        "model.zip", lambda r, p, o, t, w: train_facenet_svm(r, p, o, threads=t), publish.publish_facenet_svm
    ),
    "pca": Trainer("model.npz", lambda r, p, o, t, w: train_eigenfaces(r, p, o), publish.publish_pca),
    "cascade": Trainer(
        "model.zip",
        lambda r, p, o, t, w: train_cascade(r, p, o, threads=t, workers=w),
        publish.publish_cascade,
    ),
    "direct": Trainer(
        "model.onnx",
        lambda r, p, o, t, w: train_direct(r, p, o, threads=t, workers=w),
        publish.publish_direct,
    ),
}
"""A further method is one line here, and one in :func:`~maskgate.studies.recognisers.recogniser_of` where
it is no detector with a classifier."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A method that is ready to be tested.

    Attributes:
        name, title: of the method.
        recogniser: the method itself.
        models: names of its models.
        fingerprint: of their weights and settings.
        bytes: of their files; None where another distribution brings one.
        runs: finished run folders that it was trained in.
    """

    name: str
    title: str
    recogniser: Recogniser
    models: tuple[str, ...]
    fingerprint: str
    bytes: int | None
    runs: tuple[Path, ...] = ()


def make_model(
    part: Part, task: Task, recipe: ComparisonRecipe, places: Places, runs: Path, models: Path, *,
    threads: int, workers: int,
) -> ModelCard | str:  # fmt: skip
    """The card of a part, trained first where it has not been; the name of a model of another
    distribution, which has no card.

    Raises :class:`~maskgate.errors.DataError` on recipes, data or weights that cannot be used, and what
    :func:`~maskgate.models.registry.find_card` raises.
    """
    if part.model:
        return part.model if find_plugin(part.model, task) else find_card(part.model, task)
    edition = publish.Edition(part.folder, "1", f"Made by 'maskgate compare': {part.folder}.", "not stated")
    if part.weights:
        card = models / f"{part.folder}.json"
        if card.is_file():
            return ModelCard.load(card)
        return publish_mtcnn(find_weights(part, places), models, edition)
    trainer: Trainer = TRAINERS[part.train]  # type: ignore[index]
    run = runs / part.folder
    if not (run / trainer.file).is_file():
        own = replace(places, recipe=recipe.folders[part.recipe])
        trainer.train(recipe.recipes[part.recipe], own, run, threads, workers)
    return trainer.publish(run, models, edition)


def find_weights(part: Part, places: Places) -> Path:
    """The folder of published weights. Raises :class:`~maskgate.errors.DataError` where there is none."""
    folders = [folder / part.weights for folder in places.weights]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(f"no folder given with --weights has {part.weights}; check --weights and the recipe")


def make_contender(
    method: MethodRecipe, recipe: ComparisonRecipe, places: Places, runs: Path, models: Path, *,
    threads: int, workers: int,
) -> Contender:  # fmt: skip
    """A method with its models trained, published in ``models`` and loaded; see :func:`make_model`."""
    made = {
        task: make_model(part, task, recipe, places, runs, models, threads=threads, workers=workers)
        for task, part in method.parts.items()
    }
    options = RuntimeOptions(threads=threads)
    finder, judge = made["detection"], made.get("classification")
    classifier = None
    if isinstance(judge, ModelCard):
        classifier = open_classifier(judge, options)
    elif judge is not None:
        classifier = create_classifier(judge, options)

    def create(score: float | None) -> Detector:
        if isinstance(finder, str):
            return create_detector(finder, options, score=score)
        return open_detector(finder, options, score=score)

    cards = [card for card in made.values() if not isinstance(card, str)]
    return Contender(
        method.name,
        method.title,
        recogniser_of(method.name, create, classifier),
        tuple(card if isinstance(card, str) else card.name for card in made.values()),
        " ".join(card if isinstance(card, str) else _fingerprint(card) for card in made.values()),
        sum(card.bytes for card in cards) if len(cards) == len(made) else None,
        tuple(runs / part.folder for part in method.parts.values() if part.train),
    )


def _fingerprint(card: ModelCard) -> str:
    return f"{card.sha256} {json.dumps(card.settings, sort_keys=True, default=str)}"


def check_sides(contender: Contender, test: Sequence[str]) -> None:
    """Raises :class:`~maskgate.errors.DataError` where a run has learnt from pictures of the test side.

    ``test`` are the pictures that judge, below the data folder. Of models that were not trained in a run
    folder nothing is known.
    """
    judged = set(test)
    for run in contender.runs:
        file = run / "sides.csv"
        if not file.is_file():
            raise DataError(
                f"{file} is missing, so that nobody knows what the run learnt from; train it again"
            )
        with file.open(newline="", encoding="utf-8") as lines:
            learnt = {row["picture"] for row in csv.DictReader(lines) if row["side"] != "test"}
        seen = sorted(learnt & judged)
        if seen:
            raise DataError(
                f"{run} has learnt from pictures that judge it ({len(seen)}, as {seen[0]}); give the recipes "
                "the same sources, seed and shares, and train it again"
            )
