from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.detection import create_detector  # noqa: E402
from maskgate.detection.cascade import SIDES, CascadeDetector, CascadeSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.images import read_image, write_image  # noqa: E402
from maskgate.models import ModelCard, RuntimeOptions  # noqa: E402
from maskgate.nets.cascade import Mask2  # noqa: E402
from maskgate.training import cascade  # noqa: E402
from maskgate.training.cascade import (  # noqa: E402
    CascadeRecipe,
    StageTask,
    best_threshold,
    figures_of,
    hits_of,
    keeping_threshold,
    train_cascade,
    train_stages,
)
from maskgate.training.cascade_data import MASKED, OTHER, PART, MaskedPicture, Windows  # noqa: E402
from maskgate.training.classifier_setup import Places  # noqa: E402
from maskgate.training.publish import Edition, publish_cascade  # noqa: E402
from maskgate.training.recipe import build, read_recipe  # noqa: E402
from maskgate.types import Faces  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NONE = np.zeros((0, 4), np.float32)
RECIPE: dict[str, Any] = {
    "seed": 1, "start": "scratch", "validation": 0.3, "source": [],
    "cascade": {"near": 9, "anywhere": 10, "proposals": 10},
    "loop": {
        "epochs": 3, "samples": 320, "batch": 32, "rate": 4e-3, "warm_up": 3, "average": 0.8,
        "bfloat16": False, "checkpoint_seconds": 0.0,
    },
}  # fmt: skip


