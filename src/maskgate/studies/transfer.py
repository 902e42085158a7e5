"""The paper's study of transfer learning (Sec. IV): which start learns faster, and which better?"""

from __future__ import annotations

import csv
import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskgate.alignment import CropSpec
from maskgate.classification.softmax import softmax
from maskgate.errors import DataError
from maskgate.files import write_json
from maskgate.nets.classifier import FaceClassifier
from maskgate.studies.faces import SceneFaces, scene_faces
from maskgate.studies.results import Predictions, StudyRun, best_of
from maskgate.training.calibration import fit_temperature
from maskgate.training.classifier import network_recipe, run_recipe
from maskgate.training.classifier_data import INCORRECT, MASK, still_view, still_views
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import ValidationFaces, logits_of
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder
from maskgate.training.starts import find_start
from maskgate.types import Image

TRAINING_SAMPLE = 3000
"""Learnt faces that the accuracy on training pictures is taken from."""


@dataclass(frozen=True)
class Combination:
    """``[[run]]`` of a study's recipe: a network, a start and a strategy, once for each seed."""

    architecture: str
    start: str
    strategy: str = "finetune"
    seeds: tuple[int, ...] = (0,)

    def runs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each run's name and the recipe's fields that make it."""
        for seed in self.seeds:
            start = Path(self.start).stem
            name = f"{self.architecture}-{start}-{self.strategy}-{seed}"
            yield name, {"architecture": self.architecture, "start": self.start, "strategy": self.strategy,
                         "seed": 1000 + seed}  # fmt: skip


def run_transfer_study(
    recipe: Mapping[str, Any], places: Places, output: Path, *, cross: Path | None, threads: int,
    workers: int, only: str = "*",
) -> tuple[list[StudyRun], Mapping[str, Sequence[Image]]]:  # fmt: skip
    """Trains what is not trained yet, tests it, and returns all runs that are finished, and faces
    that the best of them is wrong about.

    All runs see the same faces, split alike; the seed changes the order of samples and the random
    weights. A study that was stopped goes on where it was.

    Args:
        recipe: a classifier's recipe with ``[[run]]`` tables, see :class:`Combination`.
        places: folders of data and weights.
        output: the study's folder; ``runs/`` below it holds a run folder each.
        cross: folder of annotated scenes of another origin, or None.
        only: shell pattern of the names of runs to train now.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    combinations = [build(Combination, table, "[[run]]") for table in recipe.get("run", [])]
    if not combinations:
        raise DataError("the study's recipe has no table [[run]]; name an architecture and a start in each")
    wanted = [(name, fields) for c in combinations for name, fields in c.runs()]
    chosen = [(name, fields) for name, fields in wanted if fnmatch.fnmatch(name, only)]
    for _, fields in chosen:  # before hours of training
        network = network_recipe({**recipe, **fields})
        find_start(network.start, recipe.get("starts", {}), places.weights, network.architecture)
    base = {k: v for k, v in recipe.items() if k != "run"} | {"split_seed": int(recipe["seed"])}
    data = prepare_faces(base, places, output / "teacher.jsonl")
    a = data.augmentation
    scenes = scene_faces(cross, CropSpec("rotate", a.size, a.margin), places.cache) if cross else None
    for name, fields in tqdm(chosen, desc="runs", unit="run"):
        folder = output / "runs" / name
        if not (folder / "run.json").is_file():
            _train_and_test(
                {**base, **fields}, data, scenes, places, folder, threads=threads, workers=workers
            )
    folders = [output / "runs" / name for name, _ in wanted]
    runs = [read_run(folder) for folder in folders if (folder / "run.json").is_file()]
    return runs, error_examples(data, best_of(runs)) if runs else {}


