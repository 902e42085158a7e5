from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from sklearn.metrics import accuracy_score  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.studies.report import write_study  # noqa: E402
from maskgate.studies.results import Predictions, StudyRun  # noqa: E402
from maskgate.studies.transfer import (  # noqa: E402
    Combination,
    best_threshold,
    error_examples,
    label_of_folder,
    picture_numbers,
    recipe_for_folder,
    run_transfer_study,
)
from maskgate.training.classifier_setup import Places  # noqa: E402


def test_names_of_runs() -> None:
    runs = dict(Combination("resnet18", "w/imagenet.pth", "frozen", (0, 2)).runs())
    assert list(runs) == ["resnet18-imagenet-frozen-0", "resnet18-imagenet-frozen-2"]
    assert {r["seed"] for r in runs.values()} == {1000, 1002}


@pytest.mark.parametrize("seed", range(5))
def test_threshold_against_trying_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    p = np.clip(rng.normal(0.7 - 0.4 * (labels == 1), 0.2), 0.02, 0.98)
    two = labels != 2
    chosen = best_threshold(p, labels)
    best = max(accuracy_score(labels[two] == 0, p[two] >= t) for t in np.linspace(0, 1, 2001))
    assert accuracy_score(labels[two] == 0, p[two] >= chosen) == pytest.approx(best)


def test_faces_of_a_picture_have_its_number() -> None:
    assert picture_numbers(["b", "a", "b"]).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("folder", "label"),
    [("with_mask", "mask"), ("Without Mask", "no_mask"), ("mask_weared_incorrect", "incorrect"),
     ("no-mask", "no_mask"), ("MASK", "mask"), ("cats", None)],
)  # fmt: skip
def test_names_that_public_sets_use(folder: str, label: str | None) -> None:
    assert label_of_folder(folder) == label


class TestRecipeForFolder:
    def test_folders(self, tmp_path: Path) -> None:
        for name in ("with_mask", "without_mask", "other"):
            (tmp_path / name).mkdir()
        recipe = recipe_for_folder(tmp_path, {}, [])
        (source,) = recipe["source"]
        assert source["labels"] == {"with_mask": "mask", "without_mask": "no_mask"}
        assert recipe["augmentation"]["shares"][2] == 0  # nothing to show of the third label

    def test_three_folders(self, tmp_path: Path) -> None:
        for name in ("mask", "no_mask", "incorrect"):
            (tmp_path / name).mkdir()
        assert recipe_for_folder(tmp_path, {}, [])["augmentation"]["shares"][2] > 0

    def test_scenes(self, tmp_path: Path) -> None:
        (tmp_path / "annotations.json").write_text("{}")
        assert recipe_for_folder(tmp_path, {}, [])["source"] == [{"path": ".", "kind": "scenes"}]

    def test_neither(self, tmp_path: Path) -> None:
        (tmp_path / "mask").mkdir()
        with pytest.raises(DataError, match="name the folders mask, no_mask and incorrect"):
            recipe_for_folder(tmp_path, {}, [])


@pytest.fixture
def pictures(shared: Path, tmp_path: Path) -> Path:
    """Two dozen crops of each of two labels."""
    for label in ("mask", "no_mask"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for file in sorted((shared / "data" / "crops" / "rmfd-web" / label).glob("*.jpg"))[:24]:
            (tmp_path / "data" / label / file.name).symlink_to(file)
    return tmp_path / "data"


def test_from_a_folder_to_a_report(pictures: Path, shared: Path, tmp_path: Path) -> None:
    weights = shared / "weights"
    starts = {"imagenet": {"file": "detection/mobilenetv1x0.25_imagenet.pth", "description": "ImageNet"}}
    runs = [{"architecture": "mobilenet025", "start": s} for s in ("scratch", "imagenet")]
    recipe = recipe_for_folder(pictures, starts, [*runs, runs[1] | {"strategy": "frozen"}])
    recipe["loop"] |= {"epochs": 2, "samples": 64, "batch": 32, "bfloat16": False}
    places = Places(pictures, pictures, (weights,), tmp_path / "crops")

    def study(only: str) -> tuple[list[StudyRun], object]:
        return run_transfer_study(
            recipe, places, tmp_path / "study", cross=None, threads=1, workers=0, only=only
        )

    first, _ = study("*scratch*")
    assert [r.start for r in first] == ["scratch"]
    folder = tmp_path / "study" / "runs" / "mobilenet025-scratch-finetune-0"
    before = (folder / "run.json").stat().st_mtime_ns
    every, examples = study("*")  # the finished one is not trained again
    assert (folder / "run.json").stat().st_mtime_ns == before
    assert [(r.start, r.strategy) for r in every] == [
        ("scratch", "finetune"), ("imagenet", "finetune"), ("imagenet", "frozen")
    ]  # fmt: skip
    assert all(len(r.epochs) == 2 for r in every)
    assert np.array_equal(every[0].test.truth, every[1].test.truth)
    pictures_seen = {len(r.train) + len(r.test) for r in every}
    assert len(pictures_seen) == 1
    write_study(every, tmp_path / "study", about={}, examples=examples)  # type: ignore[arg-type]
    content = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [r["start_description"] for r in content["runs"]] == ["random weights", "ImageNet", "ImageNet"]


def test_a_start_that_is_missing_is_told_before_training(pictures: Path, tmp_path: Path) -> None:
    recipe = recipe_for_folder(pictures, {}, [{"architecture": "mobilenet025", "start": "gone.pth"}])
    with pytest.raises(DataError, match=r"gone\.pth"):
        run_transfer_study(
            recipe, Places(pictures, pictures, (), tmp_path / "c"), tmp_path / "study", cross=None, threads=1,
            workers=0,
        )  # fmt: skip
    assert not (tmp_path / "study").exists()


def test_the_worst_errors_come_first(study_run: Callable[..., StudyRun]) -> None:
    class Data:
        class test:  # noqa: N801
            images = np.zeros((4, 160, 160, 3), np.uint8)

        class augmentation:  # noqa: N801
            margin = 1.35

    p = np.array([[0.1, 0.9, 0], [0.3, 0.7, 0], [0.9, 0.1, 0], [0.8, 0.1, 0.1]])
    run = study_run(test=Predictions(np.array([0, 0, 1, 0]), p, np.arange(4)), threshold=0.5)
    Data.test.images[:] = np.arange(4)[:, None, None, None]
    wearers, violators = error_examples(Data, run).values()  # type: ignore[arg-type]
    assert [int(v.max()) for v in wearers] == [0, 1]
    assert [int(v.max()) for v in violators] == [2]
