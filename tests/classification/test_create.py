from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate.alignment import CropSpec
from maskgate.classification import Classifier, create_classifier
from maskgate.errors import ModelCorruptError, ModelError, ModelNotFoundError
from maskgate.models import DEFAULT_CLASSIFIER, InputSpec, ModelCard, RuntimeOptions

AddModel = Callable[..., ModelCard]
Install = Callable[[str, str, str], None]
OPTIONS = RuntimeOptions(threads=1)
SIZE = 16
CARD: dict[str, Any] = {
    "task": "classification",
    "architecture": "face_resnet",
    "classes": ("mask", "no_mask", "incorrect"),
    "input": InputSpec(SIZE, SIZE, "RGB", layout="NHWC"),
    "settings": {"crop": {"kind": "rotate", "size": SIZE, "margin": 1.5}, "threshold": 0.4},
}


def colours(size: int = SIZE, taken: int = TensorProto.UINT8) -> bytes:
    """Softmax of each crop's mean red, green and blue over 100."""
    hundred = numpy_helper.from_array(np.float32(100), "hundred")
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "hundred"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    crops = helper.make_tensor_value_info("crops", taken, ["batch", size, size, 3])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", [crops], [given], [hundred])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_sure_of_a_card(add_model: AddModel) -> None:
    add_model("mine", colours(), **CARD)
    assert create_classifier("mine", OPTIONS).sure == 0  # type: ignore[attr-defined]
    add_model("twice", colours(), **CARD | {"settings": CARD["settings"] | {"sure": 0.9}})
    assert create_classifier("twice", OPTIONS).sure == 0.9  # type: ignore[attr-defined]


def test_a_classifier_of_a_card(add_model: AddModel) -> None:
    add_model("mine", colours(), **CARD)
    classifier = create_classifier("mine", OPTIONS)
    assert isinstance(classifier, Classifier)
    assert classifier.name == "mine"
    assert classifier.crop == CropSpec("rotate", SIZE, 1.5)
    assert classifier.threshold == 0.4
    crops = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    powers = np.exp(crops.mean((1, 2)) / 100)
    wanted = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.classify(crops), wanted, rtol=1e-5)
    assert classifier.classify(crops[:0]).shape == (0, 3)


def test_the_default(add_model: AddModel) -> None:
    # a user's own model stands in for the shipped one
    add_model(DEFAULT_CLASSIFIER, colours(), **CARD)
    assert create_classifier(None, OPTIONS).name == DEFAULT_CLASSIFIER


def test_unknown_name(own_models: Path) -> None:
    for name in ("resnet-9000", ""):
        with pytest.raises(ModelNotFoundError, match=f"^there is no classification model '{name}'; choose "):
            create_classifier(name, OPTIONS)


CROP = {"kind": "rotate", "size": SIZE, "margin": 1.5}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"architecture": "vit"}, "'architecture'"),
        ({"classes": ("no_mask", "mask", "incorrect")}, "'classes'"),
        ({"classes": ("mask", "no_mask")}, "'classes'"),
        ({"settings": {"crop": CROP}}, "'settings.threshold'"),
        ({"settings": {"crop": CROP, "threshold": 1}}, "'settings.threshold'"),
        ({"settings": {"crop": CROP, "threshold": "0.4"}}, "'settings.threshold'"),
        ({"settings": {"crop": CROP, "threshold": 0.4, "treshold": 0.3}}, "'settings.treshold'"),
        ({"settings": {"crop": CROP, "threshold": 0.4, "sure": 1.1}}, "'settings.sure'"),
        ({"settings": {"crop": CROP, "threshold": 0.4, "sure": "0.9"}}, "'settings.sure'"),
        ({"settings": {"threshold": 0.4}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": [SIZE]}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": {"kind": "rotate", "size": SIZE}}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"centre": 0}}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"size": "16"}}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"margin": None}}}, "'settings.crop'"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"kind": "square"}}}, "kind is 'square'"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"kind": ["rotate"]}}}, "kind is ['rotate']"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"margin": 40}}}, "margin 40"),
        ({"settings": {"threshold": 0.4, "crop": CROP | {"size": 24}}}, "'input'"),
        ({"input": InputSpec(SIZE, SIZE, "BGR", layout="NHWC")}, "'input'"),
        ({"input": InputSpec(SIZE, SIZE, "RGB", layout="NCHW")}, "'input'"),
        ({"input": InputSpec(SIZE, SIZE, "RGB", (104.0, 117.0, 123.0), layout="NHWC")}, "'input'"),
        ({"input": InputSpec(None, None, "RGB", layout="NHWC")}, "'input'"),
    ],
)
def test_a_card_that_does_not_fit(add_model: AddModel, fields: dict[str, Any], named: str) -> None:
    add_model("mine", colours(), **(CARD | fields))
    with pytest.raises(ModelCorruptError) as caught:
        create_classifier("mine", OPTIONS)
    assert named in str(caught.value)
    assert "mine.json" in str(caught.value)


def test_what_else_a_card_may_tell(add_model: AddModel) -> None:
    settings = CARD["settings"] | {"temperature": 1.3, "uncertain": {"size": 20}}
    add_model("mine", colours(), **(CARD | {"settings": settings}))
    assert create_classifier("mine", OPTIONS).threshold == 0.4


@pytest.mark.parametrize("network", [colours(SIZE * 2), colours(SIZE, TensorProto.FLOAT)])
def test_a_network_that_does_not_fit_its_card(add_model: AddModel, network: bytes) -> None:
    add_model("mine", network, **CARD)
    with pytest.raises(ModelCorruptError, match=r"mine\.onnx is no face ResNet of its card: it takes "):
        create_classifier("mine", OPTIONS)


def test_a_corrupted_weight_file(add_model: AddModel) -> None:
    card = add_model("mine", colours(), **CARD)
    card.path.write_bytes(card.path.read_bytes()[:-1])
    with pytest.raises(ModelCorruptError, match=r"mine\.onnx .* not those of its card"):
        create_classifier("mine", OPTIONS)


TOY = """
import numpy as np
from maskgate.alignment import CropSpec

class Coin:
    name = "coin"
    crop = CropSpec("five-point", 32)
    threshold = 0.5
    def __init__(self, options):
        self.options = options
    def classify(self, crops):
        return np.full((len(crops), 3), 1 / 3, np.float32)

class Cropless(Coin):
    def __init__(self, options):
        pass
    def __getattribute__(self, name):
        if name == "crop":
            raise AttributeError(name)
        return super().__getattribute__(name)
"""


def test_another_distributions_classifier(add_model: AddModel, install: Install) -> None:
    add_model("coin", colours(), **CARD)
    points = "[maskgate.classifiers]\ncoin = coin_tosser:Coin\ncropless = coin_tosser:Cropless\n"
    install("coin-tosser", TOY, points)
    classifier = create_classifier("coin", OPTIONS)
    assert isinstance(classifier, Classifier)
    assert classifier.crop == CropSpec("five-point", 32)
    assert classifier.options == OPTIONS  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"'cropless' of the distribution 'coin-tosser' .* has no 'crop'"):
        create_classifier("cropless", OPTIONS)
