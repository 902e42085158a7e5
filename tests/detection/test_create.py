from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate.detection import Detector, create_detector, mtcnn
from maskgate.detection.create import retinaface_settings
from maskgate.detection.direct import DirectMaskFinder
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import InputError, ModelCorruptError, ModelError, ModelNotFoundError
from maskgate.models import DEFAULT_DETECTOR, InputSpec, ModelCard, RuntimeOptions
from maskgate.models.bundles import bundle_bytes

AddModel = Callable[..., ModelCard]
OPTIONS = RuntimeOptions(threads=1)
ANCHORS = [[10, 20], [32, 64], [128, 256]]


def retinaface(widths: tuple[int, int, int] = (4, 2, 10)) -> bytes:
    """A network that, for a picture of 64×64, sees a face at the second anchor of the first cell
    (score 0.8) and at the first anchor of the last cell (0.4), whatever is in the picture."""
    anchors = 2 * (8 * 8 + 4 * 4 + 2 * 2)
    scores = np.zeros((1, anchors, widths[1]), np.float32)
    scores[0, [1, -2], -1] = 0.8, 0.4
    values = {
        "loc": np.zeros((1, anchors, widths[0]), np.float32),
        "conf": scores,
        "landmarks": np.zeros((1, anchors, widths[2]), np.float32),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in values.items()
    ]
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in values.items()]
    graph = helper.make_graph(nodes, "g", [taken], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


PICTURE = np.zeros((64, 64, 3), np.uint8)


def test_a_detector_of_a_card(add_model: AddModel) -> None:
    add_model("mine", retinaface(), settings={"anchors": ANCHORS, "enlarge_to": 0})
    detector = create_detector("mine", OPTIONS)
    assert isinstance(detector, Detector)
    assert detector.name == "mine"
    (faces,) = detector.detect([PICTURE])
    # 20 pixels about the first cell's middle (4, 4), cut at the edge
    np.testing.assert_allclose(faces.boxes, [[0, 0, 14, 14]])
    np.testing.assert_allclose(faces.scores, [0.8])
    np.testing.assert_allclose(faces.landmarks, np.full((1, 5, 2), 4.0))


def test_score_takes_the_place_of_the_cards(add_model: AddModel) -> None:
    add_model("mine", retinaface(), settings={"score": 0.9, "enlarge_to": 0})
    assert len(create_detector("mine", OPTIONS).detect([PICTURE])[0]) == 0
    assert len(create_detector("mine", OPTIONS, score=0.7).detect([PICTURE])[0]) == 1
    found = create_detector("mine", OPTIONS, score=0.3).detect([PICTURE])[0]
    # 128 pixels about the last cell's middle (48, 48)
    np.testing.assert_allclose(found.boxes, [[0, 0, 14, 14], [0, 0, 64, 64]])
    with pytest.raises(InputError, match=r"^score is 1"):
        create_detector("mine", OPTIONS, score=1.5)


def test_the_default(add_model: AddModel) -> None:
    # a user's own model stands in for the shipped one
    add_model(DEFAULT_DETECTOR, retinaface())
    assert create_detector(None, OPTIONS).name == DEFAULT_DETECTOR


def test_unknown_name(own_models: Path) -> None:
    for name in ("retinanet", ""):
        with pytest.raises(ModelNotFoundError, match=f"^there is no detection model '{name}'; choose from: "):
            create_detector(name, OPTIONS)


def test_settings_of_a_card(add_model: AddModel) -> None:
    card = add_model(
        "mine",
        b"x",
        input=InputSpec(None, None, "BGR", (1.0, 2.0, 3.0)),
        settings={
            "anchors": [[16, 32], [64, 128], [256, 512]], "score": 0.3, "overlap": 0.5, "long_side": 800,
            "enlarge": 2, "close_up": 160, "candidates": 99,
        },
    )  # fmt: skip
    assert retinaface_settings(card) == RetinaFaceSettings(
        anchors=((16, 32), (64, 128), (256, 512)), mean=(1, 2, 3), score=0.3, overlap=0.5, long_side=800,
        enlarge=2.0, close_up=160, candidates=99,
    )  # fmt: skip
    plain = replace(card, settings={}, input=InputSpec(None, None, "BGR", (104.0, 117.0, 123.0)))
    assert retinaface_settings(plain) == RetinaFaceSettings()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"architecture": "yolo"}, "'architecture'"),
        ({"classes": ("face", "mask")}, "'classes'"),
        ({"input": InputSpec(None, None, "RGB")}, "'input.colour'"),
        ({"input": InputSpec(None, None, "BGR", scale=1 / 255)}, "'input.scale'"),
        ({"input": InputSpec(None, None, "BGR", layout="NHWC")}, "'input.layout'"),
        ({"settings": {"mean": [1, 2, 3]}}, "'settings.mean'"),
        ({"settings": {"colour": "red"}}, "'settings.colour'"),
        ({"settings": {"anchors": [[10, 20], [32, 64]]}}, "'settings.anchors'"),
        ({"settings": {"anchors": [[10, 20], [32, 64], [128]]}}, "'settings.anchors'"),
        ({"settings": {"anchors": [[], [], []]}}, "'settings.anchors'"),
        ({"settings": {"anchors": [[10, 20], [32, 64], [128, "256"]]}}, "'settings.anchors'"),
        ({"settings": {"anchors": [10, 20, 32]}}, "'settings.anchors'"),
        ({"settings": {"overlap": "0.4"}}, "'settings.overlap'"),
        ({"settings": {"overlap": 0}}, "'settings.overlap'"),
        ({"settings": {"score": True}}, "'settings.score'"),
        ({"settings": {"long_side": 640.5}}, "'settings.long_side'"),
        ({"settings": {"candidates": -1}}, "'settings.candidates'"),
        ({"settings": {"score": 1.5}}, "score is 1.5"),
        ({"settings": {"long_side": 8}}, "long_side is 8"),
    ],
)
def test_a_card_that_does_not_fit(add_model: AddModel, fields: dict[str, Any], named: str) -> None:
    add_model("mine", retinaface(), **fields)
    with pytest.raises(ModelCorruptError) as caught:
        create_detector("mine", OPTIONS)
    assert named in str(caught.value)
    assert "mine.json" in str(caught.value)


