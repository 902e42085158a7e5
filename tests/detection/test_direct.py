from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from maskgate.detection import Detector, MaskFinder, create_detector
from maskgate.detection.direct import DirectMaskFinder
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import InputError
from maskgate.models import RuntimeOptions
from maskgate.types import Faces


@pytest.fixture(scope="module")
def session(labelling_network: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(labelling_network, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def shipped() -> RetinaFaceDetector:
    """The detector that the network was made of."""
    made = create_detector(None, RuntimeOptions(threads=1))
    assert isinstance(made, RetinaFaceDetector)
    return made


@pytest.fixture(scope="module")
def finder(session: ort.InferenceSession, shipped: RetinaFaceDetector) -> DirectMaskFinder:
    return DirectMaskFinder(session, shipped.settings)


@pytest.fixture(scope="module")
def head(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut's head, 1085×910: it fills the frame, and only the close-up sees it whole."""
    part = astronaut[45:200, 160:290]
    return np.asarray(cv2.resize(part, None, fx=7, fy=7, interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="module")
def crowd(astronaut: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Heads of several sizes and angles."""
    picture = np.full((900, 1200, 3), 110, np.uint8)
    part = astronaut[20:230, 125:325]
    for x, y, factor, flip in ((20, 30, 1.0, 1), (300, 40, 0.5, 0), (500, 30, 1.6, 1), (900, 500, 0.7, 0)):
        small = cv2.resize(part[:, ::-1] if flip else part, None, fx=factor, fy=factor)
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
    return picture


def best_anchor(finder: DirectMaskFinder, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels of the surest anchor of a plain pass."""
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    blob = (scaled.astype(np.float32) - (104, 117, 123)).transpose(2, 0, 1)[None].astype(np.float32)
    conf, labels, points = finder.session.run(["conf", "labels", "landmarks"], {"input": blob})
    best = int(conf[0, :, 1].argmax())
    powers = np.exp(points[0, best, :3] - points[0, best, :3].max())
    np.testing.assert_allclose(labels[0, best], powers / powers.sum(), atol=1e-5)
    return np.asarray(labels[0, best])


def test_it_is_both_kinds(finder: DirectMaskFinder, shipped: RetinaFaceDetector) -> None:
    assert isinstance(finder, Detector)
    assert isinstance(finder, MaskFinder)
    assert not isinstance(shipped, MaskFinder)


def test_the_faces_are_the_detectors(
    finder: DirectMaskFinder, shipped: RetinaFaceDetector, astronaut: np.ndarray, head: np.ndarray,
    crowd: np.ndarray,
) -> None:  # fmt: skip
    pictures = [astronaut, head, crowd, np.zeros((40, 30, 3), np.uint8)]
    wanted, found = shipped.detect(pictures), finder.find(pictures)
    assert [len(faces) for faces in wanted[2:]] == [4, 0]
    for one, some, plain in zip(wanted, found, finder.detect(pictures), strict=True):
        for faces in (some.faces, plain):
            np.testing.assert_allclose(faces.boxes, one.boxes, atol=0.02)
            np.testing.assert_allclose(faces.scores, one.scores, atol=1e-4)
            np.testing.assert_allclose(faces.landmarks, one.landmarks, atol=0.02)
        assert some.probabilities.shape == (len(one), 3)
        np.testing.assert_allclose(some.probabilities.sum(1), 1, atol=1e-5)
    assert finder.find([]) == []


def test_the_labels_are_the_surest_anchors(
    session: ort.InferenceSession, shipped: RetinaFaceDetector, astronaut: np.ndarray, head: np.ndarray
) -> None:
    finder = DirectMaskFinder(session, replace(shipped.settings, enlarge_to=480))
    (one,) = finder.find([astronaut])
    np.testing.assert_allclose(one.probabilities, best_anchor(finder, astronaut, (512, 512))[None], atol=2e-3)
    (close,) = finder.find([head])
    size = round(head.shape[1] * 224 / head.shape[0]), 224
    assert len(close.faces) == 1
    np.testing.assert_allclose(close.probabilities, best_anchor(finder, head, size)[None], atol=0.06)


class TestJudge:
    """Faces whose places are told."""

    def test_places_of_what_it_finds(
        self, finder: DirectMaskFinder, astronaut: np.ndarray, head: np.ndarray, crowd: np.ndarray
    ) -> None:
        for picture in (astronaut, head, crowd):
            (found,) = finder.find([picture])
            order = np.arange(len(found.faces))[::-1]
            given = finder.judge(picture, found.faces.select(order))
            np.testing.assert_allclose(given, found.probabilities[order], atol=1e-4)

    def test_a_place_near_by_is_that_face(self, finder: DirectMaskFinder, astronaut: np.ndarray) -> None:
        (found,) = finder.find([astronaut])
        boxes = found.faces.boxes + np.float32([[6, -5, 9, 4]])
        near = Faces(boxes, np.zeros(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))
        np.testing.assert_allclose(finder.judge(astronaut, near), found.probabilities, atol=1e-4)

    def test_where_there_is_nothing(self, finder: DirectMaskFinder) -> None:
        grey = np.full((200, 300, 3), 128, np.uint8)
        for faces in (Faces.whole_picture(300, 200), Faces.whole_picture(3, 2)):
            given = finder.judge(grey, faces)
            assert given.shape == (1, 3)
            assert given.sum() == pytest.approx(1, abs=1e-5)
        assert finder.judge(grey, Faces.empty()).shape == (0, 3)


def test_a_network_that_says_nothing_of_masks(shipped: RetinaFaceDetector) -> None:
    with pytest.raises(InputError, match=r"has the outputs .*'labels': 3.*, not \{'loc': 4"):
        DirectMaskFinder(shipped.session)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_threshold_out_of_range(session: Any, threshold: float) -> None:
    with pytest.raises(InputError, match=f"^threshold is {threshold}; give a value between 0 and 1"):
        DirectMaskFinder(session, RetinaFaceSettings(), threshold)
