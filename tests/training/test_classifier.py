from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import log_loss, roc_auc_score

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from maskgate.alignment import CropSpec  # noqa: E402
from maskgate.classification.quality import sharpness  # noqa: E402
from maskgate.classification.resnet import ResNetClassifier  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.classifier import (  # noqa: E402
    ClassifierTask,
    ValidationFaces,
    _held_out_crops,
    _split_hands,
    export_classifier,
    finish,
    logits_of,
    pseudo_labels,
    train_classifier,
    validation_faces,
)
from maskgate.training.classifier_data import (  # noqa: E402
    INCORRECT,
    MASK,
    NO_MASK,
    ClassifierAugmentation,
    still_view,
)
from maskgate.training.crops import SIDE, UNKNOWN, FaceCrops, cut_face  # noqa: E402
from maskgate.training.export import export_onnx  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.occlusion.hands import Hand  # noqa: E402
from maskgate.training.occlusion.paint import Painter  # noqa: E402
from maskgate.training.recipe import Source, read_recipe  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.types import LABELS, Faces  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = ClassifierAugmentation(size=64)


def noise_crops(labels: list[int], seed: int = 0) -> FaceCrops:
    rng = np.random.default_rng(seed)
    n = len(labels)
    images = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    points = np.array([[62, 70], [98, 70], [80, 90], [65, 108], [95, 108]], np.float32)
    return FaceCrops(
        images, np.repeat(points[None], n, 0), np.array(labels), np.zeros(n, np.int64),
        np.full(n, 60, np.float32), [f"{i}.jpg" for i in range(n)],
    )  # fmt: skip


class TestFigures:
    def faces(self) -> tuple[ValidationFaces, np.ndarray]:
        rng = np.random.default_rng(0)
        labels, kinds = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
        logits = rng.normal(0, 1.5, (300, 3))
        logits[np.arange(300), labels] += 1.5
        return ValidationFaces(
            np.zeros((300, 2, 2, 3), np.uint8), labels, kinds, np.ones(300, np.float32)
        ), logits

    @pytest.mark.parametrize(("temperature", "threshold"), [(1.0, 0.5), (2.5, 0.3)])
    def test_against_scikit_learn(self, temperature: float, threshold: float) -> None:
        faces, logits = self.faces()
        p = scipy_softmax(logits / temperature, axis=1)
        figures = faces.figures(p, threshold)
        real = faces.kinds == 0
        two = real & (faces.labels != INCORRECT)
        assert figures["loss"] == pytest.approx(log_loss(faces.labels[real], p[real], labels=[0, 1, 2]))
        assert figures["roc_auc"] == pytest.approx(roc_auc_score(faces.labels[two] == MASK, p[two, 0]))
        called = p[:, 0] >= threshold

        def share(kind: int, label: int) -> float:
            of = (faces.kinds == kind) & (faces.labels == label)
            return sum(bool(c) for c, o in zip(called, of, strict=True) if o) / int(of.sum())

        assert figures["recall_mask"] == pytest.approx(share(0, MASK))
        assert figures["recall_no_mask"] == pytest.approx(1 - share(0, NO_MASK))
        assert figures["incorrect_flagged"] == pytest.approx(1 - share(0, INCORRECT))
        assert figures["drawn_incorrect_flagged"] == pytest.approx(1 - share(1, INCORRECT))
        assert figures["covered_called_mask"] == pytest.approx(share(1, NO_MASK))
        assert figures["hand_called_mask"] == pytest.approx(called[faces.kinds == 2].mean())
        right = [c == (label == MASK) for c, label in zip(called[two], faces.labels[two], strict=True)]
        assert figures["accuracy"] == pytest.approx(np.mean(right))

    def test_share_of_nothing_is_nan(self) -> None:
        faces = ValidationFaces(
            np.zeros((2, 2, 2, 3), np.uint8), np.array([0, 1]), np.zeros(2, int), np.ones(2)
        )
        figures = faces.figures(np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]]))
        assert (figures["accuracy"], figures["roc_auc"]) == (1, 1)
        assert np.isnan(figures["incorrect_flagged"])
        assert np.isnan(figures["hand_called_mask"])


