from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from sklearn.metrics import log_loss  # noqa: E402

from maskgate.detection import LabelledFaces  # noqa: E402
from maskgate.detection.direct import DirectMaskFinder  # noqa: E402
from maskgate.detection.retinaface import RetinaFaceSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training import direct  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.detector_data import (  # noqa: E402
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
)
from maskgate.training.direct import (  # noqa: E402
    DirectRecipe,
    DirectTask,
    create_network,
    figures_of,
    find_in,
    finish,
    judged_faces,
    tempered,
    train_direct,
)
from maskgate.training.loop import LoopSettings, train  # noqa: E402
from maskgate.training.occlusion.masks import Wearing, draw_mask  # noqa: E402
from maskgate.training.recipe import build, read_recipe  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402
from maskgate.types import Faces, Image  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SETTINGS = RetinaFaceSettings(close_up=0, enlarge_to=32)
START = Path("weights") / "detection" / "retinaface_mnet025_relu.pth"


@pytest.fixture
def portraits(astronaut: np.ndarray, astronaut_face: Faces) -> Callable[[int], tuple[Image, Faces]]:
    """Makes head and shoulders, bare, with a mask, or with one under the nose: a place in LABELS."""

    def make(label: int) -> tuple[Image, Faces]:
        rng = np.random.default_rng(label)
        wearing = {0: Wearing.RIGHT, 2: Wearing.NOSE_OUT}.get(label)
        image = astronaut
        if wearing is not None:
            image = draw_mask(astronaut, astronaut_face.landmarks[0], wearing, rng)
        shift = np.array([100, 0], np.float32)
        face = Faces(
            astronaut_face.boxes - np.tile(shift, 2), astronaut_face.scores, astronaut_face.landmarks - shift
        )
        return np.ascontiguousarray(image[:256, 100:356]), face

    return make


@pytest.fixture
def labelled(tmp_path: Path, portraits: Callable[[int], tuple[Image, Faces]]) -> list[LabelledPicture]:
    """One of each label."""
    pictures = []
    for label in range(3):
        image, face = portraits(label)
        file = tmp_path / f"{label}.png"
        cv2.imwrite(str(file), image[..., ::-1])
        pictures.append(
            LabelledPicture(
                file, face.boxes, face.landmarks, np.ones(1, np.bool_), face.boxes[:0], np.full(1, label)
            )
        )
    return pictures


class Twelve:
    """Twelve samples that do not change."""

    epoch = 0

    def __init__(self, pictures: list[LabelledPicture]) -> None:
        a = DetectorAugmentation(side=96, mosaic=0.0, whole=0.0, face_sizes=(40, 80), occlude=0.0)
        source = DetectorDataset(pictures, [1.0] * len(pictures), 12, a, None, 0)
        self.items = [source[i] for i in range(12)]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.items[index]


def test_twelve_samples_are_learnt(tmp_path: Path, labelled: list[LabelledPicture]) -> None:
    torch.manual_seed(0)
    task = DirectTask(RetinaFace(labels=3), Twelve(labelled), [], SETTINGS)
    settings = LoopSettings(
        epochs=40, batch=12, rate=5e-3, warm_up=3, average=0.5, bfloat16=False, workers=0,
        head=("LabelHead.",), head_rate=2.0,
    )  # fmt: skip
    train(task, settings, RunFolder(tmp_path / "run", {}), seed=0, quiet=True)
    lines = (tmp_path / "run" / "curves.csv").read_text().splitlines()
    names = lines[0].split(",")
    first, last = (
        dict(zip(names, map(float, line.split(",")), strict=True)) for line in (lines[1], lines[-1])
    )
    for part in ("train_loss", "train_classes", "train_boxes", "train_labels"):
        assert last[part] < 0.5 * first[part], part


