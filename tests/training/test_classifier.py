from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from scipy.special import softmax as scipy_softmax

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from maskgate.alignment import CropSpec  # noqa: E402
from maskgate.classification.quality import sharpness  # noqa: E402
from maskgate.classification.resnet import ResNetClassifier  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.classifier import ClassifierTask, finish, train_classifier  # noqa: E402
from maskgate.training.classifier_data import MASK, NO_MASK  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.classifier_validation import ValidationFaces  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.recipe import read_recipe  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.types import LABELS  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def small_net() -> FaceClassifier:
    torch.manual_seed(0)
    return FaceClassifier(FaceResNet(BLOCKS[:1]))


class Eight:
    """Eight views that do not change."""

    epoch = 0

    def __init__(self, astronaut: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        places = rng.integers(0, 400, (8, 2))
        self.views = [astronaut[y : y + 64, x : x + 64].copy() for y, x in places]
        self.labels = [0, 1, 2, 0, 1, 2, 0, 1]

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return torch.from_numpy(self.views[index].transpose(2, 0, 1).copy()), torch.tensor(self.labels[index])


def test_eight_samples_are_learnt_by_heart(tmp_path: Path, astronaut: np.ndarray) -> None:
    dataset = Eight(astronaut)
    net = small_net()
    faces = ValidationFaces(np.stack(dataset.views), np.array(dataset.labels), np.zeros(8, int), np.ones(8))
    task = ClassifierTask(net, dataset, faces, smoothing=0.0)
    settings = LoopSettings(
        epochs=60, batch=8, rate=5e-3, warm_up=10, average=0.5, bfloat16=False, workers=0, decay=0.0
    )
    before = task.evaluate(net)["loss"]
    trained = train(task, settings, RunFolder(tmp_path, {}), seed=0, quiet=True)
    after = task.evaluate(trained)
    assert before > 0.9
    assert after["loss"] < 0.1
    assert after["accuracy"] == after["roc_auc"] == after["incorrect_flagged"] == 1
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_accuracy"]) == 1


def test_smoothing_is_of_the_labels() -> None:
    scores = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]])
    labels = torch.tensor([0, 2])
    net = small_net()
    faces = ValidationFaces(np.zeros((1, 2, 2, 3), np.uint8), np.array([0]), np.array([0]), np.ones(1))
    task = ClassifierTask(net, Eight(np.zeros((512, 512, 3), np.uint8)), faces, smoothing=0.3)

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return scores

    loss, parts = task.loss(Fixed(), [torch.zeros(2, 3, 8, 8, dtype=torch.uint8), labels])
    logs = np.log(scipy_softmax(scores.numpy(), axis=1))
    wanted = [-(0.7 * logs[i, k] + 0.1 * logs[i].sum()) for i, k in enumerate([0, 2])]
    assert loss.item() == pytest.approx(np.mean(wanted), rel=1e-5)
    assert parts == {"accuracy": 1.0}


