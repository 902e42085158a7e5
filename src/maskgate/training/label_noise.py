"""Wrong labels, found by classifiers that have not seen the face they judge.

The faces are dealt into folds, near-duplicates together; for each fold a classifier learns from the
others and says how likely the given labels in it are (self-confidence: Northcutt et al. 2021,
*Confident learning*). The least likely ones are listed for a person to look at: none is changed here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.classification.softmax import softmax
from maskgate.errors import DataError
from maskgate.files import write_atomic
from maskgate.training.classifier import run_recipe
from maskgate.training.classifier_data import still_views
from maskgate.training.classifier_setup import ClassifierData, Places, prepare_faces
from maskgate.training.classifier_validation import logits_of
from maskgate.training.crops import FaceCrops
from maskgate.training.runs import RunFolder
from maskgate.training.splits import TEST, TRAINING, VALIDATION, assign_sides, group_pictures
from maskgate.types import LABELS, Image

CELL, COLUMNS, ROWS = 150, 10, 6
"""Of the contact sheets: pixels, faces."""


def find_suspects(
    recipe: Mapping[str, Any], places: Places, output: Path, *, folds: int, below: float, threads: int,
    workers: int,
) -> int:  # fmt: skip
    """Writes ``suspects.csv`` and contact sheets ``suspects-1.jpg`` … into ``output``.

    The table has a line a face whose label has a probability under ``below``, the least likely
    first: picture, label, the label that the classifier would give, both probabilities.

    Args:
        recipe: a classifier's; each fold's run lies in ``fold-1`` … and can be stopped and gone on
            with.
        folds: at least 2.
        below: in (0, 1).

    Returns the number of suspects. Raises :class:`~maskgate.errors.DataError` as training does.
    """
    if folds < 2:
        raise DataError(f"{folds} folds leave no faces to learn from or to judge; use 2 or more")
    whole = {**recipe, "validation": 0.0, "test": 0.0}
    data = prepare_faces(whole, places, output / "teacher.jsonl")
    fold_of = deal(data.crops, folds, int(recipe["seed"]))
    trusted = np.array([s.labelled for s in data.sources])[data.crops.sources]
    probabilities = np.full((len(data.crops), len(LABELS)), np.nan)
    for fold in range(folds):
        inside = fold_of == fold
        sides = np.where(inside, TEST, TRAINING)
        sides[_a_few(inside)] = VALIDATION  # for the curves; they are judged all the same
        part = replace(data, sides=sides)
        run = RunFolder(output / f"fold-{fold + 1}", whole | {"folds": folds, "fold": fold})
        net = run_recipe(whole, part, places, run, threads=threads, workers=workers)
        places_ = np.flatnonzero(inside & trusted)
        probabilities[places_] = _judge(net, data, places_)
    own = probabilities[np.arange(len(data.crops)), data.crops.labels]
    suspects = np.flatnonzero(own < below)  # NaN, of faces whose label nobody gave, is not
    suspects = suspects[np.argsort(own[suspects])]
    _write_table(output / "suspects.csv", data.crops, probabilities, suspects)
    _write_sheets(output, data.crops, probabilities, suspects)
    return len(suspects)


def deal(crops: FaceCrops, folds: int, seed: int) -> NDArray[np.int64]:
    """``(N,)`` the fold of each face, from 0; near-duplicate pictures are in one fold."""
    names, _, groups = group_pictures(crops)
    fold = dict.fromkeys(names, 0)
    for k in range(1, folds):
        # sides by thresholds of one lot: those under k / folds were dealt before
        later = assign_sides(names, groups, k / folds, 0.0, seed) == TRAINING
        for name, is_later in zip(names, later, strict=True):
            fold[name] += int(is_later)
    return np.array([fold[name] for name in crops.pictures], np.int64)


def _a_few(inside: NDArray[np.bool_], count: int = 400) -> NDArray[np.intp]:
    places = np.flatnonzero(inside)
    return np.asarray(np.random.default_rng(0).permutation(places)[:count])


def _judge(net: Any, data: ClassifierData, places: NDArray[np.intp]) -> NDArray[np.float64]:
    a = data.augmentation
    views = still_views((data.crops.images[i] for i in places), a.margin, a.size)
    logits = logits_of(net, views) + logits_of(net, np.ascontiguousarray(views[:, :, ::-1]))
    return softmax(logits / 2)


def _write_table(
    file: Path, crops: FaceCrops, probabilities: NDArray[np.float64], suspects: NDArray[np.intp]
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["picture", "label", "suggested", "probability", "probability_suggested"])
    for i in suspects:
        p, best = probabilities[i], int(probabilities[i].argmax())
        label = int(crops.labels[i])
        writer.writerow([crops.pictures[i], LABELS[label], LABELS[best], f"{p[label]:.4f}", f"{p[best]:.4f}"])
    write_atomic(file, out.getvalue().encode())


def _write_sheets(
    folder: Path, crops: FaceCrops, probabilities: NDArray[np.float64], suspects: NDArray[np.intp]
) -> None:
    size = COLUMNS * ROWS
    for number, begin in enumerate(range(0, len(suspects), size), 1):
        cells = [_cell(crops, probabilities, int(i)) for i in suspects[begin : begin + size]]
        cells += [np.zeros((CELL, CELL, 3), np.uint8)] * (-len(cells) % COLUMNS)
        rows = [np.hstack(cells[r : r + COLUMNS]) for r in range(0, len(cells), COLUMNS)]
        _, jpeg = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1])
        write_atomic(folder / f"suspects-{number}.jpg", jpeg.tobytes())


def _cell(crops: FaceCrops, probabilities: NDArray[np.float64], i: int) -> Image:
    cell = cv2.resize(np.ascontiguousarray(crops.images[i]), (CELL, CELL))
    path = Path(crops.pictures[i])
    best = int(probabilities[i].argmax())
    said = f"{LABELS[int(crops.labels[i])]}? {LABELS[best]} {probabilities[i, best]:.2f}"
    for text, y in ((f"{path.parent.name}/{path.stem}"[-24:], 12), (said, CELL - 6)):
        cv2.putText(cell, text, (2, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 3)
        cv2.putText(cell, text, (2, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 0), 1)
    return np.asarray(cell, np.uint8)