class TestFigures:
    def found(self, boxes: list[list[float]], p: list[list[float]]) -> LabelledFaces:
        n = len(boxes)
        faces = Faces(
            np.array(boxes, np.float32).reshape(-1, 4), np.linspace(0.9, 0.6, n, dtype=np.float32),
            np.zeros((n, 5, 2), np.float32),
        )  # fmt: skip
        return LabelledFaces(faces, np.array(p, np.float32).reshape(-1, 3))

    def picture(
        self, boxes: list[list[float]], labels: list[int], ignore: list[list[float]]
    ) -> LabelledPicture:
        n = len(boxes)
        return LabelledPicture(
            Path("a"), np.array(boxes, np.float32).reshape(-1, 4), np.zeros((n, 5, 2), np.float32),
            np.zeros(n, np.bool_), np.array(ignore, np.float32).reshape(-1, 4), np.array(labels, np.int64),
        )  # fmt: skip

    def test_only_faces_with_a_label_are_judged(self) -> None:
        a, b, c, small, crowd = (
            [x, 0, x + s, s] for x, s in ((0, 30), (50, 30), (100, 30), (150, 10), (200, 40))
        )
        one = self.picture([a, b, c, small], [2, -1, 0, 1], [crowd])
        ps = [[0.1, 0.1, 0.8], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]]
        # the third face is not found, and something is where no face is
        found = self.found([b, a, small, crowd, [300, 0, 330, 30]], ps)
        two = self.picture([a], [1], [])
        labels, p = judged_faces([found, self.found([a], [[0.3, 0.6, 0.1]])], [one, two])
        assert labels.tolist() == [2, 1]
        np.testing.assert_allclose(p, [ps[1], [0.3, 0.6, 0.1]], atol=1e-6)
        figures = figures_of([found, self.found([a], [[0.3, 0.6, 0.1]])], [one, two])
        assert figures["recall"] == 3 / 4
        assert figures["false_per_picture"] == 1 / 2
        assert figures["label_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.6)) / 2, rel=1e-5)
        assert (figures["accuracy"], figures["incorrect_flagged"]) == (1, 1)
        lower = figures_of([found, self.found([a], [[0.3, 0.6, 0.1]])], [one, two], 1.0, 0.25)
        assert (lower["accuracy"], lower["incorrect_flagged"]) == (0, 1)

    def test_nothing_found(self) -> None:
        labels, p = judged_faces([], [])
        assert (labels.shape, p.shape) == ((0,), (0, 3))
        figures = figures_of([self.found([], [])], [self.picture([[0, 0, 30, 30]], [1], [])])
        assert figures["recall"] == 0
        assert np.isnan(figures["label_loss"])

    def test_temperature_is_that_of_the_scores(self) -> None:
        scores = np.random.default_rng(0).normal(0, 3, (20, 3))

        def soft(z: np.ndarray) -> np.ndarray:
            return np.asarray(np.exp(z) / np.exp(z).sum(1, keepdims=True))

        np.testing.assert_allclose(tempered(soft(scores), 2.5), soft(scores / 2.5), rtol=1e-6)


class TestStart:
    def test_weights_of_a_detectors_run(self, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        torch.manual_seed(5)
        detector = RetinaFace(widths=(48, 16, 16))
        save_file(detector.state_dict(), tmp_path / "model.safetensors")
        for weights, start in (([tmp_path], "model.safetensors"), ([], str(tmp_path / "model.safetensors"))):
            net = create_network({"start": start}, weights, 1)
            for name, tensor in detector.state_dict().items():
                assert torch.equal(net.state_dict()[name].cpu(), tensor), name
        again, other = (create_network({"start": start}, [], seed) for seed in (1, 2))
        name = "LabelHead.2.conv1x1.weight"
        assert torch.equal(net.state_dict()[name], again.state_dict()[name])
        assert not torch.equal(net.state_dict()[name], other.state_dict()[name])

    def test_published_weights(self, shared: Path) -> None:
        net = create_network({"start": START.name}, [shared / START.parent], 0)
        state = torch.load(shared / START, map_location="cpu", weights_only=True)
        assert torch.equal(
            net.state_dict()["BboxHead.0.conv1x1.bias"].cpu(), state["BboxHead.0.conv1x1.bias"]
        )

    def test_starts_that_cannot_be(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"needs the file gone\.pth"):
            create_network({"start": "gone.pth"}, [tmp_path], 0)
        torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
        with pytest.raises(DataError, match=r"other\.pth is no start for direct mask finding: .*body"):
            create_network({"start": "other.pth"}, [tmp_path], 0)


def test_finished_network(shared: Path, tmp_path: Path, labelled: list[LabelledPicture]) -> None:
    """A detector's weights with labels by lot: temperature and threshold are fitted, and in the graph."""
    net = create_network({"start": str(shared / START)}, [], 3).eval()
    with torch.no_grad():
        for head in net.LabelHead:
            head.conv1x1.weight *= 8
    settings = RetinaFaceSettings()
    found = find_in(net, labelled, settings)
    assert [len(some.faces) for some in found] == [1, 1, 1]
    labels, p = judged_faces(found, labelled)
    finish(net, settings, labelled, labelled[:1], tmp_path / "run")
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert (figures["validation_faces"], figures["test_faces"]) == (3, 1)
    assert (figures["validation"]["recall"], figures["test"]["recall"]) == (1, 1)
    losses = {t: log_loss(labels, tempered(p, t), labels=[0, 1, 2]) for t in np.geomspace(0.2, 10, 200)}
    assert figures["validation"]["label_loss"] <= min(losses.values()) + 1e-4
    session = ort.InferenceSession(str(tmp_path / "run" / "model.onnx"))
    finder = DirectMaskFinder(session, settings, figures["threshold"])
    for some, picture in zip(found, labelled, strict=True):
        image = cv2.imread(str(picture.path))[..., ::-1]
        (shipped,) = finder.find([np.ascontiguousarray(image)])
        np.testing.assert_allclose(shipped.faces.boxes, some.faces.boxes, atol=0.05)
        wanted = tempered(some.probabilities.astype(np.float64), figures["temperature"])
        np.testing.assert_allclose(shipped.probabilities, wanted, atol=5e-3)


RECIPE: dict[str, Any] = {
    "seed": 3, "start": "start.pth", "validation": 0.0, "test": 0.0,
    "source": [
        {"path": "learn", "kind": "photos", "side": "training", "together": "source",
         "labels": {"mask": "mask", "no_mask": "no_mask", "incorrect": "incorrect"}},
        {"path": "judge", "kind": "photos", "side": "validation", "together": "source",
         "labels": {"mask": "mask", "no_mask": "no_mask"}},
        {"path": "street", "kind": "photos"},
    ],
    "augmentation": {"side": 64, "mosaic": 0.5, "face_sizes": [24, 50]},
    "loop": {"epochs": 2, "samples": 4, "batch": 2, "warm_up": 1, "bfloat16": False, "rate": 1e-3},
}  # fmt: skip


@pytest.fixture
def places(tmp_path: Path, portraits: Callable[[int], tuple[Image, Faces]]) -> Places:
    """Pictures of one face in five folders, and weights of a detector that has learnt nothing."""
    data = tmp_path / "data"
    names = ("mask", "no_mask", "incorrect")
    for label, name in enumerate(names):
        image, _ = portraits(label)
        (data / "learn" / name).mkdir(parents=True)
        cv2.imwrite(str(data / "learn" / name / "a.png"), image[..., ::-1])
        if label < 2:
            (data / "judge" / name).mkdir(parents=True)
            cv2.imwrite(str(data / "judge" / name / "b.png"), image[:, ::-1, ::-1] // 2)
    (data / "street").mkdir()
    image, _ = portraits(1)
    cv2.imwrite(str(data / "street" / "c.png"), image[:, ::-1, ::-1] // 2 + 2)  # near judge/no_mask/b.png
    cv2.imwrite(str(data / "street" / "d.png"), image[8:, 8:, ::-1] // 2)
    torch.manual_seed(0)
    torch.save(RetinaFace().state_dict(), tmp_path / "start.pth")
    return Places(tmp_path, data, (tmp_path,), tmp_path / "crops")


def test_a_killed_run_goes_on_to_the_same_end(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[str]] = []
    own = DetectorDataset.__init__

    def watch(self: DetectorDataset, pictures: list[LabelledPicture], *rest: Any) -> None:
        learnt.append({str(p.path.relative_to(places.data)) for p in pictures})
        own(self, pictures, *rest)

    monkeypatch.setattr(DetectorDataset, "__init__", watch)
    train_direct(RECIPE, places, tmp_path / "whole", threads=1, workers=1, quiet=True)
    # of the pictures without labels that which is nearly one that judges is left out
    assert learnt == [{"learn/mask/a.png", "learn/no_mask/a.png", "learn/incorrect/a.png", "street/d.png"}]
    sides = (tmp_path / "whole" / "sides.csv").read_text()
    assert sides.count(",training") == 3
    assert sides.count(",validation") == 2
    assert len(json.loads((tmp_path / "whole" / "manifest.json").read_text())) == 7

    class Killed(DirectTask):
        def begin_epoch(self, epoch: int) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(direct, "DirectTask", Killed)
        with pytest.raises(KeyboardInterrupt):
            train_direct(RECIPE, places, tmp_path / "run", threads=1, workers=1, quiet=True)
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    assert not (tmp_path / "run" / "model.onnx").exists()
    train_direct(RECIPE, places, tmp_path / "run", threads=1, workers=1, quiet=True)
    for name in ("model.onnx", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    figures = [json.loads((tmp_path / name / "figures.json").read_text()) for name in ("run", "whole")]
    assert figures[0] == figures[1]
    assert 0 < figures[0]["threshold"] < 1
    session = ort.InferenceSession(str(tmp_path / "run" / "model.onnx"))
    assert DirectMaskFinder(session).find([np.zeros((64, 48, 3), np.uint8)])[0].probabilities.shape[1] == 3
    # started from the weights, and learnt
    end = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    start = torch.load(tmp_path / "start.pth", weights_only=True)
    name = "fpn.merge1.0.weight"
    assert 0 < (end[name] - start[name]).abs().max() < 0.02


def test_no_labelled_face_to_judge_by(tmp_path: Path, places: Places) -> None:
    sources = [replace_side(source, "training") for source in RECIPE["source"]]
    with pytest.raises(DataError, match="on the training or the validation side"):
        train_direct(RECIPE | {"source": sources}, places, tmp_path / "run", threads=1, workers=1, quiet=True)


def replace_side(source: dict[str, Any], side: str) -> dict[str, Any]:
    return source | ({"side": side} if "side" in source else {})


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"direct": {"wrong": 3}}, "unknown field 'wrong'"),
        ({"direct": {"incorrect": 0.0}}, r"\[direct\] wants"),
        ({"direct": {"label_weight": -1.0}}, r"\[direct\] wants"),
        ({"augmentation": {"margin": 1.5}}, r"\[augmentation\] has the unknown field 'margin'"),
        ({"augmentation": {"covers": [0.5, 0.5]}}, "covers"),
        ({"start": "gone.pth"}, "the start 'gone.pth' needs the file"),
    ],
)
def test_a_recipe_that_cannot_be(tmp_path: Path, places: Places, table: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        train_direct(RECIPE | table, places, tmp_path / "run", threads=1, workers=1)
    assert not (tmp_path / "run").exists()


def test_the_same_split_as_the_classifiers() -> None:
    """Fields that decide on which side a picture is."""
    own, classifier = (
        tomllib.loads((RECIPES / f"{name}.toml").read_text()) for name in ("direct", "classifier")
    )
    for name in ("seed", "split_seed", "validation", "test", "corrections", "teacher"):
        assert own.get(name) == classifier.get(name), name

    def known(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in s.items() if k not in ("weight", "confident")} for s in sources]

    assert known(own["source"]) == known(classifier["source"])
    assert build(DirectRecipe, own["direct"], "[direct]") == DirectRecipe()


def test_recipe_from_pictures_to_a_model(
    shared: Path, few_scenes: Callable[[Path, int], None], tmp_path: Path
) -> None:
    """With the project's recipe and published weights: faces are found, and their labels judged."""
    data = tmp_path / "data"
    few_scenes(data, 10)
    recipe = read_recipe(RECIPES / "direct.toml", epochs=1)
    recipe["source"] = recipe["source"][:1]
    recipe |= {"validation": 0.4, "test": 0.2}
    recipe["augmentation"] |= {"side": 160}
    recipe["loop"] |= {"samples": 8, "batch": 4, "warm_up": 1, "bfloat16": False}
    del recipe["teacher"], recipe["occlusion"]
    places = Places(RECIPES, data, (shared / "weights",), tmp_path / "crops")
    train_direct(recipe, places, tmp_path / "run", threads=1, workers=1, quiet=True)
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert figures["validation"]["recall"] > 0.3  # two steps from the published weights
    assert figures["validation_faces"] > 3
    assert 0.2 <= figures["temperature"] <= 10
    assert figures["test_faces"] >= 0
