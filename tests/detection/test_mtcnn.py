from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskgate.detection.boxes import iou
from maskgate.detection.mtcnn import (
    CELL,
    OUTPUT_SIZE,
    REFINEMENT_SIZE,
    MtcnnDetector,
    MtcnnSettings,
    cut,
    normalised,
    place_landmarks,
    pyramid_scales,
    shift_edges,
    square,
    window_boxes,
)
from maskgate.errors import InputError
from maskgate.types import Faces

ROOT = Path(__file__).resolve().parents[2]


class TestPyramid:
    def test_by_hand(self) -> None:
        # 0.6 to start with, as a face of 20 pixels becomes one of 12
        scales = pyramid_scales(100, 50, MtcnnSettings())
        np.testing.assert_allclose(scales, [0.6, 0.4254, 0.3016086])  # then 50 pixels are 10.7
        assert pyramid_scales(20, 19, MtcnnSettings()) == []
        assert pyramid_scales(20, 20, MtcnnSettings()) == [0.6]

    def test_other_faces_and_factors(self) -> None:
        assert pyramid_scales(200, 200, MtcnnSettings(smallest=48, factor=0.5)) == [0.25, 0.125, 0.0625]

    def test_large_pictures_begin_smaller(self) -> None:
        assert pyramid_scales(1000, 5000, MtcnnSettings(longest=2000))[0] == 0.4
        assert pyramid_scales(1000, 3000, MtcnnSettings(longest=2000))[0] == 0.6


def test_window_boxes_by_hand() -> None:
    boxes = window_boxes(np.array([0, 3]), np.array([0, 5]), 0.5)
    # the second window covers pixels 11 to 22 from 1 on across, 7 to 18 down; twice that in the picture
    np.testing.assert_array_equal(boxes, [[1, 1, 24, 24], [21, 13, 44, 36]])


def test_shift_edges_by_hand() -> None:
    boxes = np.array([[10, 20, 30, 60]], np.float32)
    offsets = np.array([[0.1, -0.25, 0, 0.5]], np.float32)
    np.testing.assert_allclose(shift_edges(boxes, offsets), [[12, 10, 30, 80]])


def test_square_by_hand() -> None:
    boxes = np.array([[10, 20, 30, 60], [0, 0, 5, 1]], np.float32)
    np.testing.assert_allclose(square(boxes), [[0, 20, 40, 60], [0, -2, 5, 3]])


def test_place_landmarks_by_hand() -> None:
    shares = np.array([[0.0, 1, 0.5, 0.25, 0.75, 0.1, 0.1, 0.5, 0.9, 1.1]], np.float32)
    placed = place_landmarks(np.array([[100, 200, 140, 220]], np.float32), shares)
    np.testing.assert_allclose(placed, [[[100, 202], [140, 202], [120, 210], [110, 218], [130, 222]]])


class TestCut:
    @pytest.mark.parametrize(
        "box", [(5, 7, 45, 47), (-10.5, -3, 20, 27.5), (40, 30, 90, 80), (-20, -20, 80, 80)]
    )
    def test_black_outside(self, astronaut: np.ndarray, box: tuple[float, ...]) -> None:
        picture = astronaut[100:150, 200:260]
        x1, y1, x2, y2 = (math.floor(v) for v in box)
        wide = np.pad(picture, ((100, 100), (100, 100), (0, 0)))
        wanted = cv2.resize(
            wide[y1 + 100 : y2 + 100, x1 + 100 : x2 + 100], (24, 24), interpolation=cv2.INTER_AREA
        )
        out = np.full((24, 24, 3), 9, np.uint8)
        cut(picture, np.array(box, np.float32), out)
        np.testing.assert_array_equal(out, wanted)

    @pytest.mark.parametrize(
        "box", [(5, 5, 5, 9), (9, 5, 5, 9), (200, 5, 210, 15), (-9, 0, 0, 9), (1, 90, 2, 91)]
    )
    def test_nothing_there(self, box: tuple[float, ...]) -> None:
        out = np.full((24, 24, 3), 9, np.uint8)
        cut(np.full((50, 60, 3), 99, np.uint8), np.array(box, np.float32), out)
        assert (out == 0).all()


def test_normalised_by_hand() -> None:
    picture = np.zeros((1, 2, 1, 3), np.uint8)
    picture[0, 1, 0] = (255, 128, 0)
    wanted = [[[-0.99609375], [0.99609375]], [[-0.99609375], [0.00390625]], [[-0.99609375], [-0.99609375]]]
    np.testing.assert_array_equal(normalised(picture), [wanted])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proposal", 0), ("refinement", 1), ("score", -0.5), ("score", float("nan")), ("factor", 1.0),
        ("smallest", 7.9), ("longest", 11), ("candidates", 0),
    ],
)  # fmt: skip
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name} is {value}; give "):
        MtcnnSettings(**{name: value})


torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from maskgate.training.mtcnn import export_networks, load_networks  # noqa: E402

Plain = Callable[..., list[tuple[list[float], float, list[float]]]]


@pytest.fixture(scope="module")
def plain() -> Plain:
    """The slow pass in PyTorch, one box at a time."""
    spec = importlib.util.spec_from_file_location("plain_mtcnn", ROOT / "benchmarks" / "mtcnn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Plain = module.plain_faces
    return found


def as_opencv(planes: Any, size: tuple[int, int]) -> Any:
    """The resizing of the detector, for the slow pass."""
    picture = planes.permute(1, 2, 0).numpy().astype(np.uint8)
    out = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(out).permute(2, 0, 1).float()


def opened(files: Iterable[bytes], settings: MtcnnSettings | None = None, **more: Any) -> MtcnnDetector:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return MtcnnDetector(*(ort.InferenceSession(f, options) for f in files), settings, **more)


def assert_same(
    faces: Faces, wanted: list[tuple[list[float], float, list[float]]], image: np.ndarray
) -> None:
    height, width = image.shape[:2]
    assert len(faces) == len(wanted)
    if not wanted:
        return
    edges = np.array([box for box, _, _ in wanted]) - (1, 1, 0, 0)  # pixels from 1 on to edges from 0 on
    np.testing.assert_allclose(faces.boxes, np.clip(edges, 0, (width, height, width, height)), atol=0.05)
    np.testing.assert_allclose(faces.scores, [score for _, score, _ in wanted], atol=1e-4)
    marks = np.array([marks for _, _, marks in wanted]).reshape(-1, 2, 5).transpose(0, 2, 1)
    np.testing.assert_allclose(faces.landmarks, marks, atol=0.05)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet

    folder = tmp_path_factory.mktemp("mtcnn")
    torch.manual_seed(0)
    for file, net in (("pnet.pt", ProposalNet()), ("rnet.pt", RefinementNet()), ("onet.pt", OutputNet())):
        state = net.state_dict()
        for name, value in state.items():
            if name.endswith("weight") and value.ndim > 1:
                # scores that differ from place to place, boxes that stay near their place
                value *= 0.1 if name in ("conv4_2.weight", "dense5_2.weight", "dense6_2.weight") else 3
            elif name in ("conv4_1.bias", "dense5_1.bias", "dense6_1.bias"):
                value[1] = value[0]
        torch.save(state, folder / file)
    return folder


@pytest.fixture(scope="module")
def untrained_files(untrained: Path) -> list[bytes]:
    return list(export_networks(untrained).values())


@pytest.fixture(scope="module")
def published(shared: Path) -> Path:
    return shared / "weights" / "mtcnn"


@pytest.fixture(scope="module")
def detector(published: Path) -> MtcnnDetector:
    return opened(export_networks(published).values())


class TestUntrained:
    """Random networks, which see faces everywhere."""

    THRESHOLDS = (0.5, 0.2, 0.002)

    def test_against_the_plain_pass(
        self, untrained: Path, untrained_files: list[bytes], plain: Plain, astronaut: np.ndarray
    ) -> None:
        settings = MtcnnSettings(*self.THRESHOLDS)
        pictures = [astronaut[80:124, 190:240], astronaut[:9, :40], astronaut[300:331, 10:61]]
        found = opened(untrained_files, settings).detect(pictures)
        nets = load_networks(untrained)
        for faces, picture in zip(found, pictures, strict=True):
            wanted = plain(nets, picture, thresholds=self.THRESHOLDS, resize=as_opencv)
            assert_same(faces, wanted, picture)
        assert len(found[0]) > 3
        assert len(found[1]) == 0

    @pytest.mark.parametrize("batch", [1, 7])
    def test_batches_change_nothing(
        self, untrained_files: list[bytes], astronaut: np.ndarray, batch: int
    ) -> None:
        settings = MtcnnSettings(*self.THRESHOLDS)
        pictures = [astronaut[80:124, 190:240], astronaut[:9, :40], astronaut[300:331, 10:61]]
        few = opened(untrained_files, settings, batch=batch).detect(pictures)
        for a, b in zip(opened(untrained_files, settings).detect(pictures), few, strict=True):
            np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)

    def test_candidates_are_the_best(self, untrained_files: list[bytes], astronaut: np.ndarray) -> None:
        detector = opened(untrained_files, MtcnnSettings(*self.THRESHOLDS, candidates=1))
        assert len(detector.propose(astronaut[80:150, 180:270])) == 1

    def test_no_pictures(self, untrained_files: list[bytes]) -> None:
        assert opened(untrained_files).detect([]) == []

    @pytest.mark.parametrize("shape", [(1, 1, 3), (20, 500, 3), (500, 21, 3), (12, 12, 3)])
    def test_any_size(self, untrained_files: list[bytes], shape: tuple[int, ...]) -> None:
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        (faces,) = opened(untrained_files, MtcnnSettings(*self.THRESHOLDS)).detect([noise])
        assert (faces.boxes >= 0).all()
        assert (faces.boxes <= np.array([shape[1], shape[0]] * 2)).all()
        assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()

    def test_exported_networks_take_any_batch(self, untrained_files: list[bytes], untrained: Path) -> None:
        rng = np.random.default_rng(1)
        for file, net, side in zip(
            untrained_files, load_networks(untrained), (CELL, REFINEMENT_SIZE, OUTPUT_SIZE), strict=True
        ):
            session = ort.InferenceSession(file)
            for count in (1, 3):
                x = rng.normal(size=(count, 3, side, side)).astype(np.float32)
                with torch.inference_mode():
                    wanted = net(torch.from_numpy(x))
                given = session.run(None, {"input": x})
                for a, b in zip(given, wanted, strict=True):
                    np.testing.assert_allclose(a, b.numpy(), rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(("height", "width"), [(12, 13), (40, 77), (111, 64)])
    def test_exported_proposals_of_any_size(
        self, untrained_files: list[bytes], untrained: Path, height: int, width: int
    ) -> None:
        x = np.random.default_rng(height).normal(size=(1, 3, height, width)).astype(np.float32)
        with torch.inference_mode():
            wanted = load_networks(untrained)[0](torch.from_numpy(x))
        given = ort.InferenceSession(untrained_files[0]).run(None, {"input": x})
        for a, b in zip(given, wanted, strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-3, atol=1e-4)


class TestPublished:
    """The weights beside the checkout."""

    def test_the_astronaut(self, detector: MtcnnDetector, astronaut: np.ndarray) -> None:
        (faces,) = detector.detect([astronaut])
        assert faces.scores[0] > 0.99
        # by eye
        np.testing.assert_allclose(faces.boxes, [[178, 62, 272, 182]], atol=9)
        by_eye = [[204, 101], [247, 103], [225, 129], [202, 139], [246, 141]]
        np.testing.assert_allclose(faces.landmarks[0], by_eye, atol=4)

    @pytest.mark.parametrize(
        "part", [np.s_[:, ::-1], np.s_[62:, :262], np.s_[::3, ::3], np.s_[20:260, 205:400]]
    )
    def test_against_the_plain_pass(
        self, detector: MtcnnDetector, published: Path, plain: Plain, astronaut: np.ndarray, part: Any
    ) -> None:
        picture = np.ascontiguousarray(astronaut[part])
        (faces,) = detector.detect([picture])
        assert len(faces) >= 1
        assert_same(faces, plain(load_networks(published), picture, resize=as_opencv), picture)

    def test_pictures_to_learn_from(
        self, detector: MtcnnDetector, published: Path, plain: Plain, shared: Path
    ) -> None:
        """Also with the resizing that PyTorch has, which is another one for enlarging."""
        folder = shared / "data" / "scenes" / "fmd" / "images"
        pictures = [cv2.imread(str(f))[..., ::-1].copy() for f in sorted(folder.iterdir())[:4]]
        nets = load_networks(published)
        larger = MtcnnDetector(
            detector._proposal, detector._refinement, detector._output, MtcnnSettings(smallest=40)
        )
        common, others = 0, 0
        for picture, faces in zip(pictures, larger.detect(pictures), strict=True):
            assert_same(faces, plain(nets, picture, smallest=40, resize=as_opencv), picture)
            other = [box for box, _, _ in plain(nets, picture, smallest=40)]
            overlap = iou(np.array(other, np.float32).reshape(-1, 4), faces.boxes)
            common += int((overlap > 0.6).any(1).sum())
            others += len(other)
        assert others > 3
        assert common >= 0.8 * others

    def test_score_leaves_out_weaker_faces(self, detector: MtcnnDetector, astronaut: np.ndarray) -> None:
        strict = MtcnnDetector(
            detector._proposal, detector._refinement, detector._output, MtcnnSettings(score=0.9999999)
        )
        assert len(strict.detect([astronaut])[0]) == 0
