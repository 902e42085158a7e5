from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from maskgate.errors import DataError  # noqa: E402
from maskgate.studies.ablation import COLUMNS, run_ablation, write_ablation  # noqa: E402
from maskgate.training.classifier_setup import Places, prepare_faces  # noqa: E402
from maskgate.training.recipe import read_recipe  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def data(shared: Path, tmp_path: Path) -> Path:
    """Two dozen crops of each of two labels, some hands, and the mask templates."""
    for name, count in (("crops/own/mask", 24), ("crops/own/no_mask", 24), ("hands/dorsal", 24)):
        (tmp_path / "data" / name).mkdir(parents=True)
        source = shared / "data" / name.replace("own", "rmfd-web")
        for file in sorted(source.glob("*.jpg"))[:count]:
            (tmp_path / "data" / name / file.name).symlink_to(file)
    for name in ("mask-templates", "hands/dorsal.csv"):
        (tmp_path / "data" / name).symlink_to(shared / "data" / name)
    return tmp_path / "data"


def test_parts_side_by_side(data: Path, shared: Path, tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "studies" / "occlusion.toml", epochs=1)
    del recipe["corrections"], recipe["teacher"]
    recipe["source"] = [
        {"path": "crops/own", "kind": "crops", "labels": {"mask": "mask", "no_mask": "no_mask"}}
    ]
    recipe["part"] = [p for p in recipe["part"] if p["name"] in ("everything", "no covers")]
    recipe |= {"architecture": "mobilenet025", "start": "scratch", "validation": 0.25, "test": 0.25}
    recipe["augmentation"] = {"size": 64, "shares": [0.4, 0.4, 0.2], "drawn_wrong": 1.0}
    recipe["loop"] |= {"samples": 32, "batch": 16, "bfloat16": False}
    recipe["occlusion"]["hands"] = ["hands/dorsal"]
    places = Places(RECIPES, data, (shared / "weights",), tmp_path / "crops")
    rows = run_ablation(recipe, places, tmp_path / "out", cross=None, threads=1, workers=0)
    assert [row["part"] for row in rows] == ["everything", "no covers"]
    for row in rows:
        assert 0 <= row["hand_called_mask"] <= 1
        assert row["cross_accuracy"] is None
    again = run_ablation(recipe, places, tmp_path / "out", cross=None, threads=1, workers=0)
    assert again == rows
    write_ablation(rows, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["parts"] == rows
    table = (tmp_path / "out" / "ablation.md").read_text().splitlines()
    assert len(table) == 2 + 2
    assert table[0].count("|") == len(COLUMNS) + 2

    faces = prepare_faces({k: v for k, v in recipe.items() if k != "part"}, places, tmp_path / "f.jsonl")
    judge = faces.testing
    bare = int((faces.test.labels == 1).sum())
    assert (judge.kinds == 0).sum() == len(faces.test)
    assert 0 < (judge.kinds == 2).sum() <= bare
    learnt, kept = ({Path(f).name for f in h} for h in (faces.hands_to_learn, faces.hands_to_judge))
    assert kept
    assert not learnt & kept
    assert np.array_equal(judge.views, replace(faces).testing.views)


def test_a_recipe_without_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table \[\[part\]\]"):
        run_ablation(
            {"seed": 1}, Places(tmp_path, tmp_path, (), tmp_path), tmp_path, cross=None, threads=1, workers=0
        )
