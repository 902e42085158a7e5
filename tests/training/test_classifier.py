from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
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
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.calibration import fit_threshold  # noqa: E402
from maskgate.training.classifier import ClassifierTask, finish, run_recipe, train_classifier  # noqa: E402
from maskgate.training.classifier_data import NO_MASK, ClassifierAugmentation  # noqa: E402
from maskgate.training.classifier_setup import ClassifierData, Places  # noqa: E402
from maskgate.training.classifier_validation import ValidationFaces  # noqa: E402
from maskgate.training.crops import FaceCrops  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.occlusion.shares import OcclusionShares  # noqa: E402
from maskgate.training.recipe import Source, read_recipe  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.training.splits import TRAINING, VALIDATION  # noqa: E402
from maskgate.training.strategies import Strategy  # noqa: E402
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
    with torch.no_grad():
        net.fc.weight *= 200  # noise is all alike to a network that has learnt nothing
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    kinds = np.array([0] * 30 + [1] * 5 + [2] * 5)
    faces = ValidationFaces(views, rng.integers(0, 3, 40), kinds, np.arange(40, dtype=np.float32))
    finish(net, faces, 64, tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    p = ResNetClassifier(session, CropSpec("rotate", 64), sure=figures["sure"]).classify(views)
    assert figures["threshold"] == pytest.approx(fit_threshold(p[:30, 0], faces.labels[:30]), abs=0.02)
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
    recipe |= {"architecture": "face-resnet3", "start": "face-metric", "validation": 0.3, "test": 0.3}
    recipe["augmentation"] = {}
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


def test_recipe_of_another_network(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "classifier.toml")
    del recipe["architecture"]
    with pytest.raises(DataError, match="no field 'architecture'"):
        train_classifier(
            recipe, Places(tmp_path, tmp_path, (tmp_path,), tmp_path), tmp_path / "run", threads=1, workers=1
        )
    assert not (tmp_path / "run").exists()


STAGES = ["stage1", "stage2", "stage3", "fc"]  # of mobilenet025, from the input on


@pytest.fixture
def twelve(noise_crops: Callable[..., FaceCrops]) -> ClassifierData:
    """Noise of each class; eight to learn from."""
    sides = np.array([TRAINING] * 8 + [VALIDATION] * 4)
    a = ClassifierAugmentation(size=64)
    sources = [Source("a", "crops", labels={"m": "mask"})]
    crops = noise_crops([0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 2, 1])
    return ClassifierData(crops, sides, sources, a, 1, None, OcclusionShares(), (), ())


def parts(state: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    return {s: {k: v for k, v in state.items() if k.startswith((f"backbone.{s}.", f"{s}."))} for s in STAGES}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    """Stages of which any bit has changed, statistics of normalisation included."""
    one, other = parts(before), parts(after)
    return [s for s in STAGES if any(not torch.equal(one[s][k], other[s][k]) for k in one[s])]


def test_fixed_features(twelve: ClassifierData, tmp_path: Path) -> None:
    """After a whole run, averaged weights and all, the backbone is what it was, to the bit."""
    start = tmp_path / "start.pth"
    torch.manual_seed(4)
    torch.save(create_backbone("mobilenet025").state_dict(), start)
    recipe = {
        "architecture": "mobilenet025", "start": str(start), "strategy": "frozen", "seed": 1,
        "loop": {"epochs": 3, "samples": 16, "batch": 8, "warm_up": 1, "decay": 0.1, "average": 0.7},
    }  # fmt: skip
    places = Places(tmp_path, tmp_path, (), tmp_path)
    states = {}
    for strategy in ("frozen", "finetune"):
        run = RunFolder(tmp_path / strategy, {})
        own = recipe | {"strategy": strategy}
        net = run_recipe(own, twelve, places, run, threads=1, workers=0, quiet=True)
        states[strategy] = net.state_dict()
    before = {f"backbone.{k}": v for k, v in torch.load(start, weights_only=True).items()}
    torch.manual_seed(1)
    fresh = FaceClassifier(create_backbone("mobilenet025")).state_dict()
    before |= {k: fresh[k] for k in ("fc.weight", "fc.bias")}
    assert changed(before, states["frozen"]) == ["fc"]
    assert changed(before, states["finetune"]) == STAGES


class Watched(ClassifierTask):
    """Notes the weights as each epoch begins."""

    def __init__(self, data: ClassifierData, epochs: int) -> None:
        torch.manual_seed(2)
        net = FaceClassifier(create_backbone("mobilenet025"), dropout=0.3)
        dataset = data.dataset(16, 1)
        super().__init__(net, dataset, data.validation, 0.02, Strategy.GRADUAL, epochs)
        self.seen: list[dict[str, torch.Tensor]] = []

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.seen.append({k: v.clone() for k, v in self.net.state_dict().items()})


def test_gradual_run_opens_one_part_after_the_other_and_goes_on_exactly(
    twelve: ClassifierData, tmp_path: Path
) -> None:
    settings = LoopSettings(
        epochs=6, batch=4, rate=1e-2, warm_up=2, bfloat16=False, workers=0, head=("fc.",), head_rate=2.0
    )

    def go(folder: str, stop: int = 0) -> Watched:
        task, calls = Watched(twelve, 6), itertools.count(1)
        train(task, settings, RunFolder(tmp_path / folder, {}), seed=3, quiet=True,
              stop=lambda: next(calls) == stop)  # fmt: skip
        return task

    seen = go("whole").seen
    opened = [changed(a, b) for a, b in itertools.pairwise(seen)]
    assert opened == [STAGES[3:], STAGES[2:], STAGES[1:], STAGES, STAGES]
    for stop in (3, 4, 6, 11):  # within an epoch and at its end; four steps each
        go(f"parts{stop}", stop)
        assert not (tmp_path / f"parts{stop}" / "model.safetensors").exists()
        go(f"parts{stop}")
        for name in ("model.safetensors", "figures.json"):
            whole = (tmp_path / "whole" / name).read_bytes()
            assert (tmp_path / f"parts{stop}" / name).read_bytes() == whole, (stop, name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "resnet19"}, "no architecture 'resnet19'"),
        ({"strategy": "thaw"}, "use finetune, frozen, gradual"),
        ({"start": "gone"}, "'gone' needs the file gone"),
        ({"storage": "int4"}, "storage = 'int4'"),
    ],
)
def test_networks_that_cannot_be(tmp_path: Path, change: dict[str, str], words: str) -> None:
    """Said before any face is looked for."""
    recipe = read_recipe(RECIPES / "classifier.toml") | change
    places = Places(RECIPES, tmp_path / "nowhere", (tmp_path,), tmp_path / "crops")
    with pytest.raises(DataError, match=words):
        train_classifier(recipe, places, tmp_path / "run", threads=1, workers=0)
    assert not (tmp_path / "run").exists()
