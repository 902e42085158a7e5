"""Training of the three-stage cascade, one network after the other, and its export (Bu et al. 2017).

Each network learns from windows about masked faces and from what the networks before it let through
wrongly: the hard examples. The published work first trains on faces in general and fine-tunes on its
own masked faces, which are not public; it tells neither the thresholds nor how windows are labelled.
Here each network starts from random weights on the pictures of the recipe; windows are labelled as in
Zhang et al. 2016; the first two thresholds keep a given share of the masked faces among the validation
windows, the last one is where precision and recall over the validation pictures are best together
(F1). Pictures are on the sides of the split that the classifier's recipe puts them on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from maskgate.detection.cascade import PARTS, SIDES, CascadeDetector, CascadeSettings
from maskgate.errors import DataError
from maskgate.evaluation.matching import match_faces
from maskgate.evaluation.metrics import roc_auc
from maskgate.files import plain, write_atomic, write_json
from maskgate.images import read_image
from maskgate.models.bundles import bundle_bytes
from maskgate.models.sessions import RuntimeOptions, open_session
from maskgate.nets.cascade import STAGES, ExportedStage, Stage
from maskgate.training.cascade_data import (
    MASKED,
    OTHER,
    PART,
    MaskedPicture,
    WindowCounts,
    WindowDataset,
    Windows,
    collect_windows,
    read_pictures,
)
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.crops import read_corrections
from maskgate.training.export import onnx_bytes
from maskgate.training.face_labels import read_face_labels
from maskgate.training.loop import EpochDataset, LoopSettings, train
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder
from maskgate.training.splits import TEST, TRAINING, VALIDATION
from maskgate.types import Faces, Image

LOWEST = 0.05
"""Scores from which the validation pictures are looked through for the last threshold."""


@dataclass(frozen=True)
class CascadeRecipe:
    """``[cascade]`` of a recipe; see also :class:`WindowCounts` and :class:`CascadeSettings`.

    Attributes:
        near, anywhere, proposals: windows a picture.
        shares: of masked faces, parts of them, and other windows in what is learnt.
        keep: share of the validation windows of masked faces that the first and the second network
            let through.
        edges: weight of the offsets' loss.
        smallest: side of the smallest face that is looked for, in pixels.
    """

    near: int = 12
    anywhere: int = 30
    proposals: int = 40
    shares: tuple[float, float, float] = (0.3, 0.15, 0.55)
    keep: tuple[float, float] = (0.95, 0.95)
    edges: float = 2.0
    smallest: float = 16.0

    def __post_init__(self) -> None:
        if not all(0 < share < 1 for share in self.keep) or min(self.shares) < 0 or not sum(self.shares) > 0:
            raise DataError("[cascade] wants shares of at least 0, and keep between 0 and 1")

    @property
    def counts(self) -> WindowCounts:
        """Windows a picture."""
        return WindowCounts(self.near, self.anywhere, self.proposals)


class StageTask:
    """One network of the cascade on its windows."""

    def __init__(self, net: Stage, dataset: EpochDataset, validation: Windows, edges: float) -> None:
        self.model: nn.Module = net
        self.dataset = dataset
        self.validation = validation
        self.edges = edges

    def begin_epoch(self, epoch: int) -> None:
        """Everything learns all the time."""

    def loss(self, model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the score, parts left out, and smooth L1 of the offsets of faces and parts."""
        x, kinds, offsets = batch
        scores, found = model(x.float().contiguous(memory_format=torch.channels_last))
        scores, found = scores.float().flatten(), found.float().reshape(-1, 4)
        clear, seen = kinds != PART, kinds != OTHER
        score = _mean(F.binary_cross_entropy_with_logits, scores[clear], (kinds[clear] == MASKED).float())
        edges = _mean(lambda a, b: F.smooth_l1_loss(a, b, beta=0.1), found[seen], offsets[seen])
        return score + self.edges * edges, {"score": float(score.detach()), "edges": float(edges.detach())}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Over the validation windows: loss and area under the curve of the score, mean error of edges in
        sides of the window."""
        scores, found = answers_of(model, self.validation.images)
        kinds = self.validation.kinds
        clear, seen = kinds != PART, kinds == MASKED
        p = np.clip(np.where(kinds == MASKED, scores, 1 - scores), 1e-7, 1)
        apart = np.abs(found[seen] - self.validation.offsets[seen]).mean()
        return {
            "loss": float(-np.log(p[clear]).mean()),
            "roc_auc": roc_auc(kinds[clear] == MASKED, scores[clear].astype(np.float64)),
            "edge_error": float(apart),
        }


def _mean(loss: Callable[[Tensor, Tensor], Tensor], given: Tensor, wanted: Tensor) -> Tensor:
    """0 where there is nothing to take the mean of."""
    return loss(given, wanted) if len(given) else given.sum()


def answers_of(
    model: nn.Module, windows: Image, batch: int = 512
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores ``(N,)`` in [0, 1] and offsets ``(N, 4)`` of ``(N, S, S, 3)`` uint8 windows."""
    device = next(model.parameters()).device
    model.eval()
    scores, offsets = [], []
    with torch.inference_mode():
        for i in range(0, len(windows), batch):
            x = torch.from_numpy(windows[i : i + batch].transpose(0, 3, 1, 2).copy()).to(device).float()
            score, offset = model(x)
            scores.append(torch.sigmoid(score).reshape(len(x)).cpu().numpy())
            offsets.append(offset.reshape(len(x), 4).cpu().numpy())
    return np.concatenate(scores), np.concatenate(offsets)


