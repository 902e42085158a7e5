"""What each kind of drawing on faces buys: the same training with parts of it left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from maskgate.alignment import CropSpec
from maskgate.classification.softmax import softmax
from maskgate.errors import DataError
from maskgate.files import write_atomic, write_json
from maskgate.studies import page
from maskgate.studies.faces import SceneFaces, scene_faces
from maskgate.studies.transfer import calibrate
from maskgate.training.classifier import run_recipe
from maskgate.training.classifier_data import ClassifierAugmentation
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import ValidationFaces, logits_of
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.training.recipe import build
from maskgate.training.runs import RunFolder


@dataclass(frozen=True)
class Part:
    """``[[part]]`` of an ablation's recipe: a name, and what is other than in the whole recipe.

    Attributes:
        augmentation: fields of ``[augmentation]``.
        shares: fields of ``[occlusion.shares]``.
        seeds: one run each.
    """

    name: str
    augmentation: Mapping[str, float] | None = None
    shares: Mapping[str, float] | None = None
    seeds: tuple[int, ...] = (0,)

    def folder(self, seed: int) -> str:
        """Name of a run's folder."""
        return f"{self.name.replace(' ', '-')}-{seed}"


COLUMNS = {
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "incorrect_flagged": "incorrect flagged",
    "hand_called_mask": "hand called mask",
    "covered_called_mask": "other cover called mask",
    "cross_accuracy": "cross-source accuracy",
    "cross_incorrect_flagged": "cross-source incorrect flagged",
}
"""Figures of the table and their headings."""


def run_ablation(
    recipe: Mapping[str, Any], places: Places, output: Path, *, cross: Path | None, threads: int, workers: int
) -> list[dict[str, Any]]:
    """Trains each part's runs that are not trained yet, tests them, and returns a row a part.

    All are judged on the same held-out faces: as they are, and the bare ones with a hand of a
    held-out person over the mouth or with another cover. A study that was stopped goes on.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    cv2.setNumThreads(1)
    parts = [build(Part, table, "[[part]]") for table in recipe.get("part", [])]
    if not parts:
        raise DataError("the ablation's recipe has no table [[part]]; name what each leaves out")
    base = {k: v for k, v in recipe.items() if k != "part"} | {"split_seed": int(recipe["seed"])}
    data = prepare_faces(base, places, output / "teacher.jsonl")
    judge = data.testing
    a = data.augmentation
    scenes = scene_faces(cross, CropSpec("rotate", a.size, a.margin), places.cache) if cross else None
    runs = [(part, seed) for part in parts for seed in part.seeds]
    for part, seed in tqdm(runs, desc="runs", unit="run"):
        folder = output / "runs" / part.folder(seed)
        if (folder / "figures-of-part.json").is_file():
            continue
        own = {
            **base,
            "seed": 1000 + seed,
            "augmentation": {**recipe.get("augmentation", {}), **(part.augmentation or {})},
            "occlusion": {**recipe["occlusion"], "shares": dict(part.shares or {})},
        }
        changed = replace(
            data,
            augmentation=build(ClassifierAugmentation, own["augmentation"], "[augmentation]"),
            shares=build(OcclusionShares, own["occlusion"]["shares"], "[occlusion.shares]"),
        )
        figures = _train_and_judge(own, changed, judge, scenes, places, folder, threads, workers)
        write_json(folder / "figures-of-part.json", figures)
    rows = []
    for part in parts:
        files = [output / "runs" / part.folder(seed) / "figures-of-part.json" for seed in part.seeds]
        own_figures = [json.loads(file.read_text()) for file in files]
        means = {k: _mean([f.get(k) for f in own_figures]) for k in COLUMNS}
        rows.append({"part": part.name, "runs": len(files), **means})
    return rows


def _train_and_judge(
    recipe: Mapping[str, Any], data: ClassifierData, judge: ValidationFaces, scenes: SceneFaces | None,
    places: Places, folder: Path, threads: int, workers: int,
) -> dict[str, float]:  # fmt: skip
    net = run_recipe(recipe, data, places, RunFolder(folder, recipe), threads=threads, workers=workers)
    temperature, threshold = calibrate(net, data.validation)
    figures = judge.figures(softmax(logits_of(net, judge.views), temperature), threshold)
    if scenes is not None:
        as_they_are = np.zeros(len(scenes), np.int64)
        faces = ValidationFaces(scenes.views, scenes.labels, as_they_are, as_they_are.astype(np.float32))
        cross = faces.figures(softmax(logits_of(net, scenes.views), temperature), threshold)
        figures |= {f"cross_{name}": cross[name] for name in ("accuracy", "incorrect_flagged")}
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return figures


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(known)) if known else None


def write_ablation(rows: Sequence[Mapping[str, Any]], output: Path) -> None:
    """Writes ``ablation.json`` and the table as ``ablation.md`` into ``output``."""
    write_json(output / "ablation.json", {"parts": list(rows)})
    lines = [[row["part"], *("–" if row[k] is None else f"{row[k]:.4f}" for k in COLUMNS)] for row in rows]
    write_atomic(output / "ablation.md", page.markdown_table(["training", *COLUMNS.values()], lines).encode())
