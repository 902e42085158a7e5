from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate.alignment import CropSpec
from maskgate.classification import Classifier, create_classifier
from maskgate.classification.facenet_svm import MACHINE, NETWORK, SIZE, FaceNet, FaceNetSvmClassifier
from maskgate.classification.svm import SupportVectorMachine, svm_to_bytes
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models import InputSpec, ModelCard, RuntimeOptions
from maskgate.models.bundles import bundle_bytes

AddModel = Callable[..., ModelCard]
CROP = CropSpec("rotate", SIZE, 1.5)


def colours(size: int = SIZE, taken: int = TensorProto.UINT8) -> bytes:
    """The "embedding" of a crop: its mean red, green and blue over 255."""
    most = numpy_helper.from_array(np.float32(255), "most")
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "most"], ["embeddings"]),
    ]
    crops = helper.make_tensor_value_info("crops", taken, ["batch", size, size, 3])
    given = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", [crops], [given], [most])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def by_colour(width: int = 3) -> SupportVectorMachine:
    """A label a colour; the calibration makes them ten times as sure."""
    vectors = np.eye(3, width, dtype=np.float32)
    one, zero = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    return SupportVectorMachine(vectors, one, zero, np.array(0, np.float32), 10 * one, zero)


def crops_of(colours: list[tuple[int, int, int]]) -> np.ndarray:
    return np.stack([np.full((SIZE, SIZE, 3), c, np.uint8) for c in colours])


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_probabilities_of_embeddings(batch: int) -> None:
    facenet = FaceNet(ort.InferenceSession(colours()), batch)
    classifier = FaceNetSvmClassifier(facenet, by_colour(), CROP, 0.3, "mine")
    assert isinstance(classifier, Classifier)
    assert (classifier.name, classifier.crop, classifier.threshold) == ("mine", CROP, 0.3)
    crops = crops_of([(255, 0, 0), (0, 255, 0), (51, 102, 255)])
    p = classifier.classify(crops)
    wanted = np.exp(10 * crops.mean((1, 2)) / 255)
    np.testing.assert_allclose(p, wanted / wanted.sum(1, keepdims=True), rtol=1e-4)
    assert p.argmax(1).tolist() == [0, 1, 2]
    assert classifier.classify(crops[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, SIZE, SIZE - 1, 3), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.uint8),
    ],
)
def test_other_crops(crops: np.ndarray) -> None:
    classifier = FaceNetSvmClassifier(FaceNet(ort.InferenceSession(colours())), by_colour(), CROP)
    with pytest.raises(InputError, match=r"^crops are .*; give uint8 \(N, 160, 160, 3\)"):
        classifier.classify(crops)


def test_what_does_not_go_together() -> None:
    facenet = FaceNet(ort.InferenceSession(colours()))
    with pytest.raises(InputError, match=r"^the support vectors have 4 numbers and the embeddings 3"):
        FaceNetSvmClassifier(facenet, by_colour(4), CROP)
    with pytest.raises(InputError, match=r"^crops are of 112 pixels; FaceNet takes 160"):
        FaceNetSvmClassifier(facenet, by_colour(), CropSpec("rotate", 112))


CARD: dict[str, Any] = {
    "task": "classification", "architecture": "facenet_svm", "file": "mine.zip",
    "classes": ("mask", "no_mask", "incorrect"), "input": InputSpec(SIZE, SIZE, "RGB", layout="NHWC"),
    "settings": {"crop": {"kind": "rotate", "size": SIZE, "margin": 1.5}, "threshold": 0.4},
}  # fmt: skip


def bundle(network: bytes | None = None, svm: bytes | None = None) -> bytes:
    return bundle_bytes({NETWORK: network or colours(), MACHINE: svm or svm_to_bytes(by_colour())})


def test_of_a_card(add_model: AddModel) -> None:
    add_model("mine", bundle(), **CARD)
    classifier = create_classifier("mine", RuntimeOptions(threads=1))
    assert isinstance(classifier, FaceNetSvmClassifier)
    assert (classifier.name, classifier.crop, classifier.threshold) == ("mine", CROP, 0.4)
    assert classifier.classify(crops_of([(0, 255, 0)])).argmax() == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no bundle", r"mine\.zip is no bundle"),
        (bundle_bytes({NETWORK: colours()}), r"mine\.zip holds facenet\.onnx; wanted"),
        (bundle(network=b"no network"), r"facenet\.onnx in .*mine\.zip is no network"),
        (bundle(network=colours(112)), r"facenet\.onnx in .*mine\.zip is no FaceNet of its card"),
        (bundle(network=colours(taken=TensorProto.FLOAT)), "is no FaceNet of its card"),
        (bundle(svm=b"no arrays"), r"mine\.zip is no FaceNet with a machine: these are no arrays"),
        (bundle(svm=svm_to_bytes(by_colour(9))), "the support vectors have 9 numbers"),
    ],
)
def test_a_file_that_does_not_fit(add_model: AddModel, data: bytes, told: str) -> None:
    add_model("mine", data, **CARD)
    with pytest.raises(ModelCorruptError, match=told):
        create_classifier("mine", RuntimeOptions(threads=1))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"classes": ("mask", "no_mask")}, "'classes'"),
        ({"settings": CARD["settings"] | {"threshold": 1}}, "'settings.threshold'"),
        ({"settings": CARD["settings"] | {"kernel": "rbf"}}, "'settings.kernel'"),
        ({"input": InputSpec(112, 112, "RGB", layout="NHWC")}, "'input'"),
    ],
)
def test_a_card_that_does_not_fit(add_model: AddModel, fields: dict[str, Any], named: str) -> None:
    add_model("mine", bundle(), **CARD | fields)
    with pytest.raises(ModelCorruptError) as caught:
        create_classifier("mine", RuntimeOptions(threads=1))
    assert named in str(caught.value)
    assert "mine.json" in str(caught.value)
