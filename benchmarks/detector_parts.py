"""What each part of the training data brings the detector, on a source that it has not learnt from.

    python benchmarks/detector_parts.py RUNS --data DATA --weights WEIGHTS [--face-labels FILE]

The first source of scenes in the recipe is held out whole. Trainings of the same length begin from the same
published weights; each adds a part to those of the one before. All are then judged on all pictures of the
scenes held out: boxes that people drew there are brought to the teacher's manner first, so that a detector
is not judged by how it draws. Each is judged blended with what it began from as well. Runs already finished
in RUNS are kept.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.evaluation.curves import free_response
from maskgate.files import write_json
from maskgate.nets.retinaface import RetinaFace
from maskgate.training.blending import blend
from maskgate.training.classifier_setup import Places
from maskgate.training.crops import read_corrections
from maskgate.training.detector import train_detector
from maskgate.training.detector_boxes import fit_box_style, restyle
from maskgate.training.detector_data import LabelledPicture, read_picture
from maskgate.training.detector_network import DetectorNetwork, create_network
from maskgate.training.detector_validation import match_picture
from maskgate.training.direct_data import read_pictures
from maskgate.training.face_labels import read_face_labels
from maskgate.training.labelling import TeacherRecipe, export_detector, load_detector
from maskgate.training.recipe import Source, build, read_recipe
from maskgate.types import LABELS, Faces, Label

PHOTOGRAPHS = ("photos/types", "photos/strict")
CROWDS = ("photos/airport", "photos/groups")


def variants(recipe: dict[str, Any], samples: int, side: int, rate: float) -> dict[str, dict[str, Any]]:
    """Recipes by name, each with one part more."""
    base = copy.deepcopy(recipe)
    for name in ("boxes", "widths", "distil", "blend"):
        base.pop(name, None)
    base |= {"start": "published", "arithmetic": "float32"}
    base["loop"] |= {"epochs": 1, "samples": samples, "rate": rate, "warm_up": 60, "average": 0.99}
    base["source"] = [s for s in base["source"] if s["kind"] != "scenes"]
    base["augmentation"] |= {
        "side": side, "face_sizes": [10.0, 0.7 * side],
        "mosaic": 0.3, "mosaic_rows": [2], "compose": 0.0, "occlude": 0.0,
    }  # fmt: skip

    def only(recipe: dict[str, Any], paths: Sequence[str]) -> None:
        recipe["source"] = [s for s in recipe["source"] if s["path"] in paths]

    made: dict[str, dict[str, Any]] = {}
    made["photographs"] = copy.deepcopy(base)
    only(made["photographs"], PHOTOGRAPHS)
    made["drawn masks"] = copy.deepcopy(made["photographs"])
    made["drawn masks"]["augmentation"]["occlude"] = 0.5
    made["crowds"] = copy.deepcopy(base)
    made["crowds"]["augmentation"]["occlude"] = 0.5
    only(made["crowds"], PHOTOGRAPHS + CROWDS)
    made["composed"] = copy.deepcopy(base)
    made["composed"]["augmentation"] |= {"occlude": 0.5, "compose": 0.15, "mosaic_rows": [2, 3]}
    return made


def judged(
    detector: RetinaFaceDetector, pictures: Sequence[LabelledPicture], false_faces: Sequence[float]
) -> dict[str, float]:
    """Recall at a score of 0.5, of all and by what is worn, false faces a picture, and recall
    where the score is set so that a picture has ``false_faces``."""
    scores: list[NDArray[np.float32]] = []
    hit: list[NDArray[np.bool_]] = []
    false: list[NDArray[np.bool_]] = []
    counted, labels, own = 0, [], []
    for picture in pictures:
        faces = detector.detect([read_picture(picture.path)])[0]
        match = match_picture(faces, picture)
        counted += int(match.counted.sum())
        scores.append(faces.scores)
        hit.append((match.truth >= 0) & ~match.ignored)
        false.append(match.false)
        at_own = match_picture(faces.select(np.flatnonzero(faces.scores >= 0.5)), picture)
        real = at_own.counted[: len(picture.labels)]
        labels.append(picture.labels[real])
        own.append(at_own.found[: len(picture.labels)][real])
    score, found, wrong = (np.concatenate(x) for x in (scores, hit, false))
    told = found | wrong  # others lie where nobody knows
    recalls = free_response(found[told], score[told], counted, len(pictures), false_faces)
    label, seen = np.concatenate(labels), np.concatenate(own)
    figures = {
        "recall": float(seen.mean()),
        "recall_mask": float(seen[label == LABELS.index(Label.MASK)].mean()),
        "recall_no_mask": float(seen[label == LABELS.index(Label.NO_MASK)].mean()),
        "false_per_picture": float(wrong[score >= 0.5].sum() / len(pictures)),
    }
    return figures | {f"recall_at_{limit}": r for limit, r in zip(false_faces, recalls, strict=True)}


def held_out(recipe: dict[str, Any], places: Places, cache: Path) -> list[LabelledPicture]:
    """The scenes that no run learns from, their boxes in the teacher's manner; ``cache`` keeps the faces."""
    scenes = [build(Source, s, "[[source]]") for s in recipe["source"] if s["kind"] == "scenes"][:1]
    teacher = build(TeacherRecipe, recipe["teacher"], "[teacher]")
    known = read_face_labels(places.face_labels) if places.face_labels else {}
    found = teacher.label(scenes, places.data, places.weights, cache, known)
    corrections = read_corrections(places.recipe / recipe["corrections"])
    pictures = read_pictures(scenes, places.data, found, corrections, teacher)
    style = fit_box_style((p.faces.boxes, found.get(p.name, Faces.empty())) for p in pictures)
    return [restyle(p.faces, style, 0.0, drawn=True) for p in pictures]


