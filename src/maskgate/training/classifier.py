"""Training of the default classifier from a recipe, its calibration, and its export to ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from maskgate.classification.quality import sharpness
from maskgate.classification.resnet import combine, second_looks
from maskgate.evaluation.matching import SMALLEST
from maskgate.evaluation.metrics import roc_auc
from maskgate.nets.face_resnet import BLOCKS, FaceResNet, load_recognition_weights
from maskgate.training.calibration import fit_temperature, fit_threshold, softmax
from maskgate.training.classifier_data import (
    INCORRECT,
    MASK,
    NO_MASK,
    ClassifierAugmentation,
    ClassifierDataset,
    paint,
    still_view,
)
from maskgate.training.crops import UNKNOWN, FaceCrops, cut_faces, read_corrections
from maskgate.training.export import export_onnx
from maskgate.training.grouping import difference_hash, group_duplicates, held_out
from maskgate.training.labelling import TeacherRecipe
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.occlusion.hands import Hand, lay_hand, read_hands
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.templates import read_templates
from maskgate.training.recipe import Source, build, require
from maskgate.training.runs import RunFolder, write_atomic, write_json
from maskgate.types import LABELS, Image

SURE = 0.8
"""Faces of a smaller probability are looked at again: one in thirty."""


class ClassifierTask:
    """Cross-entropy on crops; validated on still views of held-out faces, drawn ones included."""

    def __init__(
        self, net: FaceResNet, dataset: EpochDataset, validation: ValidationFaces, smoothing: float
    ) -> None:
        self.model: nn.Module = net
        self.dataset = dataset
        self.validation = validation
        self.smoothing = smoothing

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, label = batch
        scores = model(x.float().contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(scores, label, label_smoothing=self.smoothing)
        return loss, {"accuracy": (scores.argmax(1) == label).float().mean().item()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return self.validation.figures(softmax(logits_of(model, self.validation.views)))


@dataclass(frozen=True, eq=False)
class ValidationFaces:
    """Held-out faces as inference sees them.

    ``views`` ``(N, S, S, 3)`` uint8, ``labels`` ``(N,)``, ``kinds`` ``(N,)``: 0 a photograph as it
    is, 1 drawn on, 2 a bare face with a hand over the mouth; ``sizes`` ``(N,)``: longer side of
    the face's box in pixels of its picture.
    """

    views: Image
    labels: NDArray[np.int64]
    kinds: NDArray[np.int64]
    sizes: NDArray[np.float32]

    def figures(self, p: NDArray[np.float64], threshold: float = 0.5) -> dict[str, float]:
        """Figures at a threshold on P(mask), from ``(N, 3)`` probabilities."""
        real = self.kinds == 0
        two = real & (self.labels != INCORRECT)
        called = p[:, 0] >= threshold

        def share(of: NDArray[np.bool_], hit: NDArray[np.bool_]) -> float:
            return float(hit[of].mean()) if of.any() else float("nan")

        nll = -np.log(np.maximum(p[np.arange(len(p)), self.labels], 1e-12))
        return {
            "loss": float(nll[real].mean()),
            "accuracy": share(two, called == (self.labels == MASK)),
            "roc_auc": roc_auc((self.labels[two] == MASK), p[two, 0]),
            "recall_mask": share(two & (self.labels == MASK), called),
            "recall_no_mask": share(two & (self.labels == NO_MASK), ~called),
            "incorrect_flagged": share(real & (self.labels == INCORRECT), ~called),
            "drawn_incorrect_flagged": share((self.kinds == 1) & (self.labels == INCORRECT), ~called),
            "covered_called_mask": share((self.kinds == 1) & (self.labels == NO_MASK), called),
            "hand_called_mask": share(self.kinds == 2, called),
        }

    def table(self, probabilities: NDArray[np.float64]) -> str:
        """The photographs as they are, a line of CSV each: label, probabilities, size and sharpness."""
        lines = ["label,mask,no_mask,incorrect,size,sharpness"]
        for i in np.flatnonzero(self.kinds == 0):
            numbers = [*probabilities[i], self.sizes[i], sharpness(self.views[i])]
            lines.append(",".join([LABELS[self.labels[i]], *(f"{v:.6g}" for v in numbers)]))
        return "\n".join(lines) + "\n"


def validation_faces(
    crops: FaceCrops, painter: Painter, hands: list[Hand], a: ClassifierAugmentation, seed: int,
    limit: int = 300,
) -> ValidationFaces:  # fmt: skip
    """Still views of all held-out crops, and of bare ones drawn on (up to ``limit`` of each kind)."""
    rng = np.random.default_rng((seed, 99))
    views = [still_view(c, a.margin, a.size) for c in crops.images]
    labels, kinds, sizes = list(crops.labels), [0] * len(crops), list(crops.sizes)
    bare = (crops.labels == NO_MASK) & ~np.isnan(crops.landmarks).any((1, 2)) & (crops.sizes >= 24)
    for i in rng.permutation(np.flatnonzero(bare))[:limit]:
        for label in (NO_MASK, INCORRECT):
            drawn = paint(crops.images[i], crops.landmarks[i], label, painter, rng)
            views.append(still_view(drawn, a.margin, a.size))
            labels.append(label)
            kinds.append(1)
            sizes.append(crops.sizes[i])
        if hands:
            covered = lay_hand(crops.images[i], crops.landmarks[i], hands[int(rng.integers(len(hands)))], rng)
            views.append(still_view(covered, a.margin, a.size))
            labels.append(NO_MASK)
            kinds.append(2)
            sizes.append(crops.sizes[i])
    return ValidationFaces(
        np.stack(views), np.array(labels, np.int64), np.array(kinds, np.int64), np.array(sizes, np.float32)
    )


def logits_of(model: nn.Module, views: Image, batch: int = 64) -> NDArray[np.float64]:
    """``(N, 3)`` scores before the softmax of ``(N, S, S, 3)`` uint8 views."""
    device = next(model.parameters()).device
    model.eval()
    parts = []
    with torch.inference_mode():
        for i in range(0, len(views), batch):
            x = torch.from_numpy(views[i : i + batch].transpose(0, 3, 1, 2).copy()).to(device).float()
            parts.append(model(x).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


class ExportedClassifier(nn.Module):
    """The graph that ships: ``(N, S, S, 3)`` uint8 RGB to ``(N, 3)`` probabilities, calibrated."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, crops: Tensor) -> Tensor:
        scores: Tensor = self.net(crops.permute(0, 3, 1, 2).float())
        return (scores / self.temperature).softmax(1)


