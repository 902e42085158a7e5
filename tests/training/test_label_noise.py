from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.errors import DataError  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.crops import SIDE, FaceCrops  # noqa: E402
from maskgate.training.label_noise import deal, find_suspects  # noqa: E402
from maskgate.training.recipe import read_recipe  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_folds_are_even_and_keep_copies_together() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, SIDE, SIDE, 3), dtype=np.uint8)
    images[1::3] = images[::3]  # every third face is there twice
    crops = FaceCrops(
        images, np.zeros((90, 5, 2), np.float32), np.zeros(90, np.int64), np.zeros(90, np.int64),
        np.full(90, 60, np.float32), [f"{i}.jpg" for i in range(90)],
    )  # fmt: skip
    folds = deal(crops, 3, seed=1)
    assert np.array_equal(folds[1::3], folds[::3])
    counts = np.bincount(folds, minlength=3)
    assert len(counts) == 3
    assert counts.min() > 15


def test_a_wrong_label_is_found(shared: Path, tmp_path: Path) -> None:
    """Faces tinted red are "mask" and blue ones "no_mask", which is soon learnt; one red face lies
    among the blue ones."""
    data, source = tmp_path / "data", shared / "data" / "crops" / "celeb12k" / "no_mask"
    files = sorted(source.iterdir())[:49]
    for i, file in enumerate(files):
        picture = cv2.imread(str(file)) // 3
        picture[..., 2 if i % 2 == 0 else 0] += 160  # BGR
        name = f"{'mask' if i % 2 == 0 else 'no_mask'}/{file.name}" if i < 48 else "no_mask/planted.png"
        (data / "crops" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(data / "crops" / name), picture)
    recipe = read_recipe(RECIPES / "classifier.toml", epochs=6)
    recipe["source"] = [{"path": "crops", "kind": "crops", "labels": {"mask": "mask", "no_mask": "no_mask"}}]
    del recipe["occlusion"], recipe["corrections"], recipe["teacher"]
    recipe |= {"architecture": "mobilenet025", "start": "scratch"}
    recipe["augmentation"] = {"size": 64, "shares": [0.5, 0.5, 0.0], "drawn_masks": 0.0, "covered": 0.0}
    recipe["loop"] |= {"samples": 256, "batch": 32, "warm_up": 4, "rate": 3e-3, "average": 0.8,
                       "bfloat16": False}  # fmt: skip
    places = Places(RECIPES, data, (shared / "weights",), tmp_path / "crops")
    count = find_suspects(recipe, places, tmp_path / "out", folds=2, below=0.5, threads=1, workers=0)
    with (tmp_path / "out" / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    own = [float(row["probability"]) for row in rows]
    assert own == sorted(own)
    assert rows[0]["picture"] == "crops/no_mask/planted.png"  # the most doubtful of all
    assert (rows[0]["label"], rows[0]["suggested"]) == ("no_mask", "mask")
    assert (tmp_path / "out" / "suspects-1.jpg").stat().st_size > 1000


def test_one_fold_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="use 2 or more"):
        find_suspects(
            {}, Places(tmp_path, tmp_path, (), tmp_path), tmp_path / "out", folds=1, below=0.2, threads=1,
            workers=0,
        )  # fmt: skip
