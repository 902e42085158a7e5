"""Training of a classifier from a recipe, its calibration, and its export to ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskgate.classification.resnet import combine, second_looks
from maskgate.classification.softmax import softmax
from maskgate.errors import DataError
from maskgate.evaluation.metrics import expected_calibration_error
from maskgate.files import write_atomic, write_json
from maskgate.nets.backbones import ARCHITECTURES, create_backbone
from maskgate.nets.classifier import FaceClassifier
from maskgate.training.calibration import fit_temperature, fit_threshold
from maskgate.training.classifier_export import export_classifier
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import ValidationFaces, logits_of
from maskgate.training.distillation import Distillation, Teachers
from maskgate.training.export import Storage
from maskgate.training.exported_start import input_batches, load_exported
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.processes import Processes, first_ahead, joined_processes
from maskgate.training.recipe import build, require
from maskgate.training.runs import RunFolder
from maskgate.training.starts import EXPORTED, find_start, load_start
from maskgate.training.strategies import Strategy, apply_strategy

SURE = 0.8
"""Faces of a smaller probability are looked at again: one in thirty."""

DROPOUT = 0.2

STATISTICS = 512
"""Training samples that give an exported start its normalisations back."""


@dataclass(frozen=True)
class NetworkRecipe:
    """What is trained, and from where.

    Attributes:
        architecture: see :data:`~maskgate.nets.backbones.ARCHITECTURES`.
        start: ``scratch``, a name of the recipe's ``[starts]``, a file of weights, or a classifier that is
            installed.
        strategy: ``finetune``, ``frozen`` or ``gradual``.
        storage: of the weights in ``model.onnx``: ``float32``, ``float16`` or ``int8``.
    """

    architecture: str
    start: str
    strategy: str = "finetune"
    storage: Storage = "float16"

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise DataError(f"there is no architecture {self.architecture!r}; known are {known}")
        if self.strategy not in list(Strategy):
            raise DataError(f"the strategy is {self.strategy!r}; use {', '.join(Strategy)}")


class ClassifierTask:
    """Cross-entropy on crops, mixed with a teacher's opinion where there is one; validated on still
    views of held-out faces, drawn ones included."""

    def __init__(
        self, net: FaceClassifier, dataset: EpochDataset, validation: ValidationFaces, smoothing: float,
        strategy: Strategy = Strategy.FINETUNE, epochs: int = 1, teachers: Teachers | None = None,
    ) -> None:  # fmt: skip
        self.model: nn.Module = net
        self.net = net
        self.dataset = dataset
        self.validation = validation
        self.smoothing = smoothing
        self.strategy = strategy
        self.epochs = epochs
        self.teachers = teachers

    def begin_epoch(self, epoch: int) -> None:
        apply_strategy(self.net, self.strategy, epoch, self.epochs)

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, label = batch
        scores = model(x.float().contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(scores, label, label_smoothing=self.smoothing)
        if self.teachers is not None:
            loss = self.teachers.mix(loss, scores, x)
        return loss, {"accuracy": (scores.argmax(1) == label).float().mean().item()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return self.validation.figures(softmax(logits_of(model, self.validation.views)))


def train_classifier(
    recipe: Mapping[str, Any], places: Places, output: Path, *, threads: int, workers: int
) -> None:
    """Runs a recipe to the end, or goes on where it stopped; leaves ``model.onnx`` in ``output``.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        places: folders of data and weights.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    require(recipe, ("architecture",), "the classifier's recipe")
    network = network_recipe(recipe)  # before hours of finding faces
    find_start(network.start, recipe.get("starts", {}), places.weights, network.architecture)
    run = RunFolder(output, {**recipe, "labeller": str(places.labeller)})
    with joined_processes() as processes:
        data = first_ahead(processes, lambda: prepare_faces(recipe, places, output / "teacher.jsonl"))
        if processes.first:
            run.write_manifest(places.data, [places.data / p for p in set(data.crops.pictures)])
            write_json(output / "crops.json", data.counts())
            write_atomic(output / "sides.csv", data.table().encode())
        net = run_recipe(recipe, data, places, run, processes, threads=threads, workers=workers)
        if processes.first:
            test = data.testing if len(data.test) else None
            finish(net, data.validation, data.augmentation.size, output, storage=network.storage, test=test)


