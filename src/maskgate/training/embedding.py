"""Backbones that know faces: trained with ArcFace on named people, or distilled from an embedding."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from maskgate.alignment import align_five_points
from maskgate.errors import DataError
from maskgate.files import write_atomic, write_json
from maskgate.nets.arcface import ArcFaceHead
from maskgate.nets.backbones import create_backbone
from maskgate.training.classifier_data import draw_view, still_views
from maskgate.training.classifier_setup import Places
from maskgate.training.crop_cache import cached_faces
from maskgate.training.crops import FaceCrops
from maskgate.training.face_labels import read_face_labels
from maskgate.training.labelling import label_with_own_detector
from maskgate.training.loop import EpochDataset, LoopSettings, Task, train
from maskgate.training.photometric import vary_light, vary_sharpness
from maskgate.training.processes import first_ahead, joined_processes
from maskgate.training.recipe import Source, build, require
from maskgate.training.runs import RunFolder
from maskgate.training.splits import TRAINING, VALIDATION, split_faces
from maskgate.training.starts import find_start, load_start
from maskgate.types import Faces, Image


@dataclass(frozen=True)
class EmbeddingView:
    """What the backbone sees: ``size`` and ``margin`` as a classifier's, since it will become one."""

    size: int = 112
    margin: float = 1.35


class FaceDataset(Dataset[tuple[Tensor, ...]]):
    """Faces moved about, each with its target: an embedding ``(D,)`` or a person's number.

    Item i of epoch e depends on (seed, e, i) alone; an epoch draws ``length`` faces.
    """

    def __init__(
        self, crops: FaceCrops, targets: NDArray[Any], view: EmbeddingView, length: int, seed: int
    ) -> None:
        self.crops, self.targets, self.view = crops, targets, view
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        i = int(rng.integers(len(self.crops)))
        crop = self.crops.images[i]
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
        view = draw_view(crop, self.view.margin, self.view.size, rng, any_angle=0.0)
        if rng.random() < 0.5:
            view = vary_light(view, rng)
        view = vary_sharpness(view, rng, 0.3)
        image = torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1)))
        return image, torch.as_tensor(self.targets[i])


class Distilled(nn.Module):
    """A backbone and a linear layer into the teacher's space; ``(N, dimensions)`` of length 1."""

    def __init__(self, backbone: nn.Module, dimensions: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(int(backbone.channels), dimensions)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.fc(self.backbone(x)))


