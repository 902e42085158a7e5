from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
safetensors = pytest.importorskip("safetensors.torch")

from maskgate.alignment import CropSpec  # noqa: E402
from maskgate.classification import create_classifier  # noqa: E402
from maskgate.classification.facenet_svm import SIZE, FaceNet, FaceNetSvmClassifier  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.files import write_json  # noqa: E402
from maskgate.models import RuntimeOptions  # noqa: E402
from maskgate.nets.inception_resnet import ExportedFaceNet, InceptionResNetV1, load_published  # noqa: E402
from maskgate.training.calibration import fit_threshold  # noqa: E402
from maskgate.training.classifier_data import ClassifierAugmentation, still_views  # noqa: E402
from maskgate.training.classifier_setup import ClassifierData  # noqa: E402
from maskgate.training.crops import SIDE, FaceCrops  # noqa: E402
from maskgate.training.facenet_svm import (  # noqa: E402
    BLOCK,
    Embedder,
    FaceNetSettings,
    facenet_onnx,
    finish,
    fit_faces,
)
from maskgate.training.occlusion.shares import OcclusionShares  # noqa: E402
from maskgate.training.publish import Edition, publish_facenet_svm  # noqa: E402
from maskgate.training.recipe import Source  # noqa: E402
from maskgate.training.splits import TEST, TRAINING, VALIDATION  # noqa: E402
from maskgate.training.svm import SvmSettings  # noqa: E402

MakeCrops = Callable[..., FaceCrops]
FILE = "weights/face/facenet_inception_resnet_v1_int8.safetensors"


def colours() -> bytes:
    """The "embedding" of a crop: its mean red, green and blue over 255."""
    most = numpy_helper.from_array(np.float32(255), "most")
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "most"], ["embeddings"]),
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    given = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", [crops], [given], [most])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def embedder(folder: Path, margin: float = 1.35, digest: str = "colours") -> Embedder:
    return Embedder(FaceNet(ort.InferenceSession(colours())), margin, folder, digest)