def _train_and_test(
    recipe: Mapping[str, Any], data: ClassifierData, scenes: SceneFaces | None, places: Places, folder: Path,
    *, threads: int, workers: int,
) -> None:  # fmt: skip
    run = RunFolder(folder, recipe)
    net = run_recipe(recipe, data, places, run, threads=threads, workers=workers)
    temperature, threshold = calibrate(net, data.validation)

    def predict(views: Image, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Predictions:
        return Predictions(labels, softmax(logits_of(net, views), temperature), groups)

    learnt = data.learnt
    named = [i for i, p in enumerate(learnt.sources) if data.sources[int(p)].labelled]
    sample = np.random.default_rng(0).permutation(named)[:TRAINING_SAMPLE]
    for name, crops in (("train", learnt.select(sample)), ("test", data.test)):
        views = still_views(crops.images, data.augmentation.margin, data.augmentation.size)
        predict(views, crops.labels, picture_numbers(crops.pictures)).save(folder / f"{name}.npz")
    if scenes is not None:
        predict(scenes.views, scenes.labels, scenes.pictures).save(folder / "cross.npz")
    network = network_recipe(recipe)
    start, _ = find_start(network.start, recipe.get("starts", {}), places.weights, network.architecture)
    (folder / "checkpoint.pt").unlink(missing_ok=True)  # three times the network, and needed no more
    write_json(folder / "run.json", {
        "start": network.start, "start_description": start.description, "architecture": network.architecture,
        "strategy": network.strategy, "seed": int(recipe["seed"]), "parameters": parameters_of(net),
        "non_commercial": start.non_commercial, "threshold": threshold, "temperature": temperature,
    })  # fmt: skip


def picture_numbers(pictures: Sequence[str]) -> NDArray[np.int64]:
    """``(N,)`` a number for each picture's name, the same for the same name."""
    return np.unique(np.array(pictures), return_inverse=True)[1].astype(np.int64)


def parameters_of(net: FaceClassifier) -> int:
    """Number of weights, frozen ones included."""
    return sum(p.numel() for p in net.parameters())


def calibrate(net: FaceClassifier, validation: ValidationFaces) -> tuple[float, float]:
    """Temperature and threshold (:func:`best_threshold`) from the held-out faces as they are."""
    real = validation.kinds == 0
    logits, labels = logits_of(net, validation.views[real]), validation.labels[real]
    temperature = fit_temperature(logits, labels)
    return temperature, best_threshold(softmax(logits, temperature)[:, 0], labels)


def best_threshold(p_mask: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The P(mask) with the highest accuracy of mask against no mask; of several, the middle."""
    two = labels != INCORRECT
    truth, p = labels[two] == MASK, p_mask[two]
    order = np.sort(np.unique(p))
    cuts = np.concatenate([[0.0], (order[1:] + order[:-1]) / 2, [1.0]]) if len(order) else np.array([0.5])
    right = np.array([(truth == (p >= c)).mean() if len(p) else 0.0 for c in cuts])
    best = cuts[right == right.max()]
    return float(np.clip(best[len(best) // 2], 0.01, 0.99))


def read_run(folder: Path) -> StudyRun:
    """A finished run of a study."""
    about = json.loads((folder / "run.json").read_text())
    about.pop("temperature", None)
    with (folder / "curves.csv").open(newline="") as file:
        epochs = tuple({k: float(v) for k, v in row.items()} for row in csv.DictReader(file))
    cross = folder / "cross.npz"
    return StudyRun(
        **about,
        epochs=epochs,
        train=Predictions.load(folder / "train.npz"),
        test=Predictions.load(folder / "test.npz"),
        cross=Predictions.load(cross) if cross.is_file() else None,
    )


def recipe_for_folder(
    data: Path, starts: Mapping[str, Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A study's recipe for a folder of the user's own: scenes with ``annotations.json``, or
    photographs in a folder a label.

    Raises :class:`~maskgate.errors.DataError` where the folder is neither.
    """
    if (data / "annotations.json").is_file():
        source: dict[str, Any] = {"path": ".", "kind": "scenes"}
    else:
        labels = {f.name: label_of_folder(f.name) for f in sorted(data.iterdir()) if f.is_dir()}
        known = {name: label for name, label in labels.items() if label}
        if not {"mask", "no_mask"} <= set(known.values()):
            raise DataError(
                f"{data} holds neither annotations.json nor a folder of each label; "
                "name the folders mask, no_mask and incorrect"
            )
        source = {"path": ".", "kind": "photos", "labels": known}
    shares = (
        [0.5, 0.5, 0.0]
        if "incorrect" not in source.get("labels", {"x": "incorrect"}).values()
        else [0.42, 0.34, 0.24]
    )
    return {
        "seed": 0, "start": "scratch", "validation": 0.15, "test": 0.2,
        "source": [source], "starts": dict(starts),
        "augmentation": {"size": 80, "shares": shares, "drawn_masks": 0.0, "drawn_wrong": 0.3,
                         "covered": 0.2},
        "loop": {"epochs": 10, "samples": 3072, "batch": 64, "rate": 3e-4, "head_rate": 3.0, "warm_up": 50,
                 "decay": 0.05, "average": 0.95},
        "run": list(runs),
    }  # fmt: skip


def label_of_folder(name: str) -> str | None:
    """The label that a folder's name means, in the words that public sets use; None for others."""
    word = name.lower().replace("-", "_").replace(" ", "_")
    if word in (
        "incorrect",
        "wrong",
        "mask_weared_incorrect",
        "incorrect_mask",
        "mask_incorrect",
        "improper",
    ):
        return "incorrect"
    if word in ("no_mask", "without_mask", "nomask", "non_mask", "unmasked", "bare", "without"):
        return "no_mask"
    if word in ("mask", "with_mask", "masked", "withmask", "with"):
        return "mask"
    return None


def error_examples(data: ClassifierData, run: StudyRun, limit: int = 24) -> Mapping[str, Sequence[Image]]:
    """Held-out faces of the same sources that a run is most wrong about, by what they were taken for."""
    crops = data.test
    p = run.test.probabilities
    called = np.where(p[:, 0] >= run.threshold, 0, 1)
    truth = (run.test.truth != MASK).astype(np.int64)
    examples: dict[str, Sequence[Image]] = {}
    for name, wrong in (
        ("wearers taken for violators", (truth == 0) & (called == 1)),
        ("violators taken for wearers", (truth == 1) & (called == 0)),
    ):
        order = np.flatnonzero(wrong)
        order = order[np.argsort(-np.abs(p[order, 0] - run.threshold))][:limit]
        examples[name] = [still_view(crops.images[i], data.augmentation.margin, 96) for i in order]
    return examples
