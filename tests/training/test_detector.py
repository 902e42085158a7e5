from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import Tensor  # noqa: E402

from maskgate.detection.boxes import iou  # noqa: E402
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import ExportedRetinaFace, RetinaFace, load_published  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.detector import DetectorTask, TorchSession, train_detector  # noqa: E402
from maskgate.training.detector_data import (  # noqa: E402
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
    read_picture,
)
from maskgate.training.detector_distil import DetectorDistillation, DetectorTeachers  # noqa: E402
from maskgate.training.detector_validation import draw_masks  # noqa: E402
from maskgate.training.detector_views import Sample  # noqa: E402
from maskgate.training.exported_start import fold_norms, read_convolutions  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.occlusion.paint import Painter  # noqa: E402
from maskgate.training.recipe import read_recipe  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.types import Faces  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SETTINGS = RetinaFaceSettings(close_up=0, enlarge_to=32)


@pytest.fixture
def portrait(tmp_path: Path, astronaut: np.ndarray, astronaut_face: Faces) -> LabelledPicture:
    """The astronaut's head and shoulders with the face marked, 256×256 pixels."""
    file = tmp_path / "astronaut.png"
    cv2.imwrite(str(file), astronaut[:256, 100:356, ::-1])
    shift = np.array([100, 0], np.float32)
    return LabelledPicture(
        file, astronaut_face.boxes - np.tile(shift, 2), astronaut_face.landmarks - shift,
        np.ones(1, np.bool_), np.zeros((0, 4), np.float32), np.ones(1, np.int64),
    )  # fmt: skip


def published(shared: Path) -> RetinaFace:
    net = RetinaFace()
    start = shared / "weights" / "detection" / "retinaface_mnet025_relu.pth"
    load_published(net, torch.load(start, map_location="cpu", weights_only=True))
    return net.eval()


def drawn_faces(folder: Path) -> list[LabelledPicture]:
    """Ten pictures of 64 pixels: one or two ellipses with a dot on each landmark, on a mottled ground."""
    rng = np.random.default_rng(0)
    pictures = []
    for k in range(10):
        image = cv2.resize(rng.integers(0, 120, (8, 8, 3), np.uint8), (64, 64))
        boxes, landmarks = [], []
        for place in range(1 + k % 2):
            width = float(rng.uniform(22, 28))
            x = float(rng.uniform(1, 63 - width)) if k % 2 == 0 else 32 * place + float(rng.uniform(1, 4))
            y = float(rng.uniform(1, 63 - 1.2 * width))
            sides = np.array([width, 1.2 * width])
            centre = [round(v) for v in np.array([x, y]) + sides / 2]
            cv2.ellipse(image, centre, [round(v) for v in sides / 2], 0, 0, 360, (150, 190, 230), -1)
            points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * sides + [x, y]
            for point in points:
                cv2.circle(image, [round(v) for v in point], 2, (20, 20, 60), -1)
            boxes.append([x, y, *(np.array([x, y]) + sides)])
            landmarks.append(points)
        file = folder / f"{k}.png"
        cv2.imwrite(str(file), image)
        n = len(boxes)
        arrays = np.array(boxes, np.float32), np.array(landmarks, np.float32), np.ones(n, np.bool_)
        pictures.append(LabelledPicture(file, *arrays, np.zeros((0, 4), np.float32), np.zeros(n, np.int64)))
    return pictures


class Again:
    """Pictures as they are, in turn, ``count`` of them."""

    epoch = 0

    def __init__(self, pictures: list[LabelledPicture], count: int) -> None:
        a = DetectorAugmentation(side=64, whole=1.0, mosaic=0.0, tilt=0.0)
        source = DetectorDataset(pictures, [1.0] * len(pictures), count, a, None, 0)
        samples = [
            Sample(read_picture(p.path), p.boxes, p.landmarks, p.has_landmarks, p.labels) for p in pictures
        ]
        lots = iter(samples)
        source.sample = lambda rng: next(lots)  # type: ignore[method-assign]
        self.items = [source[i] for i in range(len(pictures))]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.items[index % len(self.items)]