def export_classifier(net: FaceResNet, temperature: float, size: int, path: Path) -> None:
    """Writes the calibrated classifier as ONNX with float16 weights, for any batch size."""
    halved = FaceResNet(net.fc.out_features, net.layout)
    halved.load_state_dict(net.state_dict())
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    axes = {"crops": {0: "batch"}, "probabilities": {0: "batch"}}
    export_onnx(ExportedClassifier(halved.eval(), temperature), example, path, axes, half_weights=True)


def pseudo_labels(
    crops: FaceCrops, sources: list[Source], labeller: Path, a: ClassifierAugmentation
) -> FaceCrops:
    """Gives faces without a label that of an earlier model where it is confident; drops the others.

    ``labeller`` is an earlier run's ``model.onnx``. A face is kept where the mean probability over
    the view and its mirror image reaches its source's ``confident``.
    """
    unknown = np.flatnonzero(crops.labels == UNKNOWN)
    session = ort.InferenceSession(str(labeller))
    labels = crops.labels.copy()
    for i in unknown:
        view = still_view(crops.images[i], a.margin, a.size)
        pair = np.stack([view, view[:, ::-1]])
        p = session.run(None, {session.get_inputs()[0].name: pair})[0].mean(0)
        if p.max() >= sources[int(crops.sources[i])].confident:
            labels[i] = int(p.argmax())
    named = FaceCrops(crops.images, crops.landmarks, labels, crops.sources, crops.sizes, crops.pictures)
    return named.select(labels != UNKNOWN)


