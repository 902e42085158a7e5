from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import RetinaFace, load_published  # noqa: E402
from maskgate.training.detector import DetectorTask, train_detector  # noqa: E402
from maskgate.training.detector_data import (  # noqa: E402
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
)
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.loop import LoopSettings, train  # noqa: E402
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


class Eight:
    """Eight samples that do not change."""

    epoch = 0

    def __init__(self, picture: LabelledPicture) -> None:
        a = DetectorAugmentation(side=96, mosaic=0.0, whole=0.0, face_sizes=(25, 80))
        source = DetectorDataset([picture], [1.0], 8, a, None, 0)
        self.items = [source[i] for i in range(8)]

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.items[index]


def test_eight_samples_are_learnt(tmp_path: Path, portrait: LabelledPicture) -> None:
    torch.manual_seed(0)
    task = DetectorTask(RetinaFace(), Eight(portrait), [], SETTINGS)
    settings = LoopSettings(epochs=25, batch=8, rate=5e-3, warm_up=3, average=0.5, bfloat16=False, workers=0)
    train(task, settings, RunFolder(tmp_path / "run", {}), seed=0, quiet=True)
    lines = (tmp_path / "run" / "curves.csv").read_text().splitlines()
    names = lines[0].split(",")
    first, last = (
        dict(zip(names, map(float, line.split(",")), strict=True)) for line in (lines[1], lines[-1])
    )
    for part in ("train_loss", "train_classes", "train_boxes"):
        assert last[part] < 0.5 * first[part], part


class TestEvaluation:
    def task(self, net: RetinaFace, pictures: list[LabelledPicture]) -> DetectorTask:
        return DetectorTask(net, Eight(pictures[0]), pictures, SETTINGS)

    def test_good_detector_on_a_real_face(self, shared: Path, portrait: LabelledPicture) -> None:
        net = published(shared)
        figures = self.task(net, [portrait]).evaluate(net)
        assert figures["recall"] == 1
        assert figures["false_per_picture"] == 0
        assert 0 < figures["landmark_error"] < 0.12  # of the distance between the eyes

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
        from maskgate.nets.retinaface import ExportedRetinaFace
        from maskgate.training.detector import TorchSession

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


def test_recipe_from_pictures_to_a_model(
    shared: Path, few_scenes: Callable[[Path, int], None], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    few_scenes(data, 8)
    for name, count in (("photos/groups", 2), ("hands/dorsal", 2)):
        (data / name).mkdir(parents=True)
        for file in sorted((shared / "data" / name).glob("*.jpg"))[:count]:
            (data / name / file.name).symlink_to(file)
    (data / "mask-templates").symlink_to(shared / "data" / "mask-templates")

    recipe = read_recipe(RECIPES / "detector.toml", epochs=1)
    recipe["source"] = [s for s in recipe["source"] if s["path"] in ("scenes/fmd", "photos/groups")]
    recipe["occlusion"]["hands"] = ["hands/dorsal"]
    recipe |= {"validation": 0.3, "augmentation": {"side": 160}}
    recipe["loop"] |= {"samples": 8, "batch": 4, "warm_up": 1, "bfloat16": False}
    output = tmp_path / "run"
    train_detector(recipe, data, [shared / "weights"], output, threads=1, workers=1)
    manifest = json.loads((output / "manifest.json").read_text())
    assert len(manifest) == 10
    figures = json.loads((output / "figures.json").read_text())
    assert figures["recall"] > 0.3  # two steps from the published weights
    detector = RetinaFaceDetector(ort.InferenceSession(str(output / "model.onnx")), RetinaFaceSettings())
    assert detector.detect([np.zeros((64, 96, 3), np.uint8)])[0].boxes.shape[1] == 4
    before = (output / "model.onnx").read_bytes()
    train_detector(recipe, data, [shared / "weights"], output, threads=1, workers=1)
    assert (output / "model.onnx").read_bytes() == before
