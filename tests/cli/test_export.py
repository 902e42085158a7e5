from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.alignment import CropSpec
from maskgate.classification import create_classifier
from maskgate.detection import create_detector
from maskgate.detection.mtcnn import MtcnnDetector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.images import write_image
from maskgate.models import RuntimeOptions

torch = pytest.importorskip("torch")

from maskgate.files import write_json  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.classifier import export_classifier  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.recipe import read_recipe  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
Call = Callable[..., Any]


def finished(folder: Path, kind: str) -> Path:
    """A run folder as training leaves it, with an untrained network."""
    folder.mkdir()
    recipe = read_recipe(RECIPES / f"{kind}.toml")
    # of an input of 112 pixels, whatever the project's classifier has
    write_json(folder / "settings.json", recipe | ({"augmentation": {}} if kind == "classifier" else {}))
    write_json(folder / "manifest.json", {"a.jpg": "0" * 64, "b.jpg": "1" * 64})
    torch.manual_seed(0)
    if kind == "detector":
        write_json(folder / "figures.json", {"recall": 0.9})
        export_detector(RetinaFace().eval(), folder / "model.onnx")
    elif kind == "direct":
        write_json(folder / "figures.json", {"threshold": 0.3125, "temperature": 1.5})
        export_detector(RetinaFace(labels=3).eval(), folder / "model.onnx", 1.5)
    else:
        write_json(folder / "figures.json", {"threshold": 0.3125, "sure": 0.9, "temperature": 1.5})
        export_classifier(FaceClassifier(FaceResNet(BLOCKS[:1])), 1.5, 112, folder / "model.onnx")
    return folder


def test_exported_detector_can_be_chosen(call: Call, tmp_path: Path, own_models: Path) -> None:
    run = finished(tmp_path / "run", "detector")
    tests = tmp_path / "street.json"
    tests.write_text('{"face_recall": 0.5}')
    result = call(
        "export", "detector", str(run), "--name", "mine", "--output", str(own_models),
        "--licence", "CC0-1.0", "--model-version", "2.1", "--figures", f"street={tests}",
    )  # fmt: skip
    assert (result.status, result.err) == (0, "")
    detector = create_detector("mine", RuntimeOptions())
    assert isinstance(detector, RetinaFaceDetector)
    assert detector.settings == RetinaFaceSettings(enlarge_to=640, enlarge=2.0)  # of the recipe
    card = json.loads((own_models / "mine.json").read_text())
    assert (card["version"], card["licence"]) == ("2.1", "CC0-1.0")
    assert card["training"]["pictures"] == 2
    assert card["training"]["start"] == "detection/retinaface_mnet025_relu.pth"
    assert card["training"]["backbone"] == "mobilenet0.25"
    assert card["figures"] == {"validation": {"recall": 0.9}, "street": {"face_recall": 0.5}}


def test_exported_classifier_has_fitted_threshold(call: Call, tmp_path: Path, own_models: Path) -> None:
    run = finished(tmp_path / "run", "classifier")
    result = call("export", "classifier", str(run), "--name", "mine", "--output", str(own_models))
    assert (result.status, result.err) == (0, "")
    classifier = create_classifier("mine", RuntimeOptions())
    assert classifier.threshold == pytest.approx(0.3125)
    assert classifier.crop == CropSpec("rotate", 112, 1.35)
    assert json.loads((own_models / "mine.json").read_text())["settings"]["temperature"] == 1.5


def test_exported_mask_finder_needs_no_classifier(
    call: Call, tmp_path: Path, own_models: Path, astronaut: np.ndarray
) -> None:
    run = finished(tmp_path / "run", "direct")
    result = call("export", "direct", str(run), "--name", "mine", "--output", str(own_models))
    assert (result.status, result.err) == (0, "")
    card = json.loads((own_models / "mine.json").read_text())
    assert card["description"] == "Finds faces and says what is on them, in one pass."
    assert (card["settings"]["threshold"], card["settings"]["temperature"]) == (0.3125, 1.5)
    picture = tmp_path / "a.png"
    write_image(picture, astronaut)
    # it has learnt nothing, and so sees a face in every third anchor
    result = call("detect", str(picture), "--detector", "mine", "--score", "0.2", "--format", "jsonl")
    assert (result.status, result.err) == (0, "")
    (line,) = result.lines
    assert line["faces"]
    for face in line["faces"]:
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    folders = ("--faces", str(tmp_path), "--hands", str(tmp_path), "--output", str(tmp_path / "hands.json"))
    result = call("evaluate", "hands", *folders, "--detector", "mine")
    assert result.status == 2
    assert result.err == "maskgate: 'evaluate hands' tests a classifier; name one with --classifier\n"


def test_published_weights_of_mtcnn(call: Call, tmp_path: Path, own_models: Path) -> None:
    words = ("--name", "three-stages", "--output", str(own_models), "--licence", "MIT")
    result = call("export", "mtcnn", str(tmp_path), *words)
    assert result.status == 2
    assert result.err.startswith(f"maskgate: {tmp_path / 'pnet.pt'} is missing; name the folder of pnet.pt")
    assert not list(own_models.iterdir())
    for file, net in (("pnet.pt", ProposalNet()), ("rnet.pt", RefinementNet()), ("onet.pt", OutputNet())):
        torch.save(net.state_dict(), tmp_path / file)
    result = call("export", "mtcnn", str(tmp_path), *words)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [str(own_models / f"three-stages.{kind}") for kind in ("zip", "json")]
    assert isinstance(create_detector("three-stages", RuntimeOptions()), MtcnnDetector)
    assert json.loads((own_models / "three-stages.json").read_text())["description"].startswith("MTCNN: ")


@pytest.mark.parametrize("kind", ["detector", "classifier", "direct", "facenet-svm", "pca", "cascade"])
def test_unfinished_run_is_one_sentence(call: Call, tmp_path: Path, own_models: Path, kind: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    result = call("export", kind, str(run), "--name", "mine", "--output", str(own_models))
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "finished run" in result.err
    assert not list(own_models.iterdir())


@pytest.mark.parametrize(("figures", "words"), [("street", "NAME=FILE"), ("a=none.json", "cannot be read")])
def test_wrong_figures(call: Call, tmp_path: Path, figures: str, words: str) -> None:
    result = call(
        "export", "detector", str(tmp_path), "--name", "m", "--output", str(tmp_path), "--figures", figures
    )
    assert result.status == 2
    assert words in result.err
