"""FaceNet's embeddings and a support vector machine on them, after Ejaz and Islam 2019.

They give neither kernel nor cost, so that cross-validation chooses both. Faces are those of the
classifier's recipe, on the same sides of the same split; drawn masks and hands, which the network also
learns from, are left out. FaceNet itself learns nothing here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from maskgate.alignment import CropSpec
from maskgate.classification.facenet_svm import MACHINE, NETWORK, SIZE, FaceNet
from maskgate.classification.svm import SupportVectorMachine, svm_to_bytes
from maskgate.errors import DataError
from maskgate.files import plain, write_atomic, write_json
from maskgate.models.bundles import bundle_bytes
from maskgate.models.sessions import RuntimeOptions, open_session
from maskgate.nets.inception_resnet import ExportedFaceNet, load_published
from maskgate.training.calibration import fit_threshold
from maskgate.training.classifier_data import still_views
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import ValidationFaces
from maskgate.training.crops import MARGIN, FaceCrops
from maskgate.training.export import onnx_bytes
from maskgate.training.labelling import first_file
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder
from maskgate.training.starts import read_state
from maskgate.training.svm import FittedSvm, SvmSettings, fit_svm

BLOCK = 256
"""Faces that are embedded and kept together."""

_OF_NETWORKS = (
    "architecture", "start", "starts", "strategy", "storage", "distil", "loop", "augmentation", "occlusion",
)  # fmt: skip
"""Fields of a classifier's recipe that say nothing about this one."""

_OF_DRAWN_FACES = ("drawn_incorrect_flagged", "covered_called_mask", "hand_called_mask")


@dataclass(frozen=True)
class FaceNetSettings:
    """``[facenet]`` of a recipe.

    Attributes:
        file: FaceNet's weights, below one of the weights folders.
        margin: side of the crop over the face's longer side, at most that of the cut faces.
    """

    file: str = "face/facenet_inception_resnet_v1_int8.safetensors"
    margin: float = 1.35

    def __post_init__(self) -> None:
        if not 0.5 <= self.margin <= MARGIN:
            raise DataError(f"[facenet] has the margin {self.margin}; give 0.5 to {MARGIN}")

    @property
    def crop(self) -> CropSpec:
        """How faces are cut."""
        return CropSpec("rotate", SIZE, self.margin)


def facenet_onnx(file: Path) -> bytes:
    """The ONNX file of FaceNet's weights: ``(N, 160, 160, 3)`` uint8 RGB to unit vectors.

    The weights may be kept as int8, and are in the ONNX file. Raises
    :class:`~maskgate.errors.DataError` where ``file`` is missing or of another network.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing; check --weights and the recipe's [facenet]")
    try:
        net = load_published(read_state(file))
    except KeyError as error:
        raise DataError(f"{file} is of another network: {error.args[0]}") from error
    example = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    axes = {"crops": {0: "batch"}, "embeddings": {0: "batch"}}
    return onnx_bytes(ExportedFaceNet(net), example, axes, "int8")


@dataclass(frozen=True, eq=False)
class Embedder:
    """Embeds cut faces, and keeps what it has embedded.

    Attributes:
        facenet: the network.
        margin: of the crops.
        folder: where embeddings are kept, a file a block.
        digest: of the network's file.
    """

    facenet: FaceNet
    margin: float
    folder: Path
    digest: str

    def embed(self, crops: FaceCrops, *, quiet: bool = False) -> NDArray[np.float32]:
        """``(N, D)`` embeddings of N faces."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [np.zeros((0, self.facenet.width), np.float32)]
        starts = range(0, len(crops), BLOCK)
        for start in tqdm(starts, desc="embeddings", mininterval=5, disable=quiet):
            images = np.ascontiguousarray(crops.images[start : start + BLOCK])
            key = hashlib.sha256(f"{self.digest} {self.margin} {len(images)} ".encode() + images.tobytes())
            file = self.folder / f"{key.hexdigest()[:24]}.f32"
            if not file.is_file():
                embeddings = self.facenet.embed(still_views(images, self.margin, SIZE))
                write_atomic(file, embeddings.astype("<f4").tobytes())
            kept = np.frombuffer(file.read_bytes(), "<f4")
            parts.append(kept.reshape(len(images), self.facenet.width))
        return np.concatenate(parts)


