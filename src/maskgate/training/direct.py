"""Training of direct mask finding: RetinaFace with a head of labels, its calibration, and its export.

Pictures are on the sides of the split that the classifier's recipe puts them on, so that both can be
compared. The paper names this type of method (Sec. II) and tells nothing of how it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maskgate.classification.softmax import softmax
from maskgate.detection import LabelledFaces
from maskgate.detection.direct import DirectMaskFinder
from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.files import plain, write_atomic, write_json
from maskgate.nets.retinaface import ExportedRetinaFace, RetinaFace, load_published
from maskgate.training.calibration import fit_temperature, fit_threshold
from maskgate.training.classifier_setup import Places, prepare_faces
from maskgate.training.classifier_validation import label_figures
from maskgate.training.crops import UNKNOWN, read_corrections
from maskgate.training.detector import DetectorTask, TorchSession
from maskgate.training.detector_data import (
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
    detection_settings,
    read_picture,
)
from maskgate.training.detector_loss import DetectorLoss
from maskgate.training.detector_pruning import widths_of
from maskgate.training.detector_validation import detector_figures, match_picture
from maskgate.training.direct_data import SourcePicture, read_pictures, weights_of, without_duplicates
from maskgate.training.face_labels import read_face_labels
from maskgate.training.labelling import TeacherRecipe, export_detector, label_with_own_detector
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.recipe import Source, build
from maskgate.training.runs import RunFolder
from maskgate.training.splits import TEST, TRAINING, VALIDATION
from maskgate.training.starts import find_start, read_state
from maskgate.types import LABELS

NEW = "LabelHead."
"""What a detector's weights do not have; it learns from random."""

_OWN_DETECTOR = TeacherRecipe((), (), certain=0.8, doubtful=0.25)
"""Scores from which faces count where a recipe has no teacher."""


@dataclass(frozen=True)
class DirectRecipe:
    """``[direct]`` of a recipe.

    Attributes:
        incorrect: pictures that show a mask worn wrongly are drawn so many times as often.
        label_weight: weight of the labels' loss.
    """

    incorrect: float = 3.0
    label_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.incorrect > 0 and self.label_weight > 0):
            raise DataError("[direct] wants incorrect and label_weight above 0")


