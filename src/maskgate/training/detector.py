"""Training of a detector from a recipe, and its export to ONNX."""

from __future__ import annotations

import json
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

from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings, size_of_view
from maskgate.errors import DataError
from maskgate.files import write_json
from maskgate.nets.retinaface import WIDTHS, ExportedRetinaFace, RetinaFace
from maskgate.training.blending import BlendRecipe, blend
from maskgate.training.classifier_setup import Places
from maskgate.training.detector_data import LabelledPicture, detection_settings, read_picture
from maskgate.training.detector_distil import DetectorDistillation, DetectorTeachers
from maskgate.training.detector_loss import DetectorLoss
from maskgate.training.detector_network import NEW_PARTS, DetectorNetwork, create_network
from maskgate.training.detector_sources import prepare_pictures
from maskgate.training.detector_validation import DrawnPicture, detector_figures
from maskgate.training.exported_start import input_batches
from maskgate.training.labelling import export_detector, load_detector
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.processes import first_ahead, joined_processes
from maskgate.training.quantisation import quantise
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder
from maskgate.training.starts import find_start

STATISTICS = 64
"""Training samples that give an exported start its normalisations back."""


class DetectorTask:
    """RetinaFace on labelled pictures; validated by recall and false faces at inference settings.

    Args:
        net: learns, but for what is ``frozen``, the beginnings of its tensors' names.
        dataset: gives the samples.
        validation: pictures to judge it by...
        settings: ...as a detector with these.
        drawn: pictures with masks drawn on, whose landmarks are known.
        teachers: whose opinion is mixed into the loss.
    """

    def __init__(
        self, net: RetinaFace, dataset: EpochDataset, validation: Sequence[LabelledPicture],
        settings: RetinaFaceSettings, *, drawn: Sequence[DrawnPicture] = (),
        teachers: DetectorTeachers | None = None, frozen: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.model: nn.Module = net
        self.dataset = dataset
        self.validation = validation
        self.settings = settings
        self.drawn = drawn
        self.teachers = teachers
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(not name.startswith(tuple(frozen)))
        self._loss = DetectorLoss()

    def begin_epoch(self, epoch: int) -> None:
        """What learns does so all the time."""

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, kind, boxes, landmarks, has, labels = batch
        outputs = model(x.contiguous(memory_format=torch.channels_last))
        loss, parts = self._loss(outputs, kind, boxes, landmarks, has, labels)
        if self.teachers is not None:
            loss, parts["distance"] = self.teachers.mix(loss, outputs, x)
        return loss, parts

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures over the validation pictures, and over those with drawn masks; faces of 20 px and more."""
        net = ExportedRetinaFace(model.eval())  # type: ignore[arg-type]
        return self.judge(RetinaFaceDetector(TorchSession(net), self.settings))

    def judge(self, detector: RetinaFaceDetector) -> dict[str, float]:
        """Likewise of a detector."""
        found = [detector.detect([read_picture(picture.path)])[0] for picture in self.validation]
        figures = detector_figures(found, self.validation)
        if self.drawn:
            found = [detector.detect([d.image])[0] for d in self.drawn]
            own = detector_figures(found, [d.faces for d in self.drawn])
            figures |= {f"drawn_{k}": own[k] for k in ("recall", "landmark_error", "mouth_error")}
        return figures


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


def train_detector(
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
    network = DetectorNetwork.of(recipe)  # before hours of finding faces
    starts = recipe.get("starts", {})
    find_start(network.start, starts, places.weights, network.backbone)
    looking = detection_settings(recipe)
    mixture = build(BlendRecipe, recipe["blend"], "[blend]") if "blend" in recipe else None
    if mixture is not None:
        if network.widths and tuple(network.widths) != WIDTHS[network.backbone]:
            raise DataError(
                "[blend] averages channel by channel, and pruned networks have different ones; leave widths "
                "out, and prune in a run that starts from this one's model.onnx"
            )
        for name in mixture.networks:
            find_start(name, starts, places.weights, network.backbone)
    teachers = None
    if "distil" in recipe:
        settings = build(DetectorDistillation, recipe["distil"], "[distil]")
        teachers = DetectorTeachers(settings, places.weights, threads)
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = build(LoopSettings, loop_table, "[loop]")
    loop = replace(loop, threads=threads, workers=workers, head=NEW_PARTS)
    seed = int(recipe["seed"])
    run = RunFolder(output, recipe)
    with joined_processes() as processes:
        data = first_ahead(processes, lambda: prepare_pictures(recipe, places, output / "teacher.jsonl"))
        if processes.first:
            run.write_manifest(places.data, data.files)
            style = {} if data.style is None else {"box_style": data.style.offsets.round(4).tolist()}
            write_json(output / "pictures.json", {"sources": data.counts, **style})
        dataset = data.dataset(samples, seed)

        def create(network: DetectorNetwork) -> RetinaFace:
            """An exported start gets its normalisations from the first training pictures."""
            return create_network(
                network, starts, places.weights, seed,
                lambda: input_batches((dataset[i][0] for i in range(STATISTICS)), 8),
            )  # fmt: skip

        net = create(network)
        task = DetectorTask(
            net.to(processes.device), dataset, data.validation,
            looking, drawn=data.drawn, teachers=teachers, frozen=network.frozen,
        )  # fmt: skip
        trained = train(task, loop, run, seed=seed, quiet=quiet)
        if processes.first:
            trained = trained.cpu()
            if mixture is not None:
                others = [create(replace(network, start=name)) for name in mixture.networks]
                trained = blend(trained, others, mixture.shares)
                _add_figures(output, "blend", task.evaluate(trained))
            assert isinstance(trained, RetinaFace)
            _export(trained, network, task, data.learnt, output)


def _export(
    net: RetinaFace, network: DetectorNetwork, task: DetectorTask, pictures: Sequence[LabelledPicture],
    output: Path,
) -> None:  # fmt: skip
    """Writes ``model.onnx``; where its arithmetic is int8, judges it as well."""
    file = output / "model.onnx"
    if network.arithmetic == "float32":
        export_detector(net, file, storage=network.storage)
        return
    whole = output / "model.float32.onnx"
    export_detector(net, whole)
    some = pictures[:: max(len(pictures) // 96, 1)][:96]
    quantise(whole, (_whole_view(picture.path, task.settings) for picture in some), file, _stays_float)
    _add_figures(output, "int8", task.judge(load_detector(file, output, task.settings)))


def _add_figures(output: Path, name: str, figures: Mapping[str, float]) -> None:
    file = output / "figures.json"
    write_json(file, json.loads(file.read_text("utf-8")) | {name: figures})


def _whole_view(path: Path, settings: RetinaFaceSettings, longest: int = 480) -> NDArray[np.float32]:
    """``(1, 3, h, w)``, the network's input of a picture fitted into ``longest`` pixels."""
    image = read_picture(path)
    scale = longest / max(image.shape[:2])
    small = cv2.resize(image, size_of_view(image, scale), interpolation=cv2.INTER_AREA)
    blob = small[None, ..., ::-1].astype(np.float32) - np.array(settings.mean, np.float32)
    return np.ascontiguousarray(blob.transpose(0, 3, 1, 2))


def _stays_float(name: str) -> bool:
    """True of the heads and of the convolutions that see the picture in most detail: the MobileNet's first
    stage, which in bytes does half of the harm and saves no time, and the ResNet's first convolution."""
    return "Head" in name or any(part in name for part in ("/body/stage1/", "/body/conv1/"))