class DistilTask:
    """One less the cosine to the teacher's embedding; validated by agreement on other faces."""

    def __init__(
        self, net: Distilled, dataset: FaceDataset, views: Image, wanted: NDArray[np.float32]
    ) -> None:
        self.model: nn.Module = net
        self.dataset: EpochDataset = dataset
        self.views, self.wanted = views, wanted

    def begin_epoch(self, epoch: int) -> None:
        """Everything learns all the time."""

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, wanted = batch
        out = model(x.float().contiguous(memory_format=torch.channels_last)).float()
        cosine = (out * wanted).sum(1).mean()
        return 1 - cosine, {"cosine": cosine.item()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return agreement(embed(model, self.views), self.wanted)


def agreement(student: NDArray[np.float32], teacher: NDArray[np.float32]) -> dict[str, float]:
    """How alike two embeddings ``(N, D)`` (rows of length 1) of the same faces are.

    ``cosine``: mean cosine of the pairs, 1 at best; ``loss`` one less it. ``pairs_correlation``:
    Pearson correlation of the cosines between all different faces. ``same_neighbour``: share of
    faces whose nearest other face is the same one in both.
    """
    cosine = float((student * teacher).sum(1).mean())
    mine, theirs = student @ student.T, teacher @ teacher.T
    upper = np.triu_indices(len(mine), 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where all faces look alike to one of them
        correlation = float(np.corrcoef(mine[upper], theirs[upper])[0, 1])
    np.fill_diagonal(mine, -2)
    np.fill_diagonal(theirs, -2)
    same = float((mine.argmax(1) == theirs.argmax(1)).mean())
    return {"loss": 1 - cosine, "cosine": cosine, "pairs_correlation": correlation, "same_neighbour": same}


def embed(model: nn.Module, views: Image, batch: int = 64) -> NDArray[np.float32]:
    """``(N, D)`` outputs of length 1 of ``(N, S, S, 3)`` uint8 views."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for i in range(0, len(views), batch):
            x = torch.from_numpy(views[i : i + batch].transpose(0, 3, 1, 2).copy()).to(device).float()
            parts.append(
                F.normalize(model(x.contiguous(memory_format=torch.channels_last)).float()).cpu().numpy()
            )
    return np.concatenate(parts)


class ArcFaceNet(nn.Module):
    """A backbone and the ArcFace head. ``forward`` of a batch with people gives scores, without them
    the embedding."""

    def __init__(self, backbone: nn.Module, people: int, scale: float, margin: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ArcFaceHead(int(backbone.channels), people, scale, margin)  # type: ignore[arg-type]

    def forward(self, x: Tensor, people: Tensor | None = None) -> Tensor:
        embedding: Tensor = self.backbone(x)
        return embedding if people is None else torch.as_tensor(self.head(embedding, people))


class ArcFaceTask:
    """Cross-entropy under the angular margin; validated by telling pairs of people it has not seen."""

    def __init__(
        self, net: ArcFaceNet, dataset: FaceDataset, views: Image, people: NDArray[np.int64]
    ) -> None:
        self.model: nn.Module = net
        self.dataset: EpochDataset = dataset
        self.views, self.people = views, people

    def begin_epoch(self, epoch: int) -> None:
        """Everything learns all the time."""

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, people = batch
        scores = model(x.float().contiguous(memory_format=torch.channels_last), people).float()
        right = (scores.argmax(1) == people).float().mean().item()
        return F.cross_entropy(scores, people), {"accuracy": right}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return verification(embed(model, self.views), self.people)


def verification(embeddings: NDArray[np.float32], people: NDArray[np.int64]) -> dict[str, float]:
    """How well cosines of ``(N, D)`` embeddings tell whether two faces are one person's.

    ``loss``: one less the area under the ROC curve over all pairs; ``roc_auc`` that area;
    ``accuracy``: at the best threshold, both kinds of pairs weighing the same.
    """
    from maskgate.evaluation.metrics import roc_curve

    upper = np.triu_indices(len(embeddings), 1)
    cosine = (embeddings @ embeddings.T)[upper]
    same = people[upper[0]] == people[upper[1]]
    curve = roc_curve(same, cosine)
    best = float(((curve.true_positive_rate + 1 - curve.false_positive_rate) / 2).max())
    return {"loss": 1 - curve.area, "roc_auc": curve.area, "accuracy": best}


def teacher_embeddings(crops: FaceCrops, file: Path, cache: Path, batch: int = 32) -> NDArray[np.float32]:
    """``(N, D)`` embeddings of length 1 by an ONNX face network that takes RGB 112×112 in 0 to 255.

    Each face is aligned by its five landmarks (ArcFace's template) and seen mirrored too. Kept in
    ``cache``, with a hash beside it of the faces that they are of.
    """
    key, note = _faces_key(crops), cache.with_suffix(".sha256")
    if cache.is_file() and note.is_file() and note.read_text() == key:
        return np.asarray(np.load(cache), np.float32)
    if not file.is_file():
        raise DataError(f"{file} is missing; check --weights and the recipe's teacher")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(file), options)
    name = session.get_inputs()[0].name
    parts = []
    for i in tqdm(range(0, len(crops), batch), desc="teacher's embeddings", mininterval=5):
        views = np.concatenate(
            [
                align_five_points(image, Faces(_whole(image), np.ones(1, np.float32), points[None]), 112)
                for image, points in zip(
                    crops.images[i : i + batch], crops.landmarks[i : i + batch], strict=True
                )
            ]
        )
        out = 0
        for side in (views, views[:, :, ::-1]):
            x = np.ascontiguousarray(side.transpose(0, 3, 1, 2), np.float32)
            out = out + session.run(None, {name: x})[0]
        parts.append(out)
    embeddings = np.concatenate(parts)
    embeddings = np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32)
    data = io.BytesIO()
    np.save(data, embeddings)
    note.unlink(missing_ok=True)  # never beside the embeddings of other faces
    write_atomic(cache, data.getvalue())
    write_atomic(note, key.encode())
    return embeddings


def _faces_key(crops: FaceCrops) -> str:
    """Of faces in their order; a few of their pixels stand for all."""
    digest = hashlib.sha256()
    digest.update(json.dumps(list(crops.pictures)).encode())
    digest.update(crops.landmarks.tobytes())
    digest.update(np.ascontiguousarray(crops.images[:, ::16, ::16]).tobytes())
    return digest.hexdigest()


def _whole(image: Image) -> NDArray[np.float32]:
    return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)


def train_backbone(
    recipe: Mapping[str, Any], places: Places, output: Path, *, loss: str, threads: int, workers: int
) -> None:
    """Trains a backbone that knows faces, or goes on; leaves ``backbone.safetensors`` in ``output``.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it, with ``architecture``; for
            ``distil`` also ``teacher``, an embedding network below the weights folders. For
            ``arcface`` each folder of pictures is one person.
        loss: ``distil`` or ``arcface``.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    require(recipe, ("architecture", "teacher") if loss == "distil" else ("architecture",), "the recipe")
    architecture = str(recipe["architecture"])
    view = build(EmbeddingView, recipe.get("view", {}), "[view]")
    start, file = find_start(str(recipe["start"]), recipe.get("starts", {}), places.weights, architecture)
    teacher = (
        find_start(str(recipe["teacher"]), {}, places.weights, architecture)[1] if loss == "distil" else None
    )
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    settings = replace(build(LoopSettings, loop_table, "[loop]"), threads=threads, workers=workers)
    seed = int(recipe["seed"])
    torch.manual_seed(seed)
    backbone = create_backbone(architecture, view.size, start.stride_in)
    if file is not None:
        load_start(backbone, file)
    run = RunFolder(output, {**recipe, "loss": loss})
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]

    with joined_processes() as processes:
        crops = first_ahead(processes, lambda: _known_faces(sources, places, output))
        if processes.first:
            run.write_manifest(places.data, [places.data / p for p in set(crops.pictures)])
        task: Task
        if teacher is not None:
            targets = first_ahead(
                processes, lambda: teacher_embeddings(crops, teacher, output / "targets.npy")
            )
            sides = split_faces(crops, sources, float(recipe["validation"]), 0.0, seed)
            task = _distil(backbone, crops, targets, sides, view, samples, seed)
        else:
            task = _arcface(backbone, crops, recipe, view, samples, seed)
        task.model.to(processes.device)
        trained = train(task, settings, run, seed=seed).cpu()
        if processes.first:
            state = {k: v.contiguous() for k, v in trained.get_submodule("backbone").state_dict().items()}
            write_atomic(output / "backbone.safetensors", save(state))
            about = {
                "architecture": architecture,
                "start": recipe["start"],
                "loss": loss,
                "faces": len(crops),
            }
            write_json(output / "about.json", about)


def _known_faces(sources: Sequence[Source], places: Places, output: Path) -> FaceCrops:
    """The faces of all sources that can be aligned and are large enough to know someone by."""
    known = read_face_labels(places.face_labels) if places.face_labels else {}
    faces = label_with_own_detector(sources, places.data, output / "teacher.jsonl", known)
    crops = cached_faces(sources, places.data, faces, {}, places.cache)
    return crops.select(~np.isnan(crops.landmarks).any((1, 2)) & (crops.sizes >= 32))


def _distil(
    backbone: nn.Module, crops: FaceCrops, targets: NDArray[np.float32], sides: NDArray[np.int64],
    view: EmbeddingView, samples: int, seed: int,
) -> DistilTask:  # fmt: skip
    held, learnt = np.flatnonzero(sides == VALIDATION)[:2000], sides == TRAINING
    if len(held) < 2 or not learnt.any():
        raise DataError(
            f"of {len(crops)} faces {len(held)} are held out and {int(learnt.sum())} learnt from; "
            "add pictures, or change 'validation'"
        )
    dataset = FaceDataset(crops.select(learnt), targets[learnt], view, samples, seed)
    net = Distilled(backbone, targets.shape[1])
    views = still_views((crops.images[i] for i in held), view.margin, view.size)
    return DistilTask(net, dataset, views, targets[held])


def _arcface(
    backbone: nn.Module, crops: FaceCrops, recipe: Mapping[str, Any], view: EmbeddingView, samples: int,
    seed: int,
) -> ArcFaceTask:  # fmt: skip
    """People are folders; a share of them is held out whole, to be told apart at validation."""
    folders = [str(Path(p).parent) for p in crops.pictures]
    held_out = held_out_people(sorted(set(folders)), float(recipe["validation"]), seed)
    learnt = sorted(set(folders) - held_out)
    if len(learnt) < 2 or len(held_out) < 2:
        raise DataError(
            f"the data has {len(learnt) + len(held_out)} people's folders; "
            "ArcFace wants two to learn from and two held out"
        )
    inside = np.array([f not in held_out for f in folders])
    number = {folder: i for i, folder in enumerate([*learnt, *sorted(held_out)])}
    people = np.array([number[f] for f in folders], np.int64)
    margin, scale = float(recipe.get("margin", 0.5)), float(recipe.get("scale", 64.0))
    net = ArcFaceNet(backbone, len(learnt), scale, margin)
    dataset = FaceDataset(crops.select(inside), people[inside], view, samples, seed)
    judged = np.flatnonzero(~inside)[:2000]
    views = still_views((crops.images[i] for i in judged), view.margin, view.size)
    return ArcFaceTask(net, dataset, views, people[judged])


def held_out_people(folders: Sequence[str], share: float, seed: int) -> set[str]:
    """The people that validation has to itself, at least two where there are four."""
    count = max(round(share * len(folders)), min(2, len(folders) // 2))
    order = np.random.default_rng((seed, 7)).permutation(len(folders))
    return {folders[int(i)] for i in order[:count]}