def faces_on_noise(folder: Path, count: int, seed: int) -> list[MaskedPicture]:
    """Pictures with one head each, a bright disc; on every other one the lower half is blue: masked."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    pictures = []
    for i in range(count):
        image = rng.integers(0, 90, (72, 96, 3)).astype(np.uint8)
        side = int(rng.integers(22, 40))
        x, y = int(rng.integers(0, 96 - side)), int(rng.integers(0, 72 - side))
        middle = (x + side // 2, y + side // 2)
        cv2.circle(image, middle, side // 2, (230, 180, 150), cv2.FILLED)
        masked = i % 2 == 0
        if masked:
            cv2.ellipse(image, middle, (side // 2, side // 2), 0, 0, 180, (60, 90, 250), cv2.FILLED)
        file = folder / f"{seed}-{i}.png"
        write_image(file, image)
        box = np.array([[x, y, x + side, y + side]], np.float32)
        pictures.append(
            MaskedPicture(file, file.name, box if masked else NONE, NONE if masked else box, NONE)
        )
    return pictures


def train(folder: Path, pictures: list[MaskedPicture], judges: list[MaskedPicture], **more: Any) -> None:
    train_stages(RECIPE, pictures, judges, folder, threads=1, workers=0, quiet=True, **more)


def test_three_stages_learn_and_go_on_exactly(
    tmp_path: Path, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, judges = faces_on_noise(tmp_path / "p", 24, 1), faces_on_noise(tmp_path / "p", 12, 2)
    whole = tmp_path / "whole"
    train(whole, pictures, judges, test=faces_on_noise(tmp_path / "p", 8, 3))
    figures = json.loads((whole / "figures.json").read_text())
    for stage in (1, 2, 3):
        assert figures[f"mask-{stage}"]["roc_auc"] > 0.85, stage
    assert figures["validation"]["masked_faces"] == 6
    assert figures["validation"]["recall"] >= 0.8
    assert figures["test"]["bare_faces"] == 4
    # the second network's windows are those that the first one lets through, not drawn at random
    hard = Windows.load(whole / "mask-2" / "windows.npz")
    assert {OTHER, MASKED} <= set(hard.kinds.tolist())
    assert hard.images.shape[1:] == (SIDES[1], SIDES[1], 3)

    # killed in the middle of each network
    stopped = tmp_path / "stopped"
    steps = {"left": 0}
    own = StageTask.loss

    def loss(self: StageTask, model: Any, batch: Any) -> Any:
        steps["left"] -= 1
        if steps["left"] < 0:
            raise KeyboardInterrupt
        return own(self, model, batch)

    monkeypatch.setattr(StageTask, "loss", loss)
    kills = 0
    for left in (17, 25, 24, 10**6):  # a network has 30 steps
        steps["left"] = left
        try:
            train(stopped, pictures, judges)
        except KeyboardInterrupt:
            kills += 1
            assert not (stopped / "model.zip").exists()
    assert kills == 3
    assert (stopped / "model.zip").read_bytes() == (whole / "model.zip").read_bytes()

    # to a model
    edition = Edition("mine", "1", "For a test.")
    with pytest.raises(DataError, match="cannot be read"):
        publish_cascade(whole, own_models, edition)
    (whole / "settings.json").write_text(json.dumps(RECIPE))
    (whole / "manifest.json").write_text("{}")
    card = publish_cascade(whole, own_models, edition)
    assert card == ModelCard.load(own_models / "mine.json")
    detector = create_detector("mine", RuntimeOptions(threads=1))
    assert isinstance(detector, CascadeDetector)
    assert detector.settings == CascadeSettings(**card.settings)
    found = detector.detect([read_image(p.path) for p in judges])
    own_figures = figures_of(found, judges, detector.settings.score)
    assert own_figures["recall"] == pytest.approx(figures["validation"]["recall"])


class TestTask:
    def windows(self) -> Windows:
        rng = np.random.default_rng(0)
        kinds = np.array([MASKED, MASKED, OTHER, OTHER, PART, OTHER], np.int8)
        offsets = np.where(kinds[:, None] > 0, rng.normal(0, 0.2, (6, 4)), 0).astype(np.float32)
        return Windows(rng.integers(0, 256, (6, 24, 24, 3)).astype(np.uint8), kinds, offsets)

    def batch(self, windows: Windows, rows: list[int]) -> list[Any]:
        images = torch.from_numpy(windows.images[rows].transpose(0, 3, 1, 2).copy())
        return [images, torch.tensor(windows.kinds[rows].tolist()), torch.from_numpy(windows.offsets[rows])]

    def test_loss_by_its_definition(self) -> None:
        windows = self.windows()
        torch.manual_seed(0)
        net = Mask2().eval()
        task = StageTask(net, None, windows, edges=3.0)  # type: ignore[arg-type]
        with torch.no_grad():
            loss, parts = task.loss(net, self.batch(windows, [0, 1, 2, 3, 4, 5]))
            scores, offsets = net(self.batch(windows, [0, 1, 2, 3, 4, 5])[0].float())
        p = 1 / (1 + np.exp(-scores.numpy().astype(np.float64)))
        entropy = -np.mean([np.log(p[0]), np.log(p[1]), *(np.log(1 - p[i]) for i in (2, 3, 5))])
        d = np.abs(offsets.numpy() - windows.offsets)[[0, 1, 4]]
        edges = np.where(d < 0.1, d**2 / 0.2, d - 0.05).mean()
        assert parts["score"] == pytest.approx(entropy, rel=1e-4)
        assert parts["edges"] == pytest.approx(edges, rel=1e-4)
        assert float(loss) == pytest.approx(entropy + 3 * edges, rel=1e-4)
        figures = task.evaluate(net)
        assert figures["loss"] == pytest.approx(entropy, rel=1e-4)
        apart = np.abs(offsets.numpy() - windows.offsets)[:2].mean()
        assert figures["edge_error"] == pytest.approx(apart, rel=1e-3)

    @pytest.mark.parametrize("rows", [[4, 4], [2, 3]])
    def test_a_batch_without_faces_or_without_anything_clear(self, rows: list[int]) -> None:
        windows = self.windows()
        net = Mask2()
        loss, _ = StageTask(net, None, windows, 1.0).loss(net, self.batch(windows, rows))  # type: ignore[arg-type]
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())


class TestThresholds:
    @pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
    def test_keeping(self, share: float) -> None:
        scores = np.random.default_rng(0).uniform(0.1, 0.9, 400).astype(np.float32)
        threshold = keeping_threshold(scores, share)
        assert (scores >= threshold).mean() >= share
        assert (scores >= threshold + 2e-3).mean() < share + 1 / 400
        assert keeping_threshold(np.zeros(5, np.float32), share) == 0.01

    def test_best(self) -> None:
        scores = np.array([0.3, 0.9, 0.8, 0.7, 0.6], np.float32)
        hits = np.array([True, True, False, True, False])
        # F1 of the best 1, 2, 3, 4 and 5 of them with 4 faces in all: by hand
        f1 = {0.9: 2 / 5, 0.8: 2 / 6, 0.7: 4 / 7, 0.6: 4 / 8, 0.3: 6 / 9}
        assert best_threshold(scores, hits, 4) == pytest.approx(max(f1, key=lambda s: f1[s]), abs=1e-4)
        assert best_threshold(scores[1:], hits[1:], 4) == pytest.approx(0.7, abs=1e-4)
        assert best_threshold(scores, ~(hits | True), 4) == 0.5
        assert best_threshold(scores[:0], hits[:0], 4) == 0.5


def test_figures_by_hand() -> None:
    box = np.array([[0, 0, 30, 30], [50, 0, 80, 30], [0, 50, 30, 80], [50, 50, 80, 80]], np.float32)
    one = MaskedPicture(Path("a"), "a", box[:2], box[2:3], box[3:])
    two = MaskedPicture(Path("b"), "b", box[:1], NONE, NONE)

    def found(*places: int, scores: list[float]) -> Faces:
        return Faces(
            box[list(places)], np.array(scores, np.float32), np.zeros((len(places), 5, 2), np.float32)
        )

    # a hit, a bare face, one that may be either; then a false face, and one under the threshold
    both = [found(0, 2, 3, scores=[0.9, 0.8, 0.7]), found(3, 0, scores=[0.6, 0.2])]
    scores, hits, faces = hits_of(both, [one, two])
    assert faces == 3
    order = np.argsort(scores)
    np.testing.assert_allclose(scores[order], [0.2, 0.6, 0.8, 0.9], rtol=1e-6)
    assert hits[order].tolist() == [True, False, False, True]
    figures = figures_of(both, [one, two], 0.5)
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["false_per_picture"] == 1
    assert (figures["bare_faces"], figures["bare_called_mask"]) == (1, 1.0)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"nearby": 3}, "unknown field 'nearby'"),
        ({"keep": [0.9, 1.0]}, r"\[cascade\] wants"),
        ({"shares": [0.0, 0.0, 0.0]}, r"\[cascade\] wants"),
        ({"shares": [0.5, 0.5]}, "shares"),
    ],
)
def test_a_recipe_that_cannot_be(tmp_path: Path, table: dict[str, Any], named: str) -> None:
    recipe = RECIPE | {"cascade": table}
    with pytest.raises(DataError, match=named):
        train_cascade(
            recipe, Places(tmp_path, tmp_path, (), tmp_path), tmp_path / "run", threads=1, workers=1
        )
    assert not (tmp_path / "run").exists()


def test_no_masked_face(tmp_path: Path) -> None:
    pictures = faces_on_noise(tmp_path, 4, 1)
    bare = [p for p in pictures if not len(p.masked)]
    for training, validation in ((bare, pictures), (pictures, bare)):
        with pytest.raises(DataError, match="no masked face is on the training or on the validation side"):
            train(tmp_path / "run", training, validation)


def test_the_same_split_as_the_classifiers() -> None:
    """Fields that decide on which side a picture is."""
    own, classifier = (
        tomllib.loads((RECIPES / f"{name}.toml").read_text()) for name in ("cascade", "classifier")
    )
    for name in ("seed", "split_seed", "validation", "test", "corrections", "teacher"):
        assert own.get(name) == classifier.get(name), name
    labelled = [s for s in classifier["source"] if "labels" in s or "bare" in s or s["kind"] == "scenes"]
    assert own["source"] == labelled
    build(CascadeRecipe, own["cascade"], "[cascade]")


def test_recipe_from_pictures_to_a_model(
    shared: Path, few_scenes: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    few_scenes(data, 14)
    (data / "photos/groups").mkdir(parents=True)
    for file in sorted((shared / "data" / "photos/groups").glob("*.jpg"))[:2]:
        (data / "photos/groups" / file.name).symlink_to(file)

    recipe = read_recipe(RECIPES / "cascade.toml", epochs=1)
    recipe["source"] = [s for s in recipe["source"] if s["path"] in ("scenes/fmd", "photos/groups")]
    recipe |= {"validation": 0.4, "test": 0.0, "cascade": {"near": 3, "anywhere": 4, "proposals": 4}}
    recipe["loop"] |= {"samples": 64, "batch": 32, "warm_up": 1}
    del recipe["teacher"]  # the detector that ships finds the faces, in half the time
    judged: list[int] = []
    own = cascade.train_stages
    monkeypatch.setattr(
        cascade,
        "train_stages",
        lambda r, t, v, *a, **k: (judged.extend([len(t), len(v)]), own(r, t, v, *a, **k)),
    )
    run = tmp_path / "run"
    places = Places(RECIPES, data, (shared / "weights",), tmp_path / "crops")
    train_cascade(recipe, places, run, threads=1, workers=1, quiet=True)
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(manifest) == 16
    assert min(judged) > 0
    assert sum(judged) <= 16
    kept = (run / "model.zip").read_bytes()
    train_cascade(recipe, places, run, threads=1, workers=1, quiet=True)
    assert (run / "model.zip").read_bytes() == kept