def blended(run: Path, recipe: dict[str, Any], weights: Sequence[Path], share: float) -> Path:
    """The file of a run's network averaged with its start, which has ``share``."""
    network = DetectorNetwork(start=recipe["start"], backbone=recipe["backbone"])
    start = create_network(network, recipe["starts"], weights, 0, list)
    trained = copy.deepcopy(start)
    trained.load_state_dict(load_file(run / "model.safetensors"))
    mean = blend(trained, [start], [share])
    assert isinstance(mean, RetinaFace)
    file = run / f"blend-{share:g}.onnx"
    export_detector(mean, file)
    return file


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/detector.toml"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, action="append", required=True)
    parser.add_argument("--face-labels", type=Path)
    parser.add_argument("--samples", type=int, default=9600)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="other detectors to judge")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.4], help="of the start, in blends")
    parser.add_argument("--false-faces", type=float, nargs="+", default=[0.1, 0.3])
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    places = Places(
        arguments.recipe.parent,
        arguments.data,
        tuple(arguments.weights),
        arguments.runs,
        face_labels=arguments.face_labels,
    )
    made = variants(recipe, arguments.samples, arguments.side, arguments.rate)
    files: dict[str, Path] = {file.stem: file for file in arguments.models}
    for name, own in made.items():
        folder = arguments.runs / name.replace(" ", "-")
        if arguments.only and name not in arguments.only:
            continue
        if not (folder / "model.onnx").exists():
            folder.mkdir(parents=True, exist_ok=True)
            train_detector(own, places, folder, threads=1, workers=1)
        files[name] = folder / "model.onnx"
        for share in arguments.shares:
            files[f"{name}, start {share:g}"] = blended(folder, own, places.weights, share)
    pictures = held_out(recipe, places, arguments.runs / "teacher.jsonl")
    settings = RetinaFaceSettings(score=0.05)
    results = {}
    for name, file in files.items():
        results[name] = judged(load_detector(file, arguments.runs, settings), pictures, arguments.false_faces)
        print(f"{name:24}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()), flush=True)
    write_json(
        arguments.runs / "parts.json",
        {
            "pictures": len(pictures),
            "settings": {k: str(v) for k, v in vars(arguments).items()},
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