class DirectTask(DetectorTask):
    """RetinaFace with labels; validated as a detector, and by the labels of the faces that it finds."""

    def __init__(
        self, net: RetinaFace, dataset: EpochDataset, validation: Sequence[LabelledPicture],
        settings: RetinaFaceSettings, label_weight: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(net, dataset, validation, settings)
        self._loss = DetectorLoss(label_weight=label_weight)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures of the detector, then of the labels at a threshold of 0.5."""
        assert isinstance(model, RetinaFace)
        return figures_of(find_in(model, self.validation, self.settings), self.validation)


def find_in(
    net: RetinaFace, pictures: Sequence[LabelledPicture], settings: RetinaFaceSettings
) -> list[LabelledFaces]:
    """What the network finds in each picture, as inference does; temperature 1."""
    session: Any = TorchSession(ExportedRetinaFace(net.eval()))
    finder = DirectMaskFinder(session, settings)
    return [finder.find([read_picture(picture.path)])[0] for picture in pictures]


def judged_faces(
    found: Sequence[LabelledFaces], pictures: Sequence[LabelledPicture]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels ``(N,)`` and probabilities ``(N, 3)`` of the faces of 20 pixels and more that were found and
    whose label is known."""
    labels = [np.zeros(0, np.int64)]
    probabilities = [np.zeros((0, len(LABELS)))]
    for some, picture in zip(found, pictures, strict=True):
        match = match_picture(some.faces, picture)
        known = np.append(picture.labels, np.full(len(picture.ignore), UNKNOWN)) != UNKNOWN
        counts = np.append(match.counted & known, False)  # the last for detections of no face
        hits = np.flatnonzero(counts[match.truth])
        labels.append(picture.labels[match.truth[hits]])
        probabilities.append(some.probabilities[hits].astype(np.float64))
    return np.concatenate(labels), np.concatenate(probabilities)


def figures_of(
    found: Sequence[LabelledFaces], pictures: Sequence[LabelledPicture], temperature: float = 1.0,
    threshold: float = 0.5,
) -> dict[str, float]:  # fmt: skip
    """Figures as a detector's, and of the labels of what was found."""
    labels, probabilities = judged_faces(found, pictures)
    own = label_figures(labels, tempered(probabilities, temperature), threshold)
    own = {"label_loss": own.pop("loss")} | own
    return detector_figures([some.faces for some in found], pictures) | own


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities ``(N, K)`` of a softmax, as it would give them with that temperature."""
    return softmax(np.log(np.maximum(probabilities, 1e-12)), temperature)


def train_direct(
    recipe: Mapping[str, Any], places: Places, output: Path, *, threads: int, workers: int,
    quiet: bool = False,
) -> None:  # fmt: skip
    """Runs a recipe to the end, or goes on where it stopped; leaves ``model.onnx`` in ``output``.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        places: folders of data and weights.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    # before hours of finding faces
    own = build(DirectRecipe, recipe.get("direct", {}), "[direct]")
    augmentation = build(DetectorAugmentation, recipe.get("augmentation", {}), "[augmentation]")
    settings = detection_settings(recipe)
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = build(LoopSettings, loop_table, "[loop]")
    loop = replace(loop, threads=threads, workers=workers, head=(NEW,))
    seed = int(recipe["seed"])
    net = create_network(recipe, places.weights, seed)
    run = RunFolder(output, {**recipe, "architecture": "direct"})

    # [augmentation] is of whole pictures here, not of cut faces
    faces_recipe = {name: table for name, table in recipe.items() if name != "augmentation"}
    data = prepare_faces(faces_recipe, replace(places, labeller=None), output / "teacher.jsonl")
    pictures = label_sources(recipe, places, output / "teacher.jsonl")
    sides = dict(zip(data.crops.pictures, data.sides.tolist(), strict=True))
    held_out = data.crops.select(data.sides != TRAINING)
    more = [p for p in pictures if not p.source.labelled and len(p.faces.boxes)]
    learnt = [p for p in pictures if sides.get(p.name) == TRAINING and len(p.faces.boxes)]
    learnt += without_duplicates(more, held_out)
    validation, test = (
        [p.faces for p in pictures if sides.get(p.name) == side and p.source.kind != "crops"]
        for side in (VALIDATION, TEST)
    )
    if not learnt or not any((p.labels != UNKNOWN).any() for p in validation):
        raise DataError("no picture with a labelled face is on the training or the validation side; add some")
    run.write_manifest(places.data, [places.data / p.name for p in pictures])
    write_atomic(output / "sides.csv", data.table().encode())

    weights = weights_of(learnt, own.incorrect)
    dataset = DetectorDataset([p.faces for p in learnt], weights, samples, augmentation, data.painter, seed)
    task = DirectTask(net, dataset, validation, settings, own.label_weight)
    trained = train(task, loop, run, seed=seed, quiet=quiet)
    assert isinstance(trained, RetinaFace)
    finish(trained, settings, validation, test, output)


def create_network(recipe: Mapping[str, Any], weights: Sequence[Path], seed: int) -> RetinaFace:
    """RetinaFace with a head of labels: the rest from the recipe's start, a detector's weights.

    Raises :class:`~maskgate.errors.DataError` where there is no such file, or it is of another network.
    """
    _, file = find_start(recipe["start"], recipe.get("starts", {}), weights, "retinaface")
    torch.manual_seed(seed)
    state = None if file is None else read_state(file)
    of_detector = state is not None and "fpn.output1.0.weight" in state
    net = RetinaFace(labels=len(LABELS), widths=widths_of(state) if state and of_detector else None)
    if state is not None:
        try:
            load_published(net, state, new=(NEW,))
        except KeyError as error:
            raise DataError(f"{file} is no start for direct mask finding: {error.args[0]}") from error
    return net.cuda() if torch.cuda.is_available() else net


def label_sources(recipe: Mapping[str, Any], places: Places, cache: Path) -> list[SourcePicture]:
    """All pictures of the recipe's sources, those without labels too; ``cache`` holds faces found."""
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]
    known = read_face_labels(places.face_labels) if places.face_labels else {}
    if "teacher" in recipe:
        teacher = build(TeacherRecipe, recipe["teacher"], "[teacher]")
        found = teacher.label(sources, places.data, places.weights, cache, known)
    else:
        teacher = _OWN_DETECTOR
        found = label_with_own_detector(sources, places.data, cache, known)
    corrections = read_corrections(places.recipe / recipe["corrections"]) if "corrections" in recipe else {}
    return read_pictures(sources, places.data, found, corrections, teacher)


def finish(
    net: RetinaFace, settings: RetinaFaceSettings, validation: Sequence[LabelledPicture],
    test: Sequence[LabelledPicture], output: Path,
) -> None:  # fmt: skip
    """Fits temperature and threshold on what is found in the validation pictures, and exports; writes
    ``figures.json``. ``test`` pictures, if there are any, judge the result and change nothing."""
    found = find_in(net, validation, settings)
    labels, probabilities = judged_faces(found, validation)
    temperature = fit_temperature(np.log(np.maximum(probabilities, 1e-12)), labels) if len(labels) else 1.0
    threshold = fit_threshold(tempered(probabilities, temperature)[:, 0], labels)
    figures: dict[str, Any] = {
        "temperature": temperature,
        "threshold": threshold,
        "validation_faces": len(labels),
        "validation": figures_of(found, validation, temperature, threshold),
    }
    if test:
        found = find_in(net, test, settings)
        figures["test_faces"] = len(judged_faces(found, test)[0])
        figures["test"] = figures_of(found, test, temperature, threshold)
    write_json(output / "figures.json", plain(figures))
    export_detector(net.cpu(), output / "model.onnx", temperature)
