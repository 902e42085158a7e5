"""Training of the default detector from a recipe, and its export to ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.matching import Matching, match_faces
from maskgate.nets.retinaface import ExportedRetinaFace, RetinaFace, load_published
from maskgate.training.detector_data import DetectorAugmentation, DetectorDataset, LabelledPicture
from maskgate.training.detector_loss import DetectorLoss
from maskgate.training.grouping import difference_hash, group_duplicates, held_out
from maskgate.training.labelling import TeacherRecipe, export_detector, first_file, from_scene, from_teacher
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.templates import read_templates
from maskgate.training.recipe import Source, build, require
from maskgate.training.runs import RunFolder
from maskgate.types import Faces, Image


class DetectorTask:
    """RetinaFace on labelled pictures; validated by recall and false faces at inference settings."""

    def __init__(
        self, net: RetinaFace, dataset: EpochDataset, validation: Sequence[LabelledPicture],
        settings: RetinaFaceSettings,
    ) -> None:  # fmt: skip
        self.model: nn.Module = net
        self.dataset = dataset
        self.validation = validation
        self.settings = settings
        self._loss = DetectorLoss()

    def begin_epoch(self, epoch: int) -> None:
        """Everything learns all the time."""

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, kind, boxes, landmarks, has, labels = batch
        outputs = model(x.contiguous(memory_format=torch.channels_last))
        return self._loss(outputs, kind, boxes, landmarks, has, labels)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Recall and false faces per picture over the validation pictures, faces of 20 px and more."""
        net = ExportedRetinaFace(model.eval())  # type: ignore[arg-type]
        detector = RetinaFaceDetector(TorchSession(net), self.settings)
        found = [detector.detect([read_picture(picture.path)])[0] for picture in self.validation]
        return detector_figures(found, self.validation)


def match_picture(faces: Faces, picture: LabelledPicture) -> Matching:
    """Which of the faces found in a picture is which of its own; regions to ignore come after these."""
    truth = np.concatenate([picture.boxes, picture.ignore])
    return match_faces(faces.boxes, faces.scores, truth, np.arange(len(truth)) >= len(picture.boxes))


def detector_figures(found: Sequence[Faces], pictures: Sequence[LabelledPicture]) -> dict[str, float]:
    """Recall, false faces a picture, and the mean distance of landmarks in distances of the eyes, of the
    faces found in each picture."""
    hits = counted = false = 0
    error, marked = 0.0, 0
    for faces, picture in zip(found, pictures, strict=True):
        match = match_picture(faces, picture)
        hits += int(match.found.sum())
        counted += int(match.counted.sum())
        false += int(match.false.sum())
        for d, g in enumerate(match.truth):
            if 0 <= g < len(picture.boxes) and picture.has_landmarks[g]:
                eyes = picture.landmarks[g, 0] - picture.landmarks[g, 1]
                size = max(float(np.hypot(*eyes)), 0.2 * float(np.ptp(picture.boxes[g, 1::2])), 1.0)
                apart = np.hypot(*(faces.landmarks[d] - picture.landmarks[g]).T).mean()
                error += float(apart) / size
                marked += 1
    return {
        "recall": hits / max(counted, 1),
        "false_per_picture": false / max(len(pictures), 1),
        "landmark_error": error / max(marked, 1),
    }


class TorchSession:
    """A PyTorch module with the face of an ONNX session, so that validation runs the real decoder."""

    def __init__(self, net: ExportedRetinaFace) -> None:
        self.net = net

    def get_inputs(self) -> list[Any]:
        return [ort.NodeArg] and [type("Node", (), {"name": "input"})]

    def get_outputs(self) -> list[Any]:
        names = {"loc": 4, "conf": 2, "landmarks": 10, "labels": self.net.net.labels}
        return [
            type("Node", (), {"name": name, "shape": [1, "anchors", width]})
            for name, width in names.items()
            if width
        ]

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        device = next(self.net.parameters()).device
        with torch.inference_mode():
            outputs = self.net(torch.from_numpy(feed["input"]).to(device))
        given = {node.name: out.cpu().numpy() for node, out in zip(self.get_outputs(), outputs, strict=True)}
        return [given[name] for name in names]


def read_picture(path: Path) -> Image:
    """``(H, W, 3)`` uint8 RGB. Raises :class:`~maskgate.errors.DataError` where it cannot be read."""
    data = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if data is None:
        raise DataError(f"{path} cannot be read as a picture")
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)


def train_detector(
    recipe: dict[str, Any], data: Path, weights: Sequence[Path], output: Path, *, threads: int, workers: int
) -> None:
    """Runs a recipe to the end, or goes on where it stopped; leaves ``model.onnx`` in ``output``.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        data: folder that the recipe's sources are relative to.
        weights: folders that its starting weights are looked for in.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    require(recipe, ("teacher",), "the detector's recipe")
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]
    teacher_recipe = build(TeacherRecipe, recipe["teacher"], "[teacher]")
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = replace(build(LoopSettings, loop_table, "[loop]"), threads=threads, workers=workers)
    augmentation = build(DetectorAugmentation, recipe.get("augmentation", {}), "[augmentation]")
    seed = int(recipe["seed"])
    run = RunFolder(output, recipe)

    files = {source.path: source.files(data) for source in sources}
    everything = [f for fs in files.values() for f in fs]
    labels = teacher_recipe.label(sources, data, weights, output / "teacher.jsonl")
    run.write_manifest(data, everything)

    hashes = np.stack([difference_hash(read_picture(f)) for f in everything])
    out = held_out(everything, group_duplicates(hashes), float(recipe["validation"]), seed)
    aside = {f for f, o in zip(everything, out, strict=True) if o}
    training: list[LabelledPicture] = []
    validation: list[LabelledPicture] = []
    shares: list[float] = []
    for source in sources:
        drawn = {s.path: s for s in read_scenes(data / source.path)} if source.kind == "scenes" else {}
        for file in files[source.path]:
            faces = labels[str(file.relative_to(data))]
            if source.kind == "scenes":
                if file not in drawn:
                    continue
                s = drawn[file]
                picture = from_scene(file, s.boxes, s.labels, s.ignore, faces, teacher_recipe)
            else:
                picture = from_teacher(file, faces, teacher_recipe, source.is_bare(file, data))
            if file in aside:
                if source.kind == "scenes":
                    validation.append(picture)
            elif len(picture.boxes):
                training.append(picture)
                shares.append(source.weight)

    occlusion = recipe.get("occlusion", {})
    hands = [f for folder in occlusion.get("hands", []) for f in sorted((data / folder).glob("*.jpg"))]
    painter = Painter(
        read_templates(data / occlusion["templates"]) if "templates" in occlusion else (), read_hands(hands)
    )
    net = RetinaFace()
    load_published(
        net, torch.load(first_file(weights, recipe["start"]), map_location="cpu", weights_only=True)
    )
    if torch.cuda.is_available():
        net = net.cuda()
    dataset = DetectorDataset(training, shares, samples, augmentation, painter, seed)
    task = DetectorTask(net, dataset, validation, RetinaFaceSettings(anchors=augmentation.anchors))
    trained = train(task, loop, run, seed=seed)
    assert isinstance(trained, RetinaFace)
    export_detector(trained.cpu(), output / "model.onnx")