def train_cascade(
    recipe: Mapping[str, Any], places: Places, output: Path, *, threads: int, workers: int,
    quiet: bool = False,
) -> None:  # fmt: skip
    """Runs a recipe to the end, or goes on where it stopped; leaves ``model.zip`` in ``output``.

    Each network has a run folder of its own in there, ``mask-1`` and so on, with its windows.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        places: folders of data and weights.
        output: the run folder.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    build(CascadeRecipe, recipe.get("cascade", {}), "[cascade]")  # before hours of finding faces
    run = RunFolder(output, {**recipe, "architecture": "cascade"})
    data = prepare_faces(recipe, places, output / "teacher.jsonl")
    found = read_face_labels(output / "teacher.jsonl")
    if places.face_labels:
        found = {**read_face_labels(places.face_labels), **found}
    corrections = read_corrections(places.recipe / recipe["corrections"]) if "corrections" in recipe else {}
    pictures = read_pictures(data.sources, places.data, found, corrections)
    run.write_manifest(places.data, [picture.path for picture in pictures])
    write_atomic(output / "sides.csv", data.table().encode())
    training, validation, test = (on_side(pictures, data, k) for k in (TRAINING, VALIDATION, TEST))
    train_stages(
        recipe, training, validation, output, test=test, threads=threads, workers=workers, quiet=quiet
    )


def on_side(pictures: Sequence[MaskedPicture], data: ClassifierData, side: int) -> list[MaskedPicture]:
    """The pictures that the split puts on ``side``; those with no face in it are on none."""
    sides = dict(zip(data.crops.pictures, data.sides, strict=True))
    return [picture for picture in pictures if sides.get(picture.name) == side]


def train_stages(
    recipe: Mapping[str, Any], training: Sequence[MaskedPicture], validation: Sequence[MaskedPicture],
    output: Path, *, test: Sequence[MaskedPicture] = (), threads: int, workers: int, quiet: bool = False,
) -> None:  # fmt: skip
    """Trains the three networks on pictures that are ready, and writes ``model.zip`` and ``figures.json``."""
    own = build(CascadeRecipe, recipe.get("cascade", {}), "[cascade]")
    loop_table = dict(recipe["loop"])
    samples = int(loop_table.pop("samples"))
    loop = replace(build(LoopSettings, loop_table, "[loop]"), threads=threads, workers=workers)
    seed = int(recipe["seed"])
    if not any(len(p.masked) for p in training) or not any(len(p.masked) for p in validation):
        raise DataError("no masked face is on the training or on the validation side; add pictures")
    settings = CascadeSettings(smallest=own.smallest)
    files: list[bytes] = []
    figures: dict[str, Any] = {}
    for stage, (kind, side) in enumerate(zip(STAGES, SIDES, strict=True)):
        folder = output / f"mask-{stage + 1}"
        run = RunFolder(folder, recipe)
        propose = _proposer(files, settings, threads) if stage else None
        windows, judges = (
            _kept(
                folder / f"{name}.npz", partial(collect_windows, some, side, own.counts, seed, propose, quiet)
            )
            for name, some in (("windows", training), ("validation", validation))
        )
        torch.manual_seed(seed + stage)
        net = kind()
        if torch.cuda.is_available():
            net.cuda()
        dataset = WindowDataset(windows, samples, own.shares, seed + stage)
        trained = train(StageTask(net, dataset, judges, own.edges), loop, run, seed=seed + stage, quiet=quiet)
        assert isinstance(trained, Stage)
        scores, _ = answers_of(trained, judges.images)
        files.append(export_stage(trained.cpu(), side))
        judged = json.loads((folder / "figures.json").read_text("utf-8"))
        figures[folder.name] = {"windows": len(windows), **judged}
        if stage < 2:
            threshold = keeping_threshold(scores[judges.kinds == MASKED], own.keep[stage])
            settings = (
                replace(settings, refinement=threshold) if stage else replace(settings, proposal=threshold)
            )
            figures[folder.name]["passed"] = float((scores[judges.kinds == OTHER] >= threshold).mean())
    detector = _detector(files, replace(settings, score=LOWEST), threads)
    found = [detector.detect([read_image(picture.path)])[0] for picture in validation]
    score = best_threshold(*hits_of(found, validation))
    figures["settings"] = {f.name: getattr(settings, f.name) for f in fields(settings)} | {"score": score}
    figures["validation"] = figures_of(found, validation, score)
    if test:
        found = [detector.detect([read_image(picture.path)])[0] for picture in test]
        figures["test"] = figures_of(found, test, score)
    write_json(output / "figures.json", plain(figures))
    write_atomic(output / "model.zip", bundle_bytes(dict(zip(PARTS, files, strict=True))))


def _kept(path: Path, make: Callable[[], Windows]) -> Windows:
    """The windows in a file, made and written there where there is none."""
    if not path.is_file():
        make().save(path)
    return Windows.load(path)


def _detector(files: Sequence[bytes], settings: CascadeSettings, threads: int) -> CascadeDetector:
    options = RuntimeOptions(threads=threads)
    return CascadeDetector([open_session(data, "a stage", options) for data in files], settings)


def _proposer(
    files: Sequence[bytes], settings: CascadeSettings, threads: int
) -> Callable[[Image], NDArray[np.float32]]:
    """Windows that the networks trained so far let through, best first."""
    detector = _detector(files, settings, threads)

    def propose(image: Image) -> NDArray[np.float32]:
        found = detector.propose(image)
        return (found if len(files) == 1 else detector.refine(image, *found))[0]

    return propose


def export_stage(net: Stage, side: int) -> bytes:
    """A network as the ONNX file that ships: the first for any height and width."""
    free = {0: "batch", 1: "height", 2: "width"} if side == SIDES[0] else {0: "batch"}
    given = {0: "batch", 1: "rows", 2: "columns"} if side == SIDES[0] else {0: "batch"}
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    return onnx_bytes(ExportedStage(net), example, {"windows": free, "scores": given, "offsets": given})


def keeping_threshold(scores: NDArray[np.float32], share: float) -> float:
    """The highest threshold, to four decimals, that ``share`` of ``(N,)`` scores reach; within [0.01,
    0.99]."""
    order = np.sort(scores.astype(np.float64))[::-1]
    return _four_decimals(order[int(np.ceil(share * len(order))) - 1], 0.01)


def _four_decimals(score: float, least: float) -> float:
    # down: a score that a threshold was taken from has to reach it
    return float(np.clip(np.floor(score * 1e4) / 1e4, least, 0.99))


def hits_of(
    found: Sequence[Faces], pictures: Sequence[MaskedPicture]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Scores ``(D,)`` of all detections that count, whether each is a masked face, and the number of
    masked faces there are; ``found`` are the faces detected in each picture."""
    scores, hits, faces = [], [], 0
    for some, picture in zip(found, pictures, strict=True):
        truth = np.concatenate([picture.masked, picture.ignore])
        match = match_faces(some.boxes, some.scores, truth, np.arange(len(truth)) >= len(picture.masked))
        scores.append(some.scores[~match.ignored])
        hits.append(match.truth[~match.ignored] >= 0)
        faces += int(match.counted.sum())
    return np.concatenate(scores), np.concatenate(hits), faces