class TestValidationFaces:
    def hands(self) -> list[Hand]:
        return [Hand(np.full((90, 60, 3), 150, np.uint8), np.ones((90, 60), np.float32))]

    def test_all_crops_are_seen_still_and_bare_ones_drawn_on_too(self) -> None:
        crops = noise_crops([MASK, NO_MASK, INCORRECT, NO_MASK, NO_MASK, NO_MASK])
        crops.landmarks[3] = np.nan  # cannot be drawn on
        crops.sizes[4] = 20  # neither can this
        faces = validation_faces(crops, Painter(), self.hands(), SMALL, seed=1)
        assert faces.views.shape == (6 + 2 * 3, 64, 64, 3)
        assert faces.kinds.tolist() == [0] * 6 + [1, 1, 2] * 2
        assert faces.labels.tolist() == crops.labels.tolist() + [NO_MASK, INCORRECT, NO_MASK] * 2
        stills = [still_view(c, SMALL.margin, 64) for c in crops.images]
        assert np.array_equal(faces.views[:6], np.stack(stills))
        for views in (faces.views[6:9], faces.views[9:]):
            bare = [s for s in stills if np.array_equal(s[:6], views[2][:6])]  # the forehead stays
            assert len(bare) == 1
            assert all((view != bare[0]).any() for view in views)

    def test_same_seed_same_views(self) -> None:
        crops = noise_crops([MASK, NO_MASK, INCORRECT, NO_MASK])
        one, two, other = (
            validation_faces(crops, Painter(), self.hands(), SMALL, seed=s).views for s in (1, 1, 2)
        )
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)

    def test_limit(self) -> None:
        crops = noise_crops([MASK, INCORRECT] + [NO_MASK] * 5)
        faces = validation_faces(crops, Painter(), [], SMALL, seed=1, limit=2)
        assert np.bincount(faces.kinds).tolist() == [7, 4]


def test_logits_in_batches_equal_those_at_once() -> None:
    torch.manual_seed(0)
    net = FaceResNet(3, BLOCKS[:1], dropout=0.5).train()
    views = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    logits = logits_of(net, views, batch=3)
    with torch.inference_mode():
        wanted = net.eval()(torch.from_numpy(views).permute(0, 3, 1, 2).float()).numpy()
    assert logits.dtype == np.float64
    assert logits == pytest.approx(wanted, abs=1e-4)


