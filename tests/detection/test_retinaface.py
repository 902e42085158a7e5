from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from maskgate.detection import create_detector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings, _resize
from maskgate.errors import InputError
from maskgate.models import RuntimeOptions
from maskgate.types import Faces

FACE = np.array([178, 62, 272, 182], np.float32)
"""The astronaut's, by eye."""


@pytest.fixture(scope="module")
def detector() -> RetinaFaceDetector:
    """The one that ships."""
    made = create_detector(None, RuntimeOptions(threads=1))
    assert isinstance(made, RetinaFaceDetector)
    return made


@pytest.fixture(scope="module")
def large() -> RetinaFaceDetector:
    """The ResNet-50 that ships."""
    made = create_detector("retinaface-resnet50", RuntimeOptions(threads=1))
    assert isinstance(made, RetinaFaceDetector)
    return made


def changed(detector: RetinaFaceDetector, **settings: object) -> RetinaFaceDetector:
    return RetinaFaceDetector(detector.session, replace(detector.settings, **settings))  # type: ignore[arg-type]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


class TestPrepare:
    def test_as_opencv_does_it(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        pictures = [astronaut, astronaut[::-1].copy()]
        # OpenCV subtracts after it swaps; the means are of blue, green and red
        wanted = cv2.dnn.blobFromImages(pictures, 1.0, (512, 512), (104, 117, 123), swapRB=True)
        blob = detector.prepare(pictures, (512, 512))
        assert blob.dtype == np.float32
        np.testing.assert_array_equal(blob, wanted)

    def test_to_another_size(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        blob = detector.prepare([astronaut], (300, 200))
        assert blob.shape == (1, 3, 200, 300)
        scaled = cv2.resize(astronaut, (300, 200), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(blob[0, 2] + 123, scaled[..., 0])


class TestResize:
    @pytest.mark.parametrize("size", [(256, 256), (200, 199), (128, 120), (77, 50), (3, 2), (1, 1)])
    def test_reduction_averages(self, astronaut: np.ndarray, size: tuple[int, int]) -> None:
        out = _resize(astronaut, size)
        assert out.shape == (size[1], size[0], 3)
        wanted = cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(out - wanted).mean() < 8
        assert abs(float(out.mean() - wanted.mean())) < 3

    def test_a_fine_pattern_becomes_grey(self) -> None:
        """Sampling single pixels would leave black and white."""
        board = np.indices((480, 640)).sum(0) % 2 * 255
        picture = np.repeat(board[..., None], 3, 2).astype(np.uint8)
        for size in ((320, 240), (224, 168), (160, 120), (100, 75)):
            assert np.abs(_resize(picture, size).astype(int) - 127).max() <= 1

    @pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (1, 999), (479, 641)])
    @pytest.mark.parametrize("size", [(1, 1), (5, 224), (224, 1), (300, 200), (480, 480)])
    def test_any_size_to_any_size(self, shape: tuple[int, int], size: tuple[int, int]) -> None:
        picture = np.full((*shape, 3), (9, 99, 199), np.uint8)
        out = _resize(picture, size)
        assert out.shape == (size[1], size[0], 3)
        assert (out == (9, 99, 199)).all()


class TestDecode:
    def test_against_plain_loops(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        """Every anchor of a real pass, one by one, as the paper and SSD have it."""
        score, size, picture = 0.02, (320, 224), (640, 512)  # the low score brings many boxes
        plain = changed(detector, score=score, candidates=10_000)
        outputs = plain.run(plain.prepare([astronaut], size))
        loc, conf, points = (out[0] for out in outputs)
        found = []
        row = 0
        for stride, sides in zip((8, 16, 32), plain.settings.anchors, strict=True):
            for y in range(math.ceil(size[1] / stride)):
                for x in range(math.ceil(size[0] / stride)):
                    for side in sides:
                        if conf[row, 1] >= score:
                            cx = (x + 0.5) * stride + 0.1 * loc[row, 0] * side
                            cy = (y + 0.5) * stride + 0.1 * loc[row, 1] * side
                            w, h = (side * math.exp(0.2 * float(v)) for v in loc[row, 2:])
                            marks = [
                                ((c + 0.5) * stride + 0.1 * points[row, 2 * k + d] * side)
                                for k in range(5)
                                for d, c in enumerate((x, y))
                            ]
                            box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                            found.append((float(conf[row, 1]), box, marks))
                        row += 1
        assert row == len(conf)
        assert len(found) > 30
        found.sort(key=lambda f: -f[0])
        kept: list[tuple[float, list[float], list[float]]] = []
        for face in found:
            if all(overlap(np.array(face[1]), np.array(k[1])) <= plain.settings.overlap for k in kept):
                kept.append(face)
        faces = plain.decode(outputs, 0, size, picture)
        kept = [k for k in kept if self.cut(k[1], size) is not None]
        assert len(faces) == len(kept) > 3
        np.testing.assert_allclose(faces.scores, [k[0] for k in kept], rtol=1e-6)
        grow = np.array([picture[0] / size[0], picture[1] / size[1]])
        boxes = np.array([self.cut(k[1], size) for k in kept]) * np.tile(grow, 2)
        np.testing.assert_allclose(faces.boxes, boxes, atol=0.05)
        landmarks = np.array([k[2] for k in kept]).reshape(-1, 5, 2) * grow
        np.testing.assert_allclose(faces.landmarks, landmarks, atol=0.05)

    def cut(self, box: list[float], size: tuple[int, int]) -> list[float] | None:
        """The part of a box within the picture; None where there is none."""
        x1, y1, x2, y2 = max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])
        return [x1, y1, x2, y2] if x2 > x1 and y2 > y1 else None

    def test_of_too_many_candidates_the_best_stay(
        self, detector: RetinaFaceDetector, astronaut: np.ndarray
    ) -> None:
        everything = changed(detector, score=1e-4, candidates=100_000, overlap=1.0)
        outputs = everything.run(everything.prepare([astronaut], (256, 256)))
        best = np.sort(outputs[1][0, :, 1])[::-1][:20]
        few = changed(detector, score=1e-4, candidates=20, overlap=1.0)
        faces = few.decode(outputs, 0, (256, 256), (512, 512))
        assert 10 < len(faces) <= 20  # boxes quite outside the picture are left out
        assert set(faces.scores.tolist()) <= set(best.tolist())