def best_threshold(scores: NDArray[np.float32], hits: NDArray[np.bool_], faces: int) -> float:
    """The score, to four decimals, from which precision and recall are best together (F1); 0.5 where
    no face is found."""
    if not hits.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(hits[order]) / (np.arange(1, len(order) + 1) + faces)
    return _four_decimals(float(scores[order][int(f1.argmax())]), LOWEST)


def figures_of(found: Sequence[Faces], pictures: Sequence[MaskedPicture], score: float) -> dict[str, float]:
    """Recall and precision of masked faces of 20 pixels and more, false ones a picture, and the share of
    bare faces that are taken for masked; of detections from ``score`` on."""
    found = [some.select(some.scores >= score) for some in found]
    _, hits, faces = hits_of(found, pictures)
    taken = bare = 0
    for some, picture in zip(found, pictures, strict=True):
        truth = np.concatenate([picture.bare, picture.masked, picture.ignore])
        crowd = np.arange(len(truth)) >= len(picture.bare)
        match = match_faces(some.boxes, some.scores, truth, crowd)
        taken, bare = taken + int(match.found.sum()), bare + int(match.counted.sum())
    return {
        "pictures": len(pictures),
        "masked_faces": faces,
        "recall": float(hits.sum()) / max(faces, 1),
        "precision": float(hits.mean()) if len(hits) else float("nan"),
        "false_per_picture": float((~hits).sum()) / max(len(pictures), 1),
        "bare_faces": bare,
        "bare_called_mask": taken / bare if bare else float("nan"),
    }