def train_classifier(
    recipe: dict[str, Any], folder: Path, data: Path, weights: Path, output: Path, *,
    threads: int, workers: int, labeller: Path | None = None, face_labels: Path | None = None,
) -> None:  # fmt: skip
    """Runs a recipe to the end, or goes on where it stopped; leaves ``model.onnx`` in ``output``.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        folder: where the recipe lies; its corrections are relative to it.
        data, weights: folders that the recipe's other paths are relative to.
        output: the run folder.
        labeller: ``model.onnx`` of an earlier run, which labels the sources that have no labels;
            without one they are left out.
        face_labels: faces found by an earlier run (its ``teacher.jsonl``), to save the time.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    require(recipe, ("blocks", "corrections", "occlusion", "wearers_accused"), "the classifier's recipe")
    require(recipe["occlusion"], ("hands", "templates"), "[occlusion]")
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]
    if labeller is None:
        sources = [s for s in sources if s.labelled]
    a = build(ClassifierAugmentation, recipe.get("augmentation", {}), "[augmentation]")
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = replace(build(LoopSettings, loop_table, "[loop]"), threads=threads, workers=workers, head=("fc.",))
    seed = int(recipe["seed"])
    run = RunFolder(output, recipe | {"labeller": str(labeller)})

    found = face_labels or output / "teacher.jsonl"
    faces = build(TeacherRecipe, recipe["teacher"], "[teacher]").label(sources, data, weights, found)
    crops = cut_faces(sources, data, faces, read_corrections(folder / recipe["corrections"]))
    if labeller is not None:
        crops = pseudo_labels(crops, sources, labeller, a)
    run.write_manifest(data, [data / p for p in set(crops.pictures)])
    write_json(output / "crops.json", {
        s.path: {k: int(((crops.sources == i) & (crops.labels == n)).sum())
                 for n, k in enumerate(("mask", "no_mask", "incorrect"))}
        for i, s in enumerate(sources)
    })  # fmt: skip

    aside = _held_out_crops(crops, float(recipe["validation"]), seed)
    trusted = np.array([s.labelled for s in sources])[crops.sources]
    occlusion = recipe["occlusion"]
    files = [f for h in occlusion["hands"] for f in sorted((data / h).glob("*.jpg"))]
    learn, keep = _split_hands(files, data)
    templates = read_templates(data / occlusion["templates"])
    kept = read_hands(keep)
    judged = aside & trusted & (crops.sizes >= SMALLEST)
    validation = validation_faces(crops.select(judged), Painter(templates, kept), kept, a, seed)
    dataset = ClassifierDataset(crops.select(~aside), samples, a, Painter(templates, read_hands(learn)), seed)

    net = FaceResNet(3, BLOCKS[: int(recipe["blocks"])], dropout=0.2)
    torch.manual_seed(seed)
    nn.init.normal_(net.fc.weight, std=0.01)
    load_recognition_weights(net, load_file(weights / recipe["start"]))
    if torch.cuda.is_available():
        net = net.cuda()
    task = ClassifierTask(net, dataset, validation, a.smoothing)
    trained = train(task, loop, run, seed=seed).cpu()
    assert isinstance(trained, FaceResNet)
    finish(trained, validation, a, float(recipe["wearers_accused"]), output)


def finish(
    net: FaceResNet, validation: ValidationFaces, a: ClassifierAugmentation, wearers_accused: float,
    output: Path,
) -> None:  # fmt: skip
    """Calibrates on the held-out photographs and exports; writes ``figures.json`` and
    ``validation.csv``."""
    logits = logits_of(net, validation.views)
    real = validation.kinds == 0
    temperature = fit_temperature(logits[real], validation.labels[real])
    probabilities = softmax(logits, temperature)
    unsure = probabilities.max(1) < SURE
    if unsure.any():
        views = second_looks(validation.views[unsure])
        looks = [softmax(logits_of(net, view), temperature) for view in views]
        probabilities[unsure] = combine([probabilities[unsure], *looks])
    threshold = fit_threshold(probabilities[real, 0], validation.labels[real], wearers_accused)
    figures: Mapping[str, Any] = {
        "temperature": temperature,
        "threshold": threshold,
        "sure": SURE,
        "validation_faces": int(real.sum()),
        "validation": validation.figures(probabilities, threshold),
    }
    write_json(output / "figures.json", figures)
    write_atomic(output / "validation.csv", validation.table(probabilities).encode())
    export_classifier(net, temperature, a.size, output / "model.onnx")


def _held_out_crops(crops: FaceCrops, share: float, seed: int) -> NDArray[np.bool_]:
    """Whole pictures, with all their near-duplicates."""
    names = sorted(set(crops.pictures))
    first = {name: i for i, name in reversed(list(enumerate(crops.pictures)))}
    hashes = np.stack([difference_hash(crops.images[first[n]]) for n in names])
    out = held_out([Path(n) for n in names], group_duplicates(hashes), share, seed)
    aside = {n for n, o in zip(names, out, strict=True) if o}
    return np.array([p in aside for p in crops.pictures], np.bool_)


def _split_hands(files: list[Path], data: Path) -> tuple[list[Path], list[Path]]:
    """Hands to train with and hands to validate with; no person's on both sides where known."""
    table = data / "hands" / "dorsal.csv"
    person = {}
    if table.exists():
        for line in table.read_text().splitlines()[1:]:
            name, who, *_ = line.split(",")
            person[name] = int(who)
    known = sorted(set(person.values()))
    aside = set(known[:: max(len(known) // 12, 1)])
    learn: list[Path] = []
    keep: list[Path] = []
    for i, file in enumerate(files):
        held = person[file.name] in aside if file.name in person else i % 8 == 0
        (keep if held else learn).append(file)
    return learn, keep