class TestNetwork:
    def alike(self, file: Path, crops: np.ndarray) -> None:
        """The ONNX file and a pass in PyTorch give the same embeddings."""
        given = FaceNet(ort.InferenceSession(facenet_onnx(file)), batch=2).embed(crops)
        with torch.inference_mode():
            net = ExportedFaceNet(load_published(safetensors.load_file(file)))
            wanted = net(torch.from_numpy(crops)).numpy()
        assert given.shape == wanted.shape == (len(crops), 128)
        assert (given * wanted).sum(1).min() > 0.9999
        np.testing.assert_allclose(given, wanted, atol=2e-3)

    def crops(self, astronaut: np.ndarray) -> np.ndarray:
        places = ((20, 150), (45, 140), (200, 30))
        return np.stack([astronaut[y : y + SIZE, x : x + SIZE] for y, x in places])

    def test_random_weights(self, tmp_path: Path, astronaut: np.ndarray) -> None:
        torch.manual_seed(0)
        net = InceptionResNetV1()
        safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
        self.alike(tmp_path / "net.safetensors", self.crops(astronaut))

    def test_published_weights(self, shared: Path, astronaut: np.ndarray) -> None:
        self.alike(shared / FILE, self.crops(astronaut))
        assert len(facenet_onnx(shared / FILE)) < 26e6  # int8 again

    def test_other_files(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.safetensors is missing"):
            facenet_onnx(tmp_path / "gone.safetensors")
        safetensors.save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
        with pytest.raises(DataError, match=r"a\.safetensors is of another network: .*conv2d_1a"):
            facenet_onnx(tmp_path / "a.safetensors")


class TestEmbedder:
    def test_embeddings_are_of_still_views(self, tmp_path: Path, noise_crops: MakeCrops) -> None:
        crops = noise_crops([0] * 5)
        wanted = still_views(crops.images, 1.2, SIZE).mean((1, 2)) / 255
        given = embedder(tmp_path, 1.2).embed(crops, quiet=True)
        np.testing.assert_allclose(given, wanted, rtol=1e-4)

    def test_what_is_known_is_not_embedded_again(self, tmp_path: Path, noise_crops: MakeCrops) -> None:
        crops = noise_crops([0] * (BLOCK + 3))
        first = embedder(tmp_path).embed(crops, quiet=True)
        files = sorted(tmp_path.iterdir())
        assert len(files) == 2
        # what stands in the files is what comes out
        files[0].write_bytes(np.full(files[0].stat().st_size // 4, 7, "<f4").tobytes())
        again = embedder(tmp_path).embed(crops, quiet=True)
        same = (again == first).all(1)
        assert sorted({int(same.sum()), int((~same).sum())}) == [3, BLOCK]
        assert (again[~same] == 7).all()

    @pytest.mark.parametrize("other", [{"margin": 1.5}, {"digest": "other"}])
    def test_other_views_and_networks_are(
        self, tmp_path: Path, noise_crops: MakeCrops, other: dict[str, Any]
    ) -> None:
        crops = noise_crops([0] * 3)
        embedder(tmp_path).embed(crops, quiet=True)
        embedder(tmp_path, **other).embed(crops, quiet=True)
        assert len(list(tmp_path.iterdir())) == 2

    def test_no_faces(self, tmp_path: Path, noise_crops: MakeCrops) -> None:
        assert embedder(tmp_path).embed(noise_crops([0]).select(np.zeros(1, bool))).shape == (0, 3)


def coloured(noise_crops: MakeCrops, count: int = 120) -> ClassifierData:
    """A label a colour, with some noise; sixty to learn from, then validation, then test."""
    labels = [i % 3 for i in range(count)]
    crops = noise_crops(labels, 1)
    rng = np.random.default_rng(2)
    for i, label in enumerate(labels):
        shade = rng.normal(70, 25, 3)
        shade[label] += 70
        crops.images[i] = np.clip(shade, 0, 255) * np.ones((SIDE, SIDE, 3))
    sides = np.repeat([TRAINING, VALIDATION, TEST], [count // 2, count // 4, count - count // 2 - count // 4])
    sources = [Source("a", "photos", labels={"m": "mask"})]
    a = ClassifierAugmentation()
    return ClassifierData(crops, sides, sources, a, 1, None, OcclusionShares(), (), ())


SMALL = SvmSettings(costs=(1.0, 10.0), gammas=(1.0,), folds=3)


def test_from_faces_to_a_model_that_can_be_chosen(
    tmp_path: Path, noise_crops: MakeCrops, own_models: Path
) -> None:
    data, run = coloured(noise_crops), tmp_path / "run"
    run.mkdir()
    e = embedder(tmp_path / "kept", 1.5)
    fitted = fit_faces(data, e, SMALL)
    finish(fitted, data, e, colours(), run)
    figures = json.loads((run / "figures.json").read_text())
    assert (figures["kernel"], figures["cost"]) == (fitted.chosen.kernel, fitted.chosen.cost)
    assert (figures["validation_faces"], figures["test_faces"]) == (30, 30)
    assert figures["test"]["roc_auc"] > 0.9
    assert "hand_called_mask" not in figures["test"]
    with (run / "selection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[0]["loss"]) == pytest.approx(fitted.selection[0][1], abs=1e-5)

    recipe = {"seed": 1, "start": "face/f.safetensors", "source": [{"path": "a"}], "svm": {"folds": 3}}
    write_json(run / "settings.json", recipe)
    write_json(run / "manifest.json", {"a/1.jpg": "0" * 64})
    card = publish_facenet_svm(run, own_models, Edition("mine", "1", "A sentence.", "MIT"))
    assert (card.file, card.training["start"]) == ("mine.zip", "face/f.safetensors")
    assert card.training["svm"] == {"folds": 3}
    classifier = create_classifier("mine", RuntimeOptions(threads=1))
    assert isinstance(classifier, FaceNetSvmClassifier)
    assert classifier.crop == CropSpec("rotate", SIZE, 1.5)
    p = classifier.classify(still_views(data.held_out.images, 1.5, SIZE))
    assert (p.argmax(1) == data.held_out.labels).mean() > 0.8
    assert figures["threshold"] == pytest.approx(fit_threshold(p[:, 0].astype(float), data.held_out.labels))
    assert classifier.threshold == pytest.approx(figures["threshold"], abs=1e-4)
    with (run / "validation.csv").open(newline="") as file:
        told = [[float(row[k]) for k in ("mask", "no_mask", "incorrect")] for row in csv.DictReader(file)]
    np.testing.assert_allclose(p, told, atol=1e-4)


def test_only_so_many_faces_are_embedded(tmp_path: Path, noise_crops: MakeCrops) -> None:
    data = coloured(noise_crops)
    fit_faces(data, embedder(tmp_path), SvmSettings(kernels=("linear",), costs=(1.0,), folds=3, faces=30))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == 30 * 3 * 4


def test_nothing_to_learn_from(tmp_path: Path, noise_crops: MakeCrops) -> None:
    data = coloured(noise_crops)
    data.sides[:] = VALIDATION
    with pytest.raises(DataError, match=r"^no face is left to learn from"):
        fit_faces(data, embedder(tmp_path), SMALL)


@pytest.mark.parametrize("margin", [0.4, 2.1])
def test_margin_out_of_range(margin: float) -> None:
    with pytest.raises(DataError, match=rf"^\[facenet\] has the margin {margin}; give 0.5 to 2.0"):
        FaceNetSettings(margin=margin)
