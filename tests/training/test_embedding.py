from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from maskgate.alignment import align_five_points  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.training.classifier_data import still_view  # noqa: E402
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
    teacher_embeddings,
    train_backbone,
    verification,
)
from maskgate.training.export import export_onnx  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.types import Faces  # noqa: E402

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
    assert got["loss"] == pytest.approx(1 - got["roc_auc"])
    same, other = [], []
    for a in range(30):
        for b in range(a):
            (same if people[a] == people[b] else other).append(float(x[a] @ x[b]))
    rates = [
        (sum(s >= t for s in same) / len(same) + sum(o < t for o in other) / len(other)) / 2
        for t in sorted(same + other)
    ]
    assert got["accuracy"] == pytest.approx(max(rates))


def test_verification_of_people_far_apart() -> None:
    people = np.array([0, 0, 1, 1, 1])
    assert verification(np.eye(2, dtype=np.float32)[people], people) == pytest.approx(
        {"loss": 0, "roc_auc": 1, "accuracy": 1}
    )


def test_people_held_out() -> None:
    names = [f"p{i}" for i in range(20)]
    out = held_out_people(names, 0.2, 1)
    assert len(out) == 4
    assert out == held_out_people(names, 0.2, 1) != held_out_people(names, 0.2, 2)
    assert out < set(names)
    assert [len(held_out_people(names[:n], 0.1, 1)) for n in range(1, 7)] == [0, 1, 1, 2, 2, 2]


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
    assert not torch.equal(data[5][0], one[0])
    assert not torch.equal(FaceDataset(crops(3), np.arange(3), VIEW, 10, seed=2)[4][0], one[0])
    data.epoch = 1
    assert not torch.equal(data[4][0], one[0])
    data.epoch = 0
    assert torch.equal(data[4][0], one[0])


def test_each_face_keeps_its_target() -> None:
    """One has stripes across, one has them down; neither light nor a small turn hides which."""
    faces = crops(2)
    faces.images[:] = 60
    faces.images[0].reshape(-1, 20, SIDE, 3)[::2] = 190
    faces.images[1] = faces.images[0].transpose(1, 0, 2)
    targets = unit(np.array([[1.0, 0], [0, 1]]))
    data = FaceDataset(faces, targets, VIEW, 40, seed=3)
    seen = set()
    for i in range(len(data)):
        image, target = data[i]
        grey = image.float().mean(0)
        across = bool(grey.diff(dim=0).abs().mean() > grey.diff(dim=1).abs().mean())
        assert across == (target[0].item() == 1)
        seen.add(across)
    assert seen == {True, False}


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


def test_eight_faces_are_learnt_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = unit(np.random.default_rng(1).normal(size=(8, 16)))
    faces = crops(8)
    net = Distilled(create_backbone("mobilenet025"), 16)
    views = np.stack([still_view(image, VIEW.margin, VIEW.size) for image in faces.images])
    task = DistilTask(net, Still(views, wanted), views, wanted)
    trained = train(task, replace(LOOP, epochs=20), RunFolder(tmp_path, {}), seed=0, quiet=True)
    figures = task.evaluate(trained)
    assert figures["cosine"] > 0.95
    assert figures["same_neighbour"] > 0.8
    assert figures["pairs_correlation"] > 0.9


class Still:
    """Eight faces as they are, over and over."""

    epoch = 0

    def __init__(self, views: np.ndarray, wanted: np.ndarray) -> None:
        self.views, self.wanted = views, wanted

    def __len__(self) -> int:
        return 96

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        i = index % len(self.views)
        return torch.from_numpy(self.views[i].transpose(2, 0, 1).copy()), torch.from_numpy(self.wanted[i])