def network_recipe(recipe: Mapping[str, Any]) -> NetworkRecipe:
    """The recipe's fields that name the network."""
    names = ("architecture", "start", "strategy", "storage")
    return build(NetworkRecipe, {k: recipe[k] for k in names if k in recipe}, "the classifier's recipe")


def run_recipe(
    recipe: Mapping[str, Any], data: ClassifierData, places: Places, run: RunFolder,
    processes: Processes = Processes(), *, threads: int, workers: int, quiet: bool = False,  # noqa: B008
) -> FaceClassifier:  # fmt: skip
    """Trains the recipe's network on faces that are ready; returns it on the CPU."""
    network = network_recipe(recipe)
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = replace(build(LoopSettings, loop_table, "[loop]"), threads=threads, workers=workers, head=("fc.",))
    seed = int(recipe["seed"])
    start, file = find_start(network.start, recipe.get("starts", {}), places.weights, network.architecture)
    torch.manual_seed(seed)
    backbone = create_backbone(network.architecture, data.augmentation.size, start.stride_in)
    if file is not None and file.suffix == EXPORTED:
        views = data.dataset(STATISTICS, seed)
        load_exported(backbone, file, input_batches(views[i][0] for i in range(len(views))))
    elif file is not None:
        load_start(backbone, file)
    net = FaceClassifier(backbone, 3, DROPOUT).to(processes.device)
    teachers = None
    if "distil" in recipe:
        teachers = Teachers(build(Distillation, recipe["distil"], "[distil]"), places.weights, threads)
    strategy = Strategy(network.strategy)
    task = ClassifierTask(
        net, data.dataset(samples, seed), data.validation, data.augmentation.smoothing, strategy, loop.epochs,
        teachers,
    )  # fmt: skip
    trained = train(task, loop, run, seed=seed, quiet=quiet).cpu()
    assert isinstance(trained, FaceClassifier)
    return trained


def finish(
    net: nn.Module,
    validation: ValidationFaces,
    size: int,
    output: Path,
    *,
    storage: Storage = "float16",
    test: ValidationFaces | None = None,
) -> None:
    """Calibrates on the held-out photographs and exports; writes ``figures.json`` and
    ``validation.csv``. ``test`` faces, if there are any, judge the result and change nothing."""
    logits = logits_of(net, validation.views)
    real = validation.kinds == 0
    temperature = fit_temperature(logits[real], validation.labels[real])
    probabilities = probabilities_of(net, validation, temperature)
    threshold = fit_threshold(probabilities[real, 0], validation.labels[real])
    figures: dict[str, Any] = {
        "temperature": temperature,
        "threshold": threshold,
        "sure": SURE,
        "validation_faces": int(real.sum()),
        "validation": validation.figures(probabilities, threshold),
    }
    if test is not None:
        judged = probabilities_of(net, test, temperature)
        own = test.kinds == 0
        right = judged[own].argmax(1) == test.labels[own]
        figures["test_faces"] = int(own.sum())
        figures["test"] = test.figures(judged, threshold) | {
            "ece": expected_calibration_error(judged[own].max(1), right)
        }
    write_json(output / "figures.json", figures)
    write_atomic(output / "validation.csv", validation.table(probabilities).encode())
    export_classifier(net, temperature, size, output / "model.onnx", storage)


def probabilities_of(net: nn.Module, validation: ValidationFaces, temperature: float) -> Any:
    """``(N, 3)`` probabilities as the pipeline gives them: unsure faces are looked at again."""
    probabilities = softmax(logits_of(net, validation.views), temperature)
    unsure = probabilities.max(1) < SURE
    if unsure.any():
        views = second_looks(validation.views[unsure])
        looks = [softmax(logits_of(net, view), temperature) for view in views]
        probabilities[unsure] = combine([probabilities[unsure], *looks])
    return np.asarray(probabilities)
