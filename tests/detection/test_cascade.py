from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate import MaskGate
from maskgate.detection import Detector, create_detector
from maskgate.detection.cascade import (
    PARTS,
    SIDES,
    CascadeDetector,
    CascadeSettings,
    cut_windows,
    resize,
    whole_squares,
)
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models import InputSpec, ModelCard, RuntimeOptions
from maskgate.models.bundles import bundle_bytes
from maskgate.models.sessions import open_session
from maskgate.serialisation import verdicts_to_json

AddModel = Callable[..., ModelCard]
OPTIONS = RuntimeOptions(threads=1)


def greenness(side: int, offsets: tuple[float, ...] = (0, 0, 0, 0)) -> bytes:
    """A stage that takes green windows for masked faces: the score is how much greener than red the
    window's inner half is on average, and how much less green its rim, over 255; the offsets are always
    the same."""
    kernel = np.full((1, 3, side, side), 0, np.float32)
    ring = np.ones((side, side), bool)
    ring[side // 6 : side - side // 6, side // 6 : side - side // 6] = False
    kernel[0, 1][~ring] = 1 / (255 * (~ring).sum())
    kernel[0, 1][ring] = -1 / (255 * ring.sum())
    first = side == SIDES[0]
    initial = {
        "kernel": kernel, "offsets_": np.array(offsets, np.float32), "low": np.float32(0),
        "high": np.float32(1), "one": np.array([1], np.int64), "last": np.array([-1], np.int64),
        "flat": np.array([-1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["windows"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["raw"], strides=[2, 2]),
        helper.make_node("Clip", ["raw", "low", "high"], ["map"]),
        helper.make_node("Squeeze", ["map", "one"], ["scores"])
        if first
        else helper.make_node("Reshape", ["map", "flat"], ["scores"]),
        helper.make_node("Unsqueeze", ["scores", "last"], ["column"]),
        helper.make_node("Mul", ["column", "low"], ["zeros"]),
        helper.make_node("Add", ["zeros", "offsets_"], ["offsets"]),
    ]
    shape = ["batch", "rows", "columns"] if first else ["batch"]
    size = ["height", "width"] if first else [side, side]
    taken = helper.make_tensor_value_info("windows", TensorProto.UINT8, ["batch", *size, 3])
    given = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("offsets", TensorProto.FLOAT, [*shape, 4]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in initial.items()]
    graph = helper.make_graph(nodes, "g", [taken], given, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def detector(
    settings: CascadeSettings | None = None, offsets: tuple[float, ...] = (0, 0, 0, 0)
) -> CascadeDetector:
    networks = [greenness(side, offsets if side == SIDES[2] else (0, 0, 0, 0)) for side in SIDES]
    sessions = [open_session(data, "a test", OPTIONS) for data in networks]
    return CascadeDetector(sessions, settings or CascadeSettings(0.4, 0.5, 0.55))


def squares_of_green(*places: tuple[int, int, int], size: tuple[int, int] = (160, 240)) -> np.ndarray:
    picture = np.zeros((*size, 3), np.uint8)
    for x, y, side in places:
        picture[y : y + side, x : x + side, 1] = 255
    return picture


class TestDetect:
    @pytest.mark.parametrize(("x", "y", "side"), [(60, 40, 24), (100, 50, 40), (20, 30, 100)])
    def test_one_face_of_any_size(self, x: int, y: int, side: int) -> None:
        (faces,) = detector().detect([squares_of_green((x, y, side))])
        assert len(faces) == 1
        # the windows that please these networks best are a sixth larger on either side
        rim = side * (1 / (1 - 1 / 3) - 1) / 2
        wanted = np.array([x - rim, y - rim, x + side + rim, y + side + rim])
        assert np.abs(faces.boxes[0] - wanted).max() < 0.25 * side
        assert 0.55 <= faces.scores[0] <= 1

    def test_best_first_in_the_order_of_the_pictures(self) -> None:
        bright = squares_of_green((20, 30, 40))
        both = bright.copy()
        both[60:100, 150:190, 1] = 200  # less green
        found = detector().detect([squares_of_green(), both, bright])
        assert [len(faces) for faces in found] == [0, 2, 1]
        assert found[1].scores[0] > found[1].scores[1]
        assert found[1].boxes[0, 0] < 100 < found[1].boxes[1, 0]

    def test_it_has_no_landmarks(self) -> None:
        (faces,) = detector().detect([squares_of_green((60, 40, 40))])
        assert faces.landmarks.shape == (1, 5, 2)
        assert np.isnan(faces.landmarks).all()

    def test_boxes_end_at_the_picture(self) -> None:
        (faces,) = detector(CascadeSettings(0.2, 0.2, 0.2)).detect([squares_of_green((0, 0, 60))])
        assert len(faces)
        assert (faces.boxes >= 0).all()
        assert (faces.boxes <= [240, 160, 240, 160]).all()

    def test_the_last_stage_moves_the_edges(self) -> None:
        picture = squares_of_green((60, 40, 48))
        (still,), (moved,) = (
            detector().detect([picture]),
            detector(None, (0.1, 0.2, -0.1, 0.0)).detect([picture]),
        )
        side = float(still.boxes[0, 2] - still.boxes[0, 0])
        np.testing.assert_allclose(
            moved.boxes[0] - still.boxes[0], np.array([0.1, 0.2, -0.1, 0]) * side, atol=1e-3
        )

    def test_each_threshold_counts(self) -> None:
        picture = squares_of_green((60, 40, 40))
        for settings in (
            CascadeSettings(0.99, 0.5, 0.5), CascadeSettings(0.4, 0.99, 0.5), CascadeSettings(0.4, 0.5, 0.99),
        ):  # fmt: skip
            assert len(detector(settings).detect([picture])[0]) == 0

    def test_no_face_smaller_than_the_smallest(self) -> None:
        picture = squares_of_green((60, 40, 14))
        assert len(detector(CascadeSettings(0.4, 0.5, 0.55, smallest=12)).detect([picture])[0]) == 1
        assert len(detector(CascadeSettings(0.4, 0.5, 0.55, smallest=40)).detect([picture])[0]) == 0

    @pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 11), (12, 12)])
    def test_pictures_that_are_hardly_any(self, size: tuple[int, int]) -> None:
        assert len(detector().detect([np.zeros((*size, 3), np.uint8)])[0]) == 0

    def test_no_picture(self) -> None:
        assert detector().detect([]) == []

    def test_batches_change_nothing(self) -> None:
        picture = squares_of_green((20, 30, 40), (150, 80, 30))
        one, many = detector(), detector()
        one._batch = 1
        np.testing.assert_array_equal(one.detect([picture])[0].boxes, many.detect([picture])[0].boxes)


class TestPyramid:
    def test_levels(self) -> None:
        own = detector(CascadeSettings(smallest=24, factor=0.5))
        assert own._scales(np.zeros((100, 300, 3), np.uint8)) == [0.5, 0.25, 0.125]  # 50, 25, 12.5 pixels
        assert own._scales(np.zeros((23, 300, 3), np.uint8)) == []
        wide = detector(CascadeSettings(smallest=12, factor=0.5, longest=200))
        assert wide._scales(np.zeros((100, 400, 3), np.uint8)) == [0.5, 0.25, 0.125]

    def test_windows_are_where_they_were_in_the_picture(self) -> None:
        """By hand, at a scale of a half: the cell in row 4 and column 6 sees pixels 24 to 48, 16 to 40."""
        own = detector(CascadeSettings(0.1, smallest=24))
        windows, scores, offsets = own._propose_at(squares_of_green((28, 20, 16)), 0.5)
        np.testing.assert_allclose(windows[scores.argmax()], [24, 16, 48, 40])
        assert len(windows) == len(scores) == len(offsets)


def test_score_of_given_faces() -> None:
    picture = squares_of_green((60, 40, 40))
    scores = detector().score(picture, np.array([[53, 33, 107, 87], [150, 40, 190, 80]], np.float32))
    assert scores[0] > 0.6
    assert scores[1] == 0
    assert detector().score(picture, np.zeros((0, 4), np.float32)).shape == (0,)


class TestWindows:
    @pytest.mark.parametrize("box", [[10, 20, 34, 44], [-9, -5, 15, 19], [90, 70, 138, 118], [3, 3, 4, 4]])
    def test_as_a_padded_picture_gives_them(self, box: list[int]) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
        (window,) = cut_windows(picture, np.array([box], np.float32), 24)
        padded = np.pad(picture, ((50, 50), (50, 50), (0, 0)), mode="edge")
        x1, y1, x2, y2 = (v + 50 for v in box)
        part = padded[y1:y2, x1:x2]
        flags = cv2.INTER_AREA if x2 - x1 >= 24 else cv2.INTER_LINEAR
        wanted = part if x2 - x1 == 24 else cv2.resize(part, (24, 24), interpolation=flags)
        np.testing.assert_array_equal(window, wanted)

    @pytest.mark.parametrize(
        "box", [[-900, -900, -800, -800], [1e6, 0, 1e6 + 5, 5], [5, 5, 5, 5], [-50, 0, 300, 350]]
    )
    def test_far_out_or_empty(self, box: list[float]) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
        windows = cut_windows(picture, np.array([box], np.float32), 24)
        assert windows.shape == (1, 24, 24, 3)

    def test_no_window(self) -> None:
        assert cut_windows(squares_of_green(), np.zeros((0, 4), np.float32), 24).shape == (0, 24, 24, 3)

    def test_whole_squares(self) -> None:
        boxes = np.array([[10.2, 20.4, 30.2, 50.4], [0, 0, 9.6, 2]], np.float32)
        np.testing.assert_array_equal(whole_squares(boxes), [[5, 20, 35, 50], [0, -4, 10, 6]])
        assert whole_squares(boxes[:0]).shape == (0, 4)

    def test_shrinking_averages(self) -> None:
        picture = np.zeros((4, 4, 3), np.uint8)
        picture[::2, ::2] = 200
        np.testing.assert_array_equal(resize(picture, (2, 2)), np.full((2, 2, 3), 50))
        assert resize(picture, (4, 4)) is picture


@pytest.mark.parametrize(
    "fields",
    [
        {"proposal": 0.0}, {"refinement": 1.0}, {"score": math.nan}, {"factor": 1.0}, {"smallest": 7.9},
        {"longest": 11}, {"candidates": 0}, {"overlap": 0.0}, {"overlap": 1.1},
    ],
)  # fmt: skip
def test_settings_out_of_range(fields: dict[str, Any]) -> None:
    ((name, value),) = fields.items()
    with pytest.raises(InputError, match=f"^{name} is {value}; give"):
        CascadeSettings(**fields)


CARD: dict[str, Any] = {
    "architecture": "cascade",
    "classes": ("masked face",),
    "input": InputSpec(None, None, "RGB", layout="NHWC"),
    "settings": {"proposal": 0.4, "refinement": 0.5, "score": 0.55},
}


def bundle(**parts: bytes) -> bytes:
    networks = {name: greenness(side) for name, side in zip(PARTS, SIDES, strict=True)}
    return bundle_bytes(networks | {f"{k.replace('_', '-')}.onnx": v for k, v in parts.items()})


class TestCard:
    def test_a_detector_of_a_card(self, add_model: AddModel) -> None:
        add_model("mine", bundle(), **CARD)
        own = create_detector("mine", OPTIONS)
        assert isinstance(own, Detector)
        assert own.name == "mine"
        picture = squares_of_green((60, 40, 40))
        np.testing.assert_array_equal(own.detect([picture])[0].boxes, detector().detect([picture])[0].boxes)
        assert len(create_detector("mine", OPTIONS, score=0.99).detect([picture])[0]) == 0

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"classes": ("face",)}, "'classes'"),
            ({"input": InputSpec(None, None, "BGR", layout="NHWC")}, "'input'"),
            ({"settings": {"proposals": 0.4}}, "'settings.proposals'"),
            ({"settings": {"proposal": "0.4"}}, "'settings.proposal'"),
            ({"settings": {"candidates": 1.5}}, "'settings.candidates'"),
            ({"settings": {"proposal": 1.4}}, "proposal is 1.4"),
        ],
    )
    def test_a_card_that_does_not_fit(self, add_model: AddModel, fields: dict[str, Any], named: str) -> None:
        add_model("mine", bundle(), **CARD | fields)
        with pytest.raises(ModelCorruptError) as caught:
            create_detector("mine", OPTIONS)
        assert named in str(caught.value)
        assert "mine.json" in str(caught.value)

    def test_files_that_do_not_fit(self, add_model: AddModel) -> None:
        add_model("turned", bundle(mask_2=greenness(SIDES[0])), **CARD)
        with pytest.raises(ModelCorruptError, match=r"mask-2\.onnx in .* is no network of the cascade"):
            create_detector("turned", OPTIONS)
        add_model("text", bundle(mask_3=b"text"), **CARD)
        with pytest.raises(ModelCorruptError, match=r"mask-3\.onnx in .* is no network"):
            create_detector("text", OPTIONS)
        add_model("lone", greenness(SIDES[0]), **CARD)
        with pytest.raises(ModelCorruptError, match="is no bundle"):
            create_detector("lone", OPTIONS)


def test_verdicts_on_faces_without_landmarks() -> None:
    """The pipeline takes them as upright, and JSON says that there are none."""
    gate = MaskGate(detector=detector(), threads=1)
    verdicts = gate(squares_of_green((60, 40, 60)))
    (face,) = verdicts
    assert sum(face.probabilities.values()) == pytest.approx(1)
    (plain,) = verdicts_to_json(verdicts)["faces"]
    assert plain["roll"] is None
    assert plain["landmarks"] == [[None, None]] * 5
