from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.crops import SIDE, FaceCrops  # noqa: E402
from maskgate.training.embedding import (  # noqa: E402
    ArcFaceNet,
    ArcFaceTask,
    Distilled,
    DistilTask,
    EmbeddingView,
    FaceDataset,
    agreement,
    embed,
    held_out_people,
    train_backbone,
    verification,
)
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402

VIEW = EmbeddingView(size=64)
LOOP = LoopSettings(epochs=6, batch=16, rate=3e-3, warm_up=4, average=0.8, bfloat16=False, workers=0)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_agreement_against_loops() -> None:
    rng = np.random.default_rng(0)
    a = unit(rng.normal(size=(20, 5)))
    b = unit(a + 0.4 * rng.normal(size=(20, 5)))
    got = agreement(a, b)
    assert got["cosine"] == pytest.approx(np.mean([a[i] @ b[i] for i in range(20)]), abs=1e-5)
    pairs = [(a[i] @ a[j], b[i] @ b[j]) for i in range(20) for j in range(i)]
    assert got["pairs_correlation"] == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1], abs=1e-5)
    near = [[max((x[i] @ x[j], j) for j in range(20) if j != i)[1] for i in range(20)] for x in (a, b)]
    assert got["same_neighbour"] == np.mean([p == q for p, q in zip(*near, strict=True)])
    perfect = agreement(a, a)
    assert perfect["cosine"] == pytest.approx(1, abs=1e-5)
    assert perfect["same_neighbour"] == 1


def test_verification_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 4, 30)
    x = unit(rng.normal(size=(4, 6))[people] + 0.8 * rng.normal(size=(30, 6)))
    got = verification(x, people)
    i, j = np.triu_indices(30, 1)
    assert got["roc_auc"] == pytest.approx(roc_auc_score(people[i] == people[j], (x @ x.T)[i, j]))
    assert 0.5 < got["accuracy"] <= 1


def test_people_held_out() -> None:
    names = [f"p{i}" for i in range(20)]
    out = held_out_people(names, 0.2, 1)
    assert len(out) == 4
    assert out == held_out_people(names, 0.2, 1) != held_out_people(names, 0.2, 2)
    assert len(held_out_people(names[:4], 0.1, 1)) == 2


def crops(count: int) -> FaceCrops:
    """Faces that are no faces: a flat colour each, with its own stripes."""
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        rng = np.random.default_rng(i)
        images[i] = rng.integers(0, 200, 3)
        images[i, :: 4 + i % 5] = rng.integers(0, 256, 3)
    points = np.full((count, 5, 2), 80, np.float32)
    zeros = np.zeros(count, np.int64)
    return FaceCrops(
        images, points, zeros, zeros, np.full(count, 60, np.float32), [f"{i}.jpg" for i in range(count)]
    )


def test_samples_repeat() -> None:
    data = FaceDataset(crops(3), np.arange(3), VIEW, 10, seed=1)
    one, two = data[4], data[4]
    assert torch.equal(one[0], two[0])
    assert one[0].shape == (3, 64, 64)
    data.epoch = 1
    assert not torch.equal(data[4][0], one[0])


def test_a_student_comes_near_its_teacher(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = unit(np.random.default_rng(0).normal(size=(6, 8)))
    data = FaceDataset(crops(6), wanted, VIEW, 96, seed=1)
    net = Distilled(create_backbone("mobilenet025"), 8)
    views = np.stack([cv2.resize(image[30:130, 30:130], (64, 64)) for image in crops(6).images])
    task = DistilTask(net, data, views, wanted)
    trained = train(task, replace(LOOP, epochs=16), RunFolder(tmp_path, {}), seed=0, quiet=True)
    assert task.evaluate(trained)["cosine"] > 0.4  # chance is 0
    x = torch.rand(3, 3, 64, 64) * 255
    torch.testing.assert_close(net(x).norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)


def test_people_are_told_apart(tmp_path: Path) -> None:
    """Eight "people" in three shots each; four of them learnt."""
    torch.manual_seed(0)
    faces = crops(4)
    people = np.arange(4)
    net = ArcFaceNet(create_backbone("mobilenet025"), 4, 16.0, 0.2)
    views = np.stack([cv2.resize(i[30:130, 30:130], (64, 64)) for i in faces.images for _ in range(2)])
    views = np.clip(
        views.astype(int) + np.random.default_rng(0).integers(-9, 10, views.shape), 0, 255
    ).astype(np.uint8)
    task = ArcFaceTask(net, FaceDataset(faces, people, VIEW, 96, seed=1), views, people.repeat(2))
    trained = train(task, LOOP, RunFolder(tmp_path, {}), seed=0, quiet=True)
    assert task.evaluate(trained)["roc_auc"] > 0.85
    assert np.linalg.norm(embed(trained, views), axis=1) == pytest.approx(np.ones(8), abs=1e-5)


@pytest.fixture
def people(shared: Path, tmp_path: Path) -> Path:
    """Six folders of three crops of bare faces."""
    files = sorted((shared / "data" / "crops" / "celeb12k" / "no_mask").iterdir())[:18]
    for i, file in enumerate(files):
        folder = tmp_path / "data" / "faces" / f"person{i % 6}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).symlink_to(file)
    return tmp_path / "data"


def recipe(**changes: object) -> dict[str, object]:
    return {
        "seed": 1, "architecture": "mobilenet025", "start": "scratch", "validation": 0.34,
        "view": {"size": 64}, "source": [{"path": "faces", "kind": "crops"}],
        "loop": {"epochs": 1, "samples": 16, "batch": 8, "bfloat16": False, "warm_up": 1},
    } | changes  # fmt: skip


@pytest.mark.parametrize("loss", ["arcface", "distil"])
def test_a_backbone_to_start_from(people: Path, shared: Path, tmp_path: Path, loss: str) -> None:
    from maskgate.training.starts import load_start

    teacher = {"teacher": "face/arcface_mobilefacenet_128d.onnx"} if loss == "distil" else {}
    places = Places(tmp_path, people, (shared / "weights",), tmp_path / "crops")
    output = tmp_path / "run"
    train_backbone(recipe(**teacher), places, output, loss=loss, threads=1, workers=0)
    backbone = create_backbone("mobilenet025")
    load_start(backbone, output / "backbone.safetensors")
    assert {"curves.csv", "figures.json", "about.json", "manifest.json"} <= {f.name for f in output.iterdir()}
    if loss == "distil":
        targets = np.load(output / "targets.npy")
        assert targets.shape[1] == 128
        assert np.linalg.norm(targets, axis=1) == pytest.approx(np.ones(len(targets)), abs=1e-5)
        ours = F.normalize(torch.from_numpy(targets)).numpy()
        assert (ours @ ours.T)[np.triu_indices(len(ours), 1)].mean() < 0.5  # different people


def test_two_people_are_too_few(people: Path, tmp_path: Path) -> None:
    for i in range(3, 6):
        (people / "faces" / f"person{i}").rename(tmp_path / f"away{i}")
    with pytest.raises(DataError, match="ArcFace wants two to learn from and two held out"):
        train_backbone(
            recipe(), Places(tmp_path, people, (), tmp_path / "crops"), tmp_path / "run", loss="arcface",
            threads=1, workers=0,
        )  # fmt: skip