def test_finish_writes_what_was_fitted(tmp_path: Path) -> None:
    net = small_net()
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    kinds = np.array([0] * 30 + [1] * 5 + [2] * 5)
    faces = ValidationFaces(views, rng.integers(0, 3, 40), kinds, np.arange(40, dtype=np.float32))
    finish(net, faces, 64, 0.1, tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    p = ResNetClassifier(session, CropSpec("rotate", 64), sure=figures["sure"]).classify(views)
    wearers = p[:30][faces.labels[:30] == MASK, 0]
    assert (wearers < figures["threshold"] - 1e-3).mean() <= 0.1
    assert figures["validation_faces"] == 30
    called = p[:30][faces.labels[:30] == NO_MASK, 0] >= figures["threshold"]
    assert figures["validation"]["recall_no_mask"] == pytest.approx(1 - called.mean(), abs=0.11)
    assert 0.2 <= figures["temperature"] <= 10
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [LABELS[k] for k in faces.labels[:30]]
    read = np.array([[float(row[label]) for label in LABELS] for row in rows])
    np.testing.assert_allclose(read, p[:30], atol=2e-3)  # half weights in the network
    assert [float(row["size"]) for row in rows] == list(range(30))
    np.testing.assert_allclose([float(row["sharpness"]) for row in rows], [sharpness(v) for v in views[:30]],
                               rtol=1e-5)  # fmt: skip


@pytest.fixture
def small_data(shared: Path, tmp_path: Path) -> Path:
    """A data folder with a few pictures of some TRAIN sources."""
    counts = {
        "crops/rmfd-web/mask": 8, "crops/rmfd-web/no_mask": 8, "photos/types/incorrect": 6,
        "hands/dorsal": 4, "hands/signs": 4,
    }  # fmt: skip
    root = tmp_path / "data"
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for file in sorted((shared / "data" / name).glob("*.jpg"))[:count]:
            (root / name / file.name).symlink_to(file)
    (root / "mask-templates").symlink_to(shared / "data" / "mask-templates")
    return root


def test_recipe_from_pictures_to_a_model(shared: Path, small_data: Path, tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "classifier.toml", epochs=2)
    recipe["source"] = [
        {"path": "crops/rmfd-web", "kind": "crops", "labels": {"mask": "mask", "no_mask": "no_mask"}},
        {"path": "photos/types", "kind": "photos", "labels": {"incorrect": "incorrect"}},
    ]
    recipe |= {"architecture": "face-resnet3", "validation": 0.3, "test": 0.3}
    recipe["loop"] |= {"samples": 16, "batch": 8, "warm_up": 1}
    recipe["loop"] |= {"bfloat16": False}
    output = tmp_path / "run"
    places = Places(RECIPES, small_data, (shared / "weights",), tmp_path / "crops")
    train_classifier(recipe, places, output, threads=1, workers=1)
    kept = {"settings.json", "manifest.json", "crops.json", "curves.csv", "checkpoint.pt", "figures.json",
            "model.safetensors", "model.onnx", "teacher.jsonl"}  # fmt: skip
    assert kept <= {f.name for f in output.iterdir()}
    manifest = json.loads((output / "manifest.json").read_text())
    assert all((small_data / name).is_file() for name in manifest)
    counts = json.loads((output / "crops.json").read_text())
    assert counts["photos/types"]["incorrect"] == sum(n.startswith("photos") for n in manifest)
    figures = json.loads((output / "figures.json").read_text())
    assert 0.05 <= figures["threshold"] <= 0.95
    sides = (output / "sides.csv").read_text().splitlines()
    assert sides[0] == "picture,label,side"
    held = [row for row in sides if row.endswith(",test")]
    assert 0 < figures["test_faces"] <= len(held)
    assert 0 <= figures["test"]["ece"] <= 1
    classifier = ResNetClassifier(ort.InferenceSession(str(output / "model.onnx")), CropSpec())
    assert classifier.classify(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 3)
    # the same again changes nothing; another seed is another run
    before = (output / "model.onnx").read_bytes()
    train_classifier(recipe, places, output, threads=1, workers=1)
    assert (output / "model.onnx").read_bytes() == before
    with pytest.raises(DataError, match="holds a run with other settings"):
        train_classifier(recipe | {"seed": 12}, places, output, threads=1, workers=1)


@pytest.mark.parametrize("name", ["architecture", "wearers_accused"])
def test_recipe_of_another_network(tmp_path: Path, name: str) -> None:
    recipe = read_recipe(RECIPES / "classifier.toml")
    del recipe[name]
    with pytest.raises(DataError, match=f"no field '{name}'"):
        train_classifier(
            recipe, Places(tmp_path, tmp_path, (tmp_path,), tmp_path), tmp_path / "run", threads=1, workers=1
        )
    assert not (tmp_path / "run").exists()