def train_facenet_svm(recipe: Mapping[str, Any], places: Places, output: Path, *, threads: int) -> None:
    """Fits the machine of a classifier's recipe; leaves ``model.zip`` in ``output``.

    Beside it lie ``selection.csv`` (what was tried), ``validation.csv``, ``figures.json``,
    ``sides.csv`` and ``manifest.json``. Faces already found, cut or embedded are not done again.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it, perhaps with ``[facenet]``
            and ``[svm]``.
        places: folders of data and weights.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe, data or weights that cannot be used.
    """
    cv2.setNumThreads(1)
    settings = build(FaceNetSettings, recipe.get("facenet", {}), "[facenet]")
    machine = build(SvmSettings, recipe.get("svm", {}), "[svm]")
    network = facenet_onnx(first_file(places.weights, settings.file))
    own = {name: value for name, value in recipe.items() if name not in _OF_NETWORKS}
    own |= {
        "architecture": "facenet-svm", "start": settings.file, "labeller": str(places.labeller),
        "facenet": asdict(settings), "svm": asdict(machine),
    }  # fmt: skip
    run = RunFolder(output, own)
    data = prepare_faces(recipe, places, output / "teacher.jsonl")
    run.write_manifest(places.data, [places.data / p for p in set(data.crops.pictures)])
    write_json(output / "crops.json", data.counts())
    write_atomic(output / "sides.csv", data.table().encode())
    facenet = FaceNet(open_session(network, settings.file, RuntimeOptions(threads=threads)))
    digest = hashlib.sha256(network).hexdigest()
    embedder = Embedder(facenet, settings.margin, output / "embeddings", digest)
    fitted = fit_faces(data, embedder, machine, threads=threads)
    finish(fitted, data, embedder, network, output)


def fit_faces(
    data: ClassifierData, embedder: Embedder, settings: SvmSettings, *, threads: int = 1
) -> FittedSvm:
    """:func:`~maskgate.training.svm.fit_svm` on the faces to learn from; those of one picture are in one
    fold."""
    learnt = data.learnt
    if not len(learnt):
        raise DataError("no face is left to learn from; add pictures, or give a smaller 'validation'")
    # the same faces are chosen each time, and only these embedded
    some = np.sort(np.random.default_rng(data.seed).permutation(len(learnt))[: settings.faces])
    chosen = learnt.select(some)
    x = embedder.embed(chosen)
    return fit_svm(x, chosen.labels, chosen.pictures, settings, seed=data.seed, threads=threads)


def finish(fitted: FittedSvm, data: ClassifierData, embedder: Embedder, network: bytes, output: Path) -> None:
    """Judges and writes what was fitted; test faces, if there are any, change nothing."""
    judges = data.held_out
    probabilities = _probabilities(fitted.svm, embedder, judges)
    threshold = fit_threshold(probabilities[:, 0], judges.labels)
    figures: dict[str, Any] = {
        **asdict(fitted.chosen),
        "vectors": len(fitted.svm.vectors),
        "margin": embedder.margin,
        "threshold": threshold,
    }
    for name, crops in (("validation", judges), ("test", data.test)):
        if len(crops):
            p = probabilities if name == "validation" else _probabilities(fitted.svm, embedder, crops)
            views = still_views(crops.images, embedder.margin, SIZE)
            faces = ValidationFaces(views, crops.labels, np.zeros(len(crops), np.int64), crops.sizes)
            told = faces.figures(p, threshold)
            figures[f"{name}_faces"] = len(crops)
            figures[name] = {key: value for key, value in told.items() if key not in _OF_DRAWN_FACES}
            write_atomic(output / f"{name}.csv", faces.table(p).encode())
    rows = [f"{c.kernel},{c.cost:g},{c.gamma:g},{score:.6g}" for c, score in fitted.selection]
    write_atomic(output / "selection.csv", "\n".join(["kernel,cost,gamma,loss", *rows, ""]).encode())
    write_json(output / "figures.json", plain(figures))
    parts = {NETWORK: network, MACHINE: svm_to_bytes(fitted.svm)}
    write_atomic(output / "model.zip", bundle_bytes(parts))


def _probabilities(svm: SupportVectorMachine, embedder: Embedder, crops: FaceCrops) -> NDArray[np.float64]:
    return svm.probabilities(embedder.embed(crops, quiet=True)).astype(np.float64)