@pytest.mark.parametrize("widths", [(4, 2, 8), (5, 2, 10), (4, 3, 10)])
def test_a_network_that_is_no_retinaface(add_model: AddModel, widths: tuple[int, int, int]) -> None:
    add_model("mine", retinaface(widths))
    with pytest.raises(ModelCorruptError, match=r"mine\.onnx is no RetinaFace"):
        create_detector("mine", OPTIONS)


def test_a_corrupted_weight_file(add_model: AddModel) -> None:
    card = add_model("mine", retinaface())
    card.path.write_bytes(card.path.read_bytes()[:-1])
    with pytest.raises(ModelCorruptError, match=r"mine\.onnx .* not those of its card"):
        create_detector("mine", OPTIONS)


TOY = '''
"""Every picture is one face."""
from maskgate import Faces

class FullFrame:
    name = "full-frame"
    def __init__(self, options, score=None):
        self.options, self.score = options, score
    def detect(self, images):
        return [Faces.whole_picture(image.shape[1], image.shape[0]) for image in images]

class NoDetector:
    name = "none"
    def __init__(self, options, score=None):
        pass
'''
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "other-detectors"
version = "1.0"
[project.entry-points."maskgate.detectors"]
full-frame = "other_detectors:FullFrame"
"""


def test_a_detector_of_a_distribution_that_pip_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_models: Path
) -> None:
    pytest.importorskip("pip")
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "other_detectors.py").write_text(TOY, "utf-8")
    (source / "pyproject.toml").write_text(PROJECT, "utf-8")
    with pytest.raises(ModelNotFoundError):
        create_detector("full-frame", OPTIONS)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    run = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", site, source], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    monkeypatch.syspath_prepend(site)
    detector = create_detector("full-frame", OPTIONS, score=0.25)
    assert isinstance(detector, Detector)
    assert not isinstance(detector, RetinaFaceDetector)
    assert (detector.name, detector.options, detector.score) == (  # type: ignore[attr-defined]
        "full-frame",
        OPTIONS,
        0.25,
    )
    (faces,) = detector.detect([np.zeros((40, 30, 3), np.uint8)])
    np.testing.assert_array_equal(faces.boxes, [[0, 0, 30, 40]])


def test_another_distributions_detector_comes_before_a_card(
    add_model: AddModel, install: Callable[[str, str, str], None]
) -> None:
    add_model("both", retinaface())
    assert isinstance(create_detector("both", OPTIONS), RetinaFaceDetector)
    install("before-cards", TOY, "[maskgate.detectors]\nboth = before_cards:FullFrame\n")
    assert type(create_detector("both", OPTIONS)).__name__ == "FullFrame"


def test_what_is_no_detector(install: Callable[[str, str, str], None]) -> None:
    install("no-detector", TOY, "[maskgate.detectors]\nnone = no_detector:NoDetector\n")
    with pytest.raises(ModelError, match=r"'none' of the distribution 'no-detector' .* has no 'detect'"):
        create_detector("none", OPTIONS)


def mtcnn_network(outputs: dict[str, int], side: int | None) -> bytes:
    """Gives zeros, whatever is in the picture, for one window or crop."""
    tail = [1, 1] if side is None else []
    nodes = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.zeros([1, w, *tail], np.float32))
        )
        for name, w in outputs.items()
    ]
    sides = ["height", "width"] if side is None else [side, side]
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, *sides])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, w, *tail]) for n, w in outputs.items()]
    graph = helper.make_graph(nodes, "g", [taken], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


class TestMtcnn:
    TWO: ClassVar = {"offsets": 4, "scores": 2}
    CARD: ClassVar[dict[str, Any]] = {"architecture": "mtcnn", "file": "mine.zip", "input": mtcnn.INPUT}

    def bundle(self, **other: bytes) -> bytes:
        parts = {
            mtcnn.PROPOSAL: mtcnn_network(self.TWO, None),
            mtcnn.REFINEMENT: mtcnn_network(self.TWO, 24),
            mtcnn.OUTPUT: mtcnn_network(self.TWO | {"landmarks": 10}, 48),
        }
        return bundle_bytes({name: other.get(name.split(".")[0], data) for name, data in parts.items()})

    def test_of_a_card(self, add_model: AddModel) -> None:
        settings = {"smallest": 40, "factor": 0.5, "refinement": 0.8, "candidates": 99}
        add_model("mine", self.bundle(), **self.CARD, settings=settings)
        detector = create_detector("mine", OPTIONS)
        assert isinstance(detector, Detector)
        assert isinstance(detector, mtcnn.MtcnnDetector)
        assert detector.settings == mtcnn.MtcnnSettings(
            smallest=40, factor=0.5, refinement=0.8, candidates=99
        )
        assert len(detector.detect([PICTURE])[0]) == 0
        strict = create_detector("mine", OPTIONS, score=0.95)
        assert strict.settings.score == 0.95  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"^score is 1"):
            create_detector("mine", OPTIONS, score=1.5)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"classes": ("face", "mask")}, "'classes'"),
            ({"input": InputSpec(None, None, "RGB")}, "'input'"),
            ({"settings": {"colour": "red"}}, "'settings.colour'"),
            ({"settings": {"smallest": "20"}}, "'settings.smallest'"),
            ({"settings": {"factor": True}}, "'settings.factor'"),
            ({"settings": {"candidates": 10.5}}, "'settings.candidates'"),
            ({"settings": {"longest": 0}}, "'settings.longest'"),
            ({"settings": {"factor": 1.5}}, "factor is 1.5"),
            ({"settings": {"smallest": 2}}, "smallest is 2"),
        ],
    )
    def test_a_card_that_does_not_fit(self, add_model: AddModel, fields: dict[str, Any], named: str) -> None:
        add_model("mine", self.bundle(), **self.CARD | fields)
        with pytest.raises(ModelCorruptError) as caught:
            create_detector("mine", OPTIONS)
        assert named in str(caught.value)
        assert "mine.json" in str(caught.value)

    @pytest.mark.parametrize(
        ("part", "outputs"),
        [
            ("pnet", {"offsets": 4, "scores": 3}),
            ("rnet", {"offsets": 4}),
            ("rnet", {"offsets": 4, "scores": 2, "landmarks": 10}),
            ("onet", {"offsets": 4, "scores": 2}),
        ],
    )
    def test_other_networks(self, add_model: AddModel, part: str, outputs: dict[str, int]) -> None:
        add_model("mine", self.bundle(**{part: mtcnn_network(outputs, 24)}), **self.CARD)
        with pytest.raises(ModelCorruptError, match=rf"{part}\.onnx in .*mine\.zip is no network of MTCNN"):
            create_detector("mine", OPTIONS)

    def test_no_networks(self, add_model: AddModel) -> None:
        add_model("mine", self.bundle(rnet=b"no network"), **self.CARD)
        with pytest.raises(ModelCorruptError, match=r"rnet\.onnx in .*mine\.zip is no network that"):
            create_detector("mine", OPTIONS)
        add_model("mine", retinaface(), **self.CARD)
        with pytest.raises(ModelCorruptError, match=r"mine\.zip is no bundle of networks"):
            create_detector("mine", OPTIONS)


class TestDirect:
    FIELDS: ClassVar[dict[str, Any]] = {
        "architecture": "direct",
        "classes": ("background", "mask", "no_mask", "incorrect"),
        "input": InputSpec(None, None, "BGR", (104.0, 117.0, 123.0)),
        "settings": {"threshold": 0.375, "temperature": 1.2, "score": 0.6, "close_up": 0},
    }

    def test_of_a_card(self, add_model: AddModel, labelling_network: bytes) -> None:
        add_model("both", labelling_network, **self.FIELDS)
        finder = create_detector("both", OPTIONS)
        assert isinstance(finder, DirectMaskFinder)
        assert (finder.name, finder.threshold) == ("both", 0.375)
        assert finder.settings == RetinaFaceSettings(score=0.6, close_up=0)
        lower = create_detector("both", OPTIONS, score=0.2)
        assert isinstance(lower, DirectMaskFinder)
        assert lower.settings.score == 0.2

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"classes": ("face",)}, "'classes'"),
            ({"input": InputSpec(None, None, "RGB")}, "'input.colour'"),
            ({"settings": {}}, "'settings.threshold'"),
            ({"settings": {"threshold": 1.0}}, "'settings.threshold'"),
            ({"settings": {"threshold": 0.5, "temperature": 0}}, "'settings.temperature'"),
            ({"settings": {"threshold": 0.5, "colour": "red"}}, "'settings.colour'"),
            ({"settings": {"threshold": 0.5, "score": 1.5}}, "score is 1.5"),
        ],
    )
    def test_a_card_that_does_not_fit(
        self, add_model: AddModel, labelling_network: bytes, fields: dict[str, Any], named: str
    ) -> None:
        add_model("both", labelling_network, **(self.FIELDS | fields))
        with pytest.raises(ModelCorruptError) as caught:
            create_detector("both", OPTIONS)
        assert named in str(caught.value)
        assert "both.json" in str(caught.value)

    def test_a_network_without_labels(self, add_model: AddModel) -> None:
        add_model("both", retinaface(), **self.FIELDS)
        with pytest.raises(ModelCorruptError, match=r"both\.onnx is no network of its card: .*outputs"):
            create_detector("both", OPTIONS)