def test_exported_classifier_is_calibrated_and_small(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = FaceResNet(3, BLOCKS[:4], dropout=0.2)
    nn.init.normal_(net.fc.weight, std=2.0)
    file = tmp_path / "model.onnx"
    before = {k: v.clone() for k, v in net.state_dict().items()}
    export_classifier(net, 1.7, 64, file)
    views = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    classifier = ResNetClassifier(ort.InferenceSession(str(file)), CropSpec("rotate", 64, 1.35))
    probabilities = classifier.classify(views)
    assert probabilities == pytest.approx(scipy_softmax(logits_of(net, views) / 1.7, axis=1), abs=0.01)
    assert probabilities.sum(1) == pytest.approx(np.ones(5), abs=1e-5)
    size = sum(p.numel() for p in net.parameters())
    assert 2 * size < file.stat().st_size < 2.4 * size + 12_000
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


class Left(nn.Module):
    """Says mask as far as the left half of the view is bright, and no_mask as far as it is not."""

    def forward(self, crops: Tensor) -> Tensor:
        left = crops[:, :, : crops.shape[2] // 2].float().mean((1, 2, 3)) / 255
        return torch.stack([left, 1 - left, 0 * left], 1)


def test_pseudo_labels(tmp_path: Path) -> None:
    axes = {"crops": {0: "batch"}, "probabilities": {0: "batch"}}
    export_onnx(Left(), torch.zeros(2, 64, 64, 3, dtype=torch.uint8), tmp_path / "l.onnx", axes)
    crops = noise_crops([UNKNOWN, UNKNOWN, UNKNOWN, INCORRECT, UNKNOWN, UNKNOWN])
    for i, (left, right) in enumerate([(255, 255), (255, 179), (0, 0), (255, 255), (255, 179), (255, 0)]):
        crops.images[i, :, : SIDE // 2], crops.images[i, :, SIDE // 2 :] = left, right
    crops.sources[4] = 1  # mean over the view and its mirror image: 0.85
    sources = [Source("a", "photos", confident=0.9), Source("b", "photos", confident=0.8)]
    named = pseudo_labels(crops, sources, tmp_path / "l.onnx", SMALL)
    assert named.pictures == ["0.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert named.labels.tolist() == [MASK, NO_MASK, INCORRECT, MASK]  # what had a label keeps it
    assert crops.labels.tolist() == [UNKNOWN] * 3 + [INCORRECT] + [UNKNOWN] * 2
    assert np.array_equal(named.images[3], crops.images[4])


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
    torch.manual_seed(0)
    dataset = Eight(astronaut)
    net = FaceResNet(3, BLOCKS[:1])
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
    net = FaceResNet(3, BLOCKS[:1])
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
    torch.manual_seed(0)
    net = FaceResNet(3, BLOCKS[:1])
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    kinds = np.array([0] * 30 + [1] * 5 + [2] * 5)
    faces = ValidationFaces(views, rng.integers(0, 3, 40), kinds, np.arange(40, dtype=np.float32))
    finish(net, faces, SMALL, 0.1, tmp_path)
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


class TestSplits:
    def test_copies_of_a_face_are_held_out_together(
        self, astronaut: np.ndarray, astronaut_face: Faces
    ) -> None:
        face, _ = cut_face(astronaut, astronaut_face)
        crops = noise_crops([NO_MASK] * 60)
        for i in range(0, 60, 3):  # a third of them: the same face, lighter and lighter
            crops.images[i] = np.clip(face.astype(int) + i // 2, 0, 255)
        out = _held_out_crops(crops, 0.4, 3)
        assert len(set(out[::3].tolist())) == 1
        assert 0.1 < np.delete(out, np.s_[::3]).mean() < 0.7

    def test_faces_of_a_picture_stay_together(self) -> None:
        crops = noise_crops([NO_MASK] * 40)
        crops.pictures[:] = [f"{i // 2}.jpg" for i in range(40)]
        out = _held_out_crops(crops, 0.5, 1)
        assert np.array_equal(out[::2], out[1::2])
        assert 0.1 < out.mean() < 0.9

    def test_hands_of_a_person_stay_together(self, tmp_path: Path) -> None:
        (tmp_path / "hands").mkdir()
        rows = [f"h{i}.jpg,{i % 24},20,dark" for i in range(96)]
        (tmp_path / "hands" / "dorsal.csv").write_text("\n".join(["file,person,age,skin", *rows]))
        files = [tmp_path / "hands" / "dorsal" / f"h{i}.jpg" for i in range(96)]
        signs = [tmp_path / "hands" / "signs" / f"s{i}.jpg" for i in range(80)]
        learn, keep = _split_hands(files + signs, tmp_path)
        assert sorted(learn + keep) == sorted(files + signs)

        def people(hands: list[Path]) -> set[int]:
            return {int(h.stem[1:]) % 24 for h in hands if h.stem[0] == "h"}

        assert not people(learn) & people(keep)
        assert len(people(keep)) == 12
        assert sum(h.stem[0] == "s" for h in keep) == 10

    def test_hands_of_nobody_known(self, tmp_path: Path) -> None:
        files = [tmp_path / f"{i}.jpg" for i in range(16)]
        learn, keep = _split_hands(files, tmp_path)
        assert (len(learn), len(keep)) == (14, 2)


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
    recipe |= {"blocks": 1, "validation": 0.4}
    recipe["loop"] |= {"samples": 16, "batch": 8, "warm_up": 1}
    recipe["loop"] |= {"bfloat16": False}
    output = tmp_path / "run"
    given: dict[str, Any] = {"folder": RECIPES, "data": small_data, "weights": shared / "weights"}
    train_classifier(recipe, **given, output=output, threads=1, workers=1)
    kept = {"settings.json", "manifest.json", "crops.json", "curves.csv", "checkpoint.pt", "figures.json",
            "model.safetensors", "model.onnx", "teacher.jsonl"}  # fmt: skip
    assert kept <= {f.name for f in output.iterdir()}
    manifest = json.loads((output / "manifest.json").read_text())
    assert all((small_data / name).is_file() for name in manifest)
    counts = json.loads((output / "crops.json").read_text())
    assert counts["photos/types"]["incorrect"] == sum(n.startswith("photos") for n in manifest)
    figures = json.loads((output / "figures.json").read_text())
    assert 0.05 <= figures["threshold"] <= 0.95
    classifier = ResNetClassifier(ort.InferenceSession(str(output / "model.onnx")), CropSpec())
    assert classifier.classify(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 3)
    # the same again changes nothing; another seed is another run
    before = (output / "model.onnx").read_bytes()
    train_classifier(recipe, **given, output=output, threads=1, workers=1)
    assert (output / "model.onnx").read_bytes() == before
    with pytest.raises(DataError, match="holds a run with other settings"):
        train_classifier(recipe | {"seed": 12}, **given, output=output, threads=1, workers=1)


@pytest.mark.parametrize("name", ["blocks", "corrections", "occlusion", "wearers_accused"])
def test_recipe_of_another_network(tmp_path: Path, name: str) -> None:
    recipe = read_recipe(RECIPES / "classifier.toml")
    del recipe[name]
    with pytest.raises(DataError, match=f"no field '{name}'"):
        train_classifier(recipe, tmp_path, tmp_path, tmp_path, tmp_path / "run", threads=1, workers=1)
    assert not (tmp_path / "run").exists()