class Means(torch.nn.Module):
    """An "embedding": means of 4 × 4 parts of the picture, less grey."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x - 127.5, 28).flatten(1)


def test_teacher_sees_faces_aligned_and_mirrored(tmp_path: Path, astronaut: np.ndarray) -> None:
    faces = crops(3)
    faces.images[0] = astronaut[40:200, 150:310]
    faces.landmarks[:] = [[54, 61], [97, 63], [75, 89], [52, 98], [95, 100]]
    file, cache = tmp_path / "teacher.onnx", tmp_path / "targets.npy"
    export_onnx(Means().eval(), torch.zeros(2, 3, 112, 112), file, {"x": {0: "n"}, "y": {0: "n"}}, "float32")
    got = teacher_embeddings(faces, file, cache, batch=2)
    for i in range(3):
        whole = Faces(
            np.array([[0, 0, SIDE, SIDE]], np.float32), np.ones(1, np.float32), faces.landmarks[i : i + 1]
        )
        (view,) = align_five_points(faces.images[i], whole, 112)
        both = [torch.from_numpy(v.transpose(2, 0, 1).copy()).float()[None] for v in (view, view[:, ::-1])]
        total = sum(Means()(v)[0].numpy() for v in both)
        assert got[i] == pytest.approx(total / np.linalg.norm(total), abs=1e-4)
    file.unlink()
    assert np.array_equal(teacher_embeddings(faces, file, cache), got)
    with pytest.raises(DataError, match=r"teacher\.onnx is missing; check --weights"):
        teacher_embeddings(crops(2), file, cache)  # of other faces: they must be made anew


def test_people_are_told_apart(tmp_path: Path) -> None:
    """Four "people", learnt by one shot each and judged by two noisy ones."""
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


TEACHER = "face/arcface_mobilefacenet_128d.onnx"


def test_targets_are_kept_for_the_same_faces_alone(shared: Path, tmp_path: Path) -> None:
    """Where a picture was put in the place of another, their number is the same."""
    teacher, cache = shared / "weights" / TEACHER, tmp_path / "targets.npy"
    faces = crops(3)
    faces.landmarks[:] = [[54, 61], [97, 63], [75, 89], [52, 98], [95, 100]]
    first = teacher_embeddings(faces, teacher, cache)
    written = cache.stat().st_mtime_ns
    assert np.array_equal(teacher_embeddings(faces, teacher, cache), first)
    assert cache.stat().st_mtime_ns == written
    turned = faces.select(np.array([2, 0, 1]))
    again = teacher_embeddings(turned, teacher, cache)
    assert again == pytest.approx(first[[2, 0, 1]], abs=1e-5)
    assert cache.stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("changes", "loss", "words"),
    [
        ({}, "distil", "no field 'teacher'"),
        ({"teacher": "gone.onnx"}, "distil", r"needs the file gone\.onnx"),
        ({"start": "gone.pth"}, "arcface", r"needs the file gone\.pth"),
        ({"loop": {"samples": 4}}, "arcface", r"\[loop\] has no field 'epochs'"),
    ],
)
def test_recipes_that_cannot_be(tmp_path: Path, changes: dict[str, object], loss: str, words: str) -> None:
    """Said before any face is looked for."""
    with pytest.raises(DataError, match=words):
        train_backbone(
            recipe(**changes), Places(tmp_path, tmp_path / "nowhere", (tmp_path,), tmp_path / "crops"),
            tmp_path / "run", loss=loss, threads=1, workers=0,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_nothing_held_out_to_agree_on(people: Path, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of 18 faces 0 are held out and 18 learnt from"):
        train_backbone(
            recipe(teacher=TEACHER, validation=0.0),
            Places(tmp_path, people, (shared / "weights",), tmp_path / "crops"), tmp_path / "run",
            loss="distil", threads=1, workers=0,
        )  # fmt: skip


PROGRAM = """
import json, sys
from pathlib import Path
from maskgate.training.classifier_setup import Places
from maskgate.training.embedding import train_backbone

if __name__ == "__main__":
    recipe, here, data, weights = json.loads(sys.argv[1]), *map(Path, sys.argv[2:])
    places = Places(here, data, (weights,), here / "crops")
    train_backbone(recipe, places, here / "run", loss="distil", threads=1, workers=0)
"""


@pytest.mark.slow
def test_two_processes_make_one_backbone(people: Path, shared: Path, tmp_path: Path) -> None:
    """One finds the faces, cuts them and asks the teacher; the other takes what it finds."""
    (tmp_path / "program.py").write_text(PROGRAM)
    places = [str(p) for p in (tmp_path, people, shared / "weights")]
    # without normalisation by batches two halves of a batch are as good as the whole
    own = json.dumps(recipe(teacher=TEACHER, architecture="face-resnet3"))
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*both, str(tmp_path / "program.py"), own, *places], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    found = [
        json.loads(line)["path"] for line in (tmp_path / "run" / "teacher.jsonl").read_text().splitlines()
    ]
    assert len(found) == len(set(found)) == 18
    assert len(list((tmp_path / "crops").iterdir())) == 1
    alone = tmp_path / "alone"
    train_backbone(
        json.loads(own), Places(alone, people, (shared / "weights",), alone / "crops"), alone / "run",
        loss="distil", threads=1, workers=0,
    )  # fmt: skip
    one, two = (load_file(f / "run" / "backbone.safetensors") for f in (alone, tmp_path))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-4, rtol=1e-3)