class TestDetect:
    def check(self, faces: Faces, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> None:
        """One face, where the astronaut's is after the picture was scaled and shifted."""
        assert len(faces) == 1
        wanted = FACE * scale + np.tile(np.float32(shift), 2)
        assert overlap(faces.boxes[0], wanted) > 0.6
        left, right, nose, *mouth = faces.landmarks[0]
        x1, y1, x2, y2 = faces.boxes[0]
        assert x1 < left[0] < right[0] < x2
        assert y1 < max(left[1], right[1]) < nose[1] < min(mouth[0][1], mouth[1][1]) < y2

    def test_a_face(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        self.check(detector.detect([astronaut])[0])

    @pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 4.0])
    def test_at_other_sizes(self, detector: RetinaFaceDetector, astronaut: np.ndarray, scale: float) -> None:
        side = round(512 * scale)
        picture = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
        (faces,) = detector.detect([picture])
        self.check(faces.select([0]), scale)  # enlarged, the flag may look like another face

    def test_the_large_detector(self, large: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        small = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
        self.check(large.detect([astronaut])[0])
        self.check(large.detect([small])[0], 0.25)
        self.check(large.detect([np.ascontiguousarray(astronaut[:, ::-1])])[0].select([0]), shift=(62, 0))

    def test_small_in_a_large_picture(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        picture = np.full((3000, 4000, 3), 128, np.uint8)
        small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)  # the face: 47 × 60
        picture[2400:2656, 3100:3356] = small
        self.check(detector.detect([picture])[0], 0.5, (3100, 2400))

    def test_filling_the_frame(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        head = astronaut[45:200, 160:290]
        picture = cv2.resize(head, (head.shape[1] * 7, head.shape[0] * 7), interpolation=cv2.INTER_CUBIC)
        self.check(detector.detect([picture])[0], 7.0, (-7 * 160, -7 * 45))
        # the close-up is what makes it so
        fragments = changed(detector, close_up=0).detect([picture])[0]
        assert len(fragments) != 1 or overlap(fragments.boxes[0], (FACE - [160, 45, 160, 45]) * 7) < 0.6

    def test_batch_gives_what_single_calls_give(
        self, detector: RetinaFaceDetector, astronaut: np.ndarray
    ) -> None:
        mirrored = np.ascontiguousarray(astronaut[:, ::-1])
        pictures = [astronaut, astronaut[:300], mirrored, np.zeros((40, 30, 3), np.uint8)]
        for picture, faces in zip(pictures, detector.detect(pictures), strict=True):
            (alone,) = detector.detect([picture])
            np.testing.assert_allclose(faces.boxes, alone.boxes, atol=0.02)
            np.testing.assert_allclose(faces.scores, alone.scores, atol=1e-4)
            np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=0.02)

    def test_pictures_of_one_size_share_a_pass(
        self, detector: RetinaFaceDetector, astronaut: np.ndarray
    ) -> None:
        shapes = []

        class Watched(RetinaFaceDetector):
            def run(self, blob: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                shapes.append(blob.shape)
                return super().run(blob)

        settings = replace(detector.settings, enlarge_to=480)
        Watched(detector.session, settings).detect([astronaut] * 3)
        assert shapes == [(3, 3, 512, 512), (3, 3, 224, 224)]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 5), (3, 2000), (2000, 3), (33, 31)])
    def test_pictures_of_any_size(self, detector: RetinaFaceDetector, shape: tuple[int, int]) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        (faces,) = detector.detect([picture])
        assert isinstance(faces, Faces)

    def test_nothing(self, detector: RetinaFaceDetector) -> None:
        assert detector.detect([]) == []

    def test_lowest_score(self, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
        many, few = (changed(detector, score=s).detect([astronaut])[0] for s in (0.01, 0.5))
        assert len(many) > len(few)
        assert many.scores.min() >= 0.01
        assert (np.diff(many.scores) <= 0).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"score": 0.0}, "score is 0.0; give a value between 0 and 1"),
        ({"score": 1.0}, "score is 1.0"),
        ({"score": float("nan")}, "score is nan"),
        ({"long_side": 31}, "long_side is 31; give at least 32 pixels"),
        ({"reduce": 0.9}, "reduce is 0.9; give a factor of at least 1"),
        ({"enlarge": 0.5}, "enlarge is 0.5; give a factor of at least 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=f"^{says}"):
        RetinaFaceSettings(**settings)  # type: ignore[arg-type]


def test_published_network(shared: Path, detector: RetinaFaceDetector, astronaut: np.ndarray) -> None:
    """A RetinaFace that others trained and exported runs unchanged, and agrees on a plain face."""
    file = shared / "weights" / "detection" / "retinaface_mnet025.onnx"
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = RetinaFaceDetector(session, RetinaFaceSettings(anchors=((16, 32), (64, 128), (256, 512))))
    (faces,) = theirs.detect([astronaut])
    (ours,) = detector.detect([astronaut])
    assert len(faces) == 1
    assert overlap(faces.boxes[0], ours.boxes[0]) > 0.7
    width = float(ours.boxes[0, 2] - ours.boxes[0, 0])
    assert np.abs(faces.landmarks[0] - ours.landmarks[0]).max() < 0.15 * width