def test_ten_pictures_are_learnt_to_the_end(tmp_path: Path) -> None:
    """From random weights until every face and no other is found, its landmarks within half a pixel."""
    pictures = drawn_faces(tmp_path)
    torch.manual_seed(0)
    task = DetectorTask(RetinaFace(), Again(pictures, 400), pictures, SETTINGS)
    settings = LoopSettings(
        epochs=2, batch=10, rate=4e-3, warm_up=5, average=0.8, decay=0, bfloat16=False, workers=0
    )
    torch.set_num_threads(1)
    net = train(task, settings, RunFolder(tmp_path / "run", {}), seed=0, quiet=True)
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert (figures["recall"], figures["false_per_picture"]) == (1, 0)
    assert figures["landmark_error"] < 0.05  # of 10 pixels
    lines = (tmp_path / "run" / "curves.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(","), map(float, lines[-1].split(",")), strict=True))
    for part, most in (("classes", 0.03), ("boxes", 0.01), ("landmarks", 0.03)):
        assert last[f"train_{part}"] < most
    detector = RetinaFaceDetector(TorchSession(ExportedRetinaFace(net.eval())), SETTINGS)  # type: ignore[arg-type]
    for picture in pictures:
        found = detector.detect([read_picture(picture.path)])[0]
        assert (iou(picture.boxes, found.boxes).max(1) > 0.9).all()


def test_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Also where the teacher has a say, and a part is frozen."""
    picture = drawn_faces(tmp_path)[:2]
    export_detector(RetinaFace(), tmp_path / "teacher.onnx")
    teachers = DetectorTeachers(DetectorDistillation((str(tmp_path / "teacher.onnx"),)), [])
    settings = LoopSettings(epochs=2, batch=2, warm_up=1, bfloat16=False, workers=0, head=("fpn.",))

    def run(name: str, steps: int) -> RetinaFace:
        torch.manual_seed(1)
        a = DetectorAugmentation(side=64, face_sizes=(15, 30))
        data = DetectorDataset(picture, [1.0, 1.0], 6, a, Painter(), 3)
        net = RetinaFace()
        task = DetectorTask(net, data, picture[:1], SETTINGS, teachers=teachers, frozen=("body.stage1.0",))
        left = iter([*[False] * (steps - 1), True, *[False] * 9])
        train(
            task, settings, RunFolder(tmp_path / name, {}), seed=5, quiet=True, stop=lambda: next(left, False)
        )
        return net

    first = run("whole", 99)
    run("parts", 2)
    run("parts", 3)
    run("parts", 99)
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    torch.manual_seed(1)
    fresh = RetinaFace()
    assert torch.equal(first.body.stage1[0][0].weight, fresh.body.stage1[0][0].weight)
    assert not torch.equal(first.body.stage1[1][0].weight, fresh.body.stage1[1][0].weight)
    header = (tmp_path / "parts" / "curves.csv").read_text().splitlines()[0].split(",")
    assert {"train_distance", "train_landmarks", "val_recall", "val_recall_mask"} <= set(header)


class TestEvaluation:
    def task(self, net: RetinaFace, pictures: list[LabelledPicture]) -> DetectorTask:
        sample = DetectorDataset(pictures, [1.0] * len(pictures), 1, DetectorAugmentation(), None, 0)
        return DetectorTask(net, sample, pictures, SETTINGS)

    def test_good_detector_on_a_real_face(self, shared: Path, portrait: LabelledPicture) -> None:
        net = published(shared)
        figures = self.task(net, [portrait]).evaluate(net)
        assert figures["recall"] == 1
        assert figures["false_per_picture"] == 0
        assert 0 < figures["landmark_error"] < 0.12  # of the distance between the eyes
        assert set(figures) == {
            "recall", "false_per_picture", "landmark_error", "recall_mask", "recall_no_mask", "mouth_error",
        }  # fmt: skip
        task = self.task(net, [portrait])
        task.drawn = draw_masks([portrait], Painter(), 0)
        figures = task.evaluate(net)
        assert figures["drawn_recall"] == 1
        assert 0 < figures["drawn_mouth_error"] < 0.6

    def test_wrong_truth_shows(self, shared: Path, portrait: LabelledPicture) -> None:
        net = published(shared)
        elsewhere = LabelledPicture(
            portrait.path, portrait.boxes + 75, portrait.landmarks, portrait.has_landmarks, portrait.ignore,
            portrait.labels,
        )  # fmt: skip
        figures = self.task(net, [portrait, elsewhere]).evaluate(net)
        assert (figures["recall"], figures["false_per_picture"]) == (0.5, 0.5)
        ignored = LabelledPicture(
            portrait.path, portrait.boxes[:0], portrait.landmarks[:0], portrait.has_landmarks[:0],
            portrait.boxes, portrait.labels[:0],
        )  # fmt: skip
        figures = self.task(net, [ignored]).evaluate(net)
        assert (figures["recall"], figures["false_per_picture"]) == (0, 0)

    def test_it_runs_the_decoder_that_ships(
        self, shared: Path, tmp_path: Path, astronaut: np.ndarray, portrait: LabelledPicture
    ) -> None:
        """The same faces as from the exported file."""
        net = published(shared)
        export_detector(net, tmp_path / "d.onnx")
        session: Any = TorchSession(ExportedRetinaFace(net))
        own = RetinaFaceDetector(session, RetinaFaceSettings()).detect([astronaut])[0]
        shipped = RetinaFaceDetector(ort.InferenceSession(str(tmp_path / "d.onnx")), RetinaFaceSettings())
        wanted = shipped.detect([astronaut])[0]
        assert len(own) == len(wanted) == 1
        assert own.boxes == pytest.approx(wanted.boxes, abs=0.05)
        assert own.landmarks == pytest.approx(wanted.landmarks, abs=0.05)

    def test_picture_that_is_none(self, tmp_path: Path, portrait: LabelledPicture) -> None:
        net = RetinaFace()
        task = self.task(net, [portrait])
        portrait.path.write_text("no picture")
        with pytest.raises(DataError, match=r"astronaut\.png cannot be read"):
            task.evaluate(net)


@pytest.fixture
def small_recipe(
    shared: Path, few_scenes: Callable[[Path, int], None], tmp_path: Path
) -> tuple[dict[str, Any], Places]:
    """The recipe that ships on a few pictures, with squares of 160 pixels, and where they lie."""
    data = tmp_path / "data"
    few_scenes(data, 8)
    for name, count in (("photos/groups", 4), ("hands/dorsal", 2), ("crops/types128/no_mask", 2)):
        (data / name).mkdir(parents=True)
        for file in sorted((shared / "data" / name).glob("*.jpg"))[:count]:
            (data / name / file.name).symlink_to(file)
    (data / "mask-templates").symlink_to(shared / "data" / "mask-templates")
    recipe = read_recipe(RECIPES / "detector.toml", epochs=1, start="published")
    del recipe["arithmetic"], recipe["distil"]
    recipe["source"] = [s for s in recipe["source"] if (data / s["path"]).exists()]
    assert len(recipe["source"]) == 3
    recipe["occlusion"]["hands"] = ["hands/dorsal"]
    recipe["validation"] = 0.3
    recipe["augmentation"] |= {"side": 160, "compose": 0.5}
    recipe["loop"] |= {"samples": 8, "batch": 4, "warm_up": 1, "bfloat16": False}
    return recipe, Places(RECIPES, data, (shared / "weights",), tmp_path / "crops")


def test_recipe_from_pictures_to_a_model(
    shared: Path, small_recipe: tuple[dict[str, Any], Places], tmp_path: Path
) -> None:
    recipe, places = small_recipe
    output = tmp_path / "run"
    recipe["blend"] = {"networks": ["published"], "shares": [0.75]}
    train_detector(recipe, places, output, threads=1, workers=1, quiet=True)
    manifest = json.loads((output / "manifest.json").read_text())
    assert len(manifest) == 14
    counts = json.loads((output / "pictures.json").read_text())
    assert set(counts["sources"]) == {"scenes/fmd", "photos/groups", "crops/types128"}
    assert len(counts["box_style"]) == 4
    figures = json.loads((output / "figures.json").read_text())
    assert figures["recall"] > 0.3  # two steps from the published weights
    assert figures["blend"]["recall"] > 0.3
    learnt = RetinaFace()
    learnt.load_state_dict(load_file(output / "model.safetensors"))
    exported = read_convolutions(output / "model.onnx")
    for own, a, b in zip(exported, fold_norms(learnt), fold_norms(published(shared)), strict=True):
        torch.testing.assert_close(own.weight, 0.25 * a.weight + 0.75 * b.weight, rtol=1e-3, atol=1e-5)
    detector = RetinaFaceDetector(ort.InferenceSession(str(output / "model.onnx")), RetinaFaceSettings())
    assert detector.detect([np.zeros((64, 96, 3), np.uint8)])[0].boxes.shape[1] == 4

    # pruned, from that file, taught by it, and in int8
    with pytest.raises(DataError, match="leave widths out"):
        train_detector(recipe | {"widths": [48, 16, 16]}, places, tmp_path / "no", threads=1, workers=1)
    del recipe["blend"]
    recipe |= {"start": str(output / "model.onnx"), "widths": [48, 16, 16], "arithmetic": "int8"}
    recipe["distil"] = {"teachers": [str(output / "model.onnx")]}
    known = replace(places, face_labels=output / "teacher.jsonl")
    small = tmp_path / "small"
    train_detector(recipe, known, small, threads=1, workers=1, quiet=True)
    assert (small / "model.onnx").stat().st_size < 0.4 * (output / "model.onnx").stat().st_size
    assert not (small / "teacher.jsonl").exists()
    figures = json.loads((small / "figures.json").read_text())
    assert abs(figures["int8"]["recall"] - figures["recall"]) < 0.2
    x = np.random.default_rng(0).normal(0, 50, (1, 3, 96, 96)).astype(np.float32)
    whole, own = (
        ort.InferenceSession(str(small / name)).run(["conf"], {"input": x})[0]
        for name in ("model.float32.onnx", "model.onnx")
    )
    assert 0 < np.abs(whole - own).max() < 0.2
