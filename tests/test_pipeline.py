from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate import Faces, Label, MaskGate
from maskgate.alignment import CropSpec
from maskgate.classification.quality import UncertainLimits
from maskgate.detection import LabelledFaces
from maskgate.errors import ImageError, InputError, ModelNotFoundError
from maskgate.models import DEFAULT_DETECTOR, InputSpec, find_card
from maskgate.types import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FACE = np.array([178, 62, 272, 182], np.float32)
"""The astronaut's, by eye."""


@pytest.fixture(scope="module")
def gate() -> MaskGate:
    """With the models that ship."""
    return MaskGate(threads=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


class TestRealPictures:
    def test_a_bare_face(self, gate: MaskGate, astronaut: np.ndarray) -> None:
        verdicts = gate(astronaut)
        assert (verdicts.width, verdicts.height, len(verdicts)) == (512, 512, 1)
        (face,) = verdicts
        assert overlap(face.box, FACE) > 0.6
        assert face.score > 0.9
        assert face.label is Label.NO_MASK
        assert not face.uncertain
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert abs(face.roll) < 15
        times = verdicts.milliseconds
        assert times.decode < times.detect  # nothing to decode in an array
        assert min(times.detect, times.align, times.classify) > 0
        assert verdicts.threshold == gate.classifier.threshold

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("astronaut.jpg", Label.NO_MASK),
            ("astronaut-mask.jpg", Label.MASK),
            ("astronaut-nose-out.jpg", Label.INCORRECT),
            ("astronaut-chin.jpg", Label.INCORRECT),
        ],
    )
    def test_examples(self, gate: MaskGate, name: str, label: Label) -> None:
        (face,) = gate(EXAMPLES / name)
        assert face.label is label
        assert not face.uncertain

    @pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
    def test_roll_is_found_and_undone(self, gate: MaskGate, astronaut: np.ndarray, degrees: int) -> None:
        upright = gate(astronaut).faces.roll[0]
        turn = cv2.getRotationMatrix2D((225, 122), -degrees, 1)  # cv2 turns counter-clockwise
        turned = cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        face = gate(np.asarray(turned, np.uint8))[0]  # what the turn smears at the rim may look like another
        assert face.roll - upright == pytest.approx(degrees, abs=13)  # as good as the detector's eyes
        assert face.label is Label.NO_MASK

    def test_a_path_and_its_pixels_agree(self, gate: MaskGate, tmp_path: Path, astronaut: np.ndarray) -> None:
        file = tmp_path / "a.png"
        Pillow.fromarray(astronaut).save(file)
        for picture in (file, str(file)):
            read = gate(picture)
            np.testing.assert_array_equal(read.faces.boxes, gate(astronaut).faces.boxes)
            np.testing.assert_array_equal(read.probabilities, gate(astronaut).probabilities)
            assert read.milliseconds.decode > 0

    def test_a_camera_held_sideways(self, gate: MaskGate, tmp_path: Path, astronaut: np.ndarray) -> None:
        file = tmp_path / "turned.jpg"
        exif = Pillow.Exif()
        exif[0x0112] = 6  # to be turned 90° clockwise
        sideways = Pillow.fromarray(np.ascontiguousarray(np.rot90(astronaut[:, :400])))
        sideways.save(file, exif=exif, quality=95)
        verdicts = gate(file)
        assert (verdicts.width, verdicts.height) == (400, 512)
        assert overlap(verdicts.faces.boxes[0], FACE) > 0.6

    def test_batch_gives_what_single_calls_give(self, gate: MaskGate, astronaut: np.ndarray) -> None:
        pictures = [astronaut, np.zeros((300, 200, 3), np.uint8), astronaut[:, ::-1], astronaut[:256]]
        together = gate.batch(pictures)
        assert [len(v) for v in together] == [1, 0, 1, 1]
        for picture, verdicts in zip(pictures, together, strict=True):
            alone = gate(picture)
            np.testing.assert_allclose(verdicts.faces.boxes, alone.faces.boxes, atol=0.1)
            np.testing.assert_allclose(verdicts.probabilities, alone.probabilities, atol=1e-3)
            np.testing.assert_array_equal(verdicts.uncertain, alone.uncertain)
            assert (verdicts.width, verdicts.height) == picture.shape[1::-1]

    def test_an_empty_batch(self, gate: MaskGate) -> None:
        assert gate.batch([]) == []

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (31, 33)])
    def test_tiny_pictures_have_no_faces(self, gate: MaskGate, shape: tuple[int, int]) -> None:
        verdicts = gate(np.zeros((*shape, 3), np.uint8))
        assert (verdicts.height, verdicts.width) == shape
        assert len(verdicts) == 0
        assert verdicts.probabilities.shape == (0, 3)

    def test_the_picture_stays_as_it_is(self, gate: MaskGate, astronaut: np.ndarray) -> None:
        before = astronaut.copy()
        gate(astronaut)
        gate.classify(astronaut)
        np.testing.assert_array_equal(astronaut, before)


class TestCrops:
    def test_the_face_of_a_crop_is_found(self, gate: MaskGate, astronaut: np.ndarray) -> None:
        x1, y1, x2, y2 = FACE.astype(int)
        (face,) = gate.classify(astronaut[y1:y2, x1:x2])
        assert face.score > 0.5
        assert face.label is Label.NO_MASK
        assert (face.box >= 0).all()
        assert face.box[2] <= x2 - x1
        assert face.box[3] <= y2 - y1

    def test_without_a_face_it_is_the_whole_picture(self, gate: MaskGate) -> None:
        (face,) = gate.classify(np.full((80, 60, 3), 120, np.uint8))
        np.testing.assert_array_equal(face.box, [0, 0, 60, 80])
        assert face.score == 0
        assert face.roll == 0

    def test_of_several_faces_the_largest(self, gate: MaskGate, astronaut: np.ndarray) -> None:
        head = astronaut[20:230, 125:325]
        picture = np.full((260, 420, 3), 90, np.uint8)
        picture[20:230, 10:210] = head
        picture[80:185, 260:360] = cv2.resize(head, (100, 105), interpolation=cv2.INTER_AREA)
        assert len(gate(picture)) == 2
        verdicts = gate.classify(picture)
        assert len(verdicts) == 1
        assert verdicts.faces.boxes[0, 2] < 210

    def test_one_pixel(self, gate: MaskGate) -> None:
        assert len(gate.classify(np.zeros((1, 1, 3), np.uint8))) == 1


class Fixed:
    """A detector that gives the same faces for each picture."""

    name = "fixed"

    def __init__(self, faces: Faces) -> None:
        self.faces = faces

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self.faces] * len(images)


class Grey:
    """P(mask) is the crop's mean grey value over 255; the rest is shared out 3 to 1."""

    name = "grey"
    crop = CropSpec("rotate", 16, 1.0)
    threshold = 0.3

    def classify(self, crops: Image) -> np.ndarray:
        mask = crops.mean((1, 2, 3)) / 255
        return np.stack([mask, 0.75 * (1 - mask), 0.25 * (1 - mask)], 1).astype(np.float32)


class Labelling(Fixed):
    """A detector that also says what is on its faces: always the same."""

    name = "labelling"
    threshold = 0.4
    probabilities = np.array([[0.45, 0.35, 0.2], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], np.float32)

    def find(self, images: Sequence[Image]) -> list[LabelledFaces]:
        return [LabelledFaces(faces, self.probabilities[: len(faces)]) for faces in self.detect(images)]

    def judge(self, image: Image, faces: Faces) -> np.ndarray:
        assert self.faces.boxes.shape == (0, 4), "only where it finds nothing itself"
        self.judged = image.shape, faces.boxes.tolist()
        return np.full((len(faces), 3), [0.5, 0.25, 0.25], np.float32)


def three_faces() -> Faces:
    boxes = np.array([[10, 10, 40, 40], [60, 10, 90, 40], [10, 60, 25, 75]], np.float32)
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    points = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.array([0.9, 0.8, 0.7], np.float32), points)


class TestParts:
    """What goes from part to part, with parts whose answers are known."""

    picture = np.zeros((100, 100, 3), np.uint8)
    picture[5:45, 5:45] = 200
    picture[5:45, 55:95] = 20

    def gate(self, **options: Any) -> MaskGate:
        return MaskGate(Fixed(three_faces()), Grey(), **options)

    def test_probabilities_and_labels(self) -> None:
        verdicts = self.gate()(self.picture)
        np.testing.assert_allclose(verdicts.probabilities[:, 0], [200 / 255, 20 / 255, 0], atol=0.02)
        assert verdicts.labels == [Label.MASK, Label.NO_MASK, Label.NO_MASK]
        assert verdicts.threshold == 0.3

    def test_own_threshold(self) -> None:
        verdicts = self.gate(threshold=0.05)(self.picture)
        assert verdicts.labels == [Label.MASK, Label.MASK, Label.NO_MASK]
        assert verdicts.threshold == 0.05

    def test_own_limits(self) -> None:
        sure = UncertainLimits(size=0, sharpness=0, margin=0.01)
        assert self.gate(limits=sure)(self.picture).uncertain.tolist() == [False, False, False]
        small = replace(sure, size=20)
        assert self.gate(limits=small)(self.picture).uncertain.tolist() == [False, False, True]
        close = replace(sure, margin=3)  # log-odds 1.3, -2.5 and below against -0.8
        assert self.gate(limits=close)(self.picture).uncertain.tolist() == [True, True, False]

    def test_faces_of_a_batch_go_to_their_pictures(self) -> None:
        dark = self.picture // 2
        first, second, third = self.gate().batch([self.picture, dark, np.zeros_like(dark)])
        for verdicts, factor in ((first, 1.0), (second, 0.5), (third, 0.0)):
            wanted = factor * np.array([200, 20, 0]) / 255
            np.testing.assert_allclose(verdicts.probabilities[:, 0], wanted, atol=0.02)


class TestOnePass:
    """A detector that says what is on its faces."""

    picture = TestParts.picture

    def test_no_classifier_is_asked(self) -> None:
        gate = MaskGate(Labelling(three_faces()))
        assert gate.classifier is None
        dark = self.picture // 2
        for verdicts in gate.batch([self.picture, dark]):
            np.testing.assert_array_equal(verdicts.probabilities, Labelling.probabilities)
            np.testing.assert_array_equal(verdicts.faces.scores, three_faces().scores)
            assert verdicts.threshold == 0.4
            assert verdicts.labels == [Label.MASK, Label.INCORRECT, Label.NO_MASK]
            assert verdicts.milliseconds.detect > 0

    def test_own_threshold_and_limits(self) -> None:
        limits = UncertainLimits(size=20, sharpness=0, margin=0.5)
        verdicts = MaskGate(Labelling(three_faces()), threshold=0.25, limits=limits)(self.picture)
        assert verdicts.labels == [Label.MASK, Label.MASK, Label.NO_MASK]
        # log-odds 0.9, 0.25 and -1.1 above or below that of the threshold; the third is small besides
        assert verdicts.uncertain.tolist() == [False, True, True]
        blurred = replace(limits, size=0, sharpness=1e9)
        assert MaskGate(Labelling(three_faces()), limits=blurred)(self.picture).uncertain.all()

    def test_a_classifier_that_is_named_decides(self) -> None:
        gate = MaskGate(Labelling(three_faces()), Grey())
        assert isinstance(gate.classifier, Grey)
        verdicts = gate(self.picture)
        assert verdicts.threshold == 0.3
        np.testing.assert_allclose(verdicts.probabilities[:, 0], [200 / 255, 20 / 255, 0], atol=0.02)

    def test_a_crop(self) -> None:
        faces = Faces(
            three_faces().boxes + 40, three_faces().scores * [0.5, 1, 1], three_faces().landmarks + 40
        )
        (face,) = MaskGate(Labelling(faces)).classify(self.picture)  # with a border of 40 pixels
        np.testing.assert_allclose(face.box, three_faces().boxes[1], atol=1e-4)
        assert list(face.probabilities.values()) == pytest.approx(Labelling.probabilities[1].tolist())

    def test_a_crop_in_which_it_finds_nothing(self) -> None:
        finder = Labelling(Faces.empty())
        (face,) = MaskGate(finder).classify(self.picture)
        assert face.box.tolist() == [0, 0, 100, 100]
        assert face.score == 0
        assert list(face.probabilities.values()) == [0.5, 0.25, 0.25]
        assert finder.judged == ((180, 180, 3), [[40, 40, 140, 140]])

    def test_a_picture_without_faces(self) -> None:
        verdicts = MaskGate(Labelling(Faces.empty()))(self.picture)
        assert verdicts.probabilities.shape == (0, 3)
        assert MaskGate(Labelling(three_faces())).batch([]) == []

    def test_a_real_one_by_its_name(
        self, add_model: Any, labelling_network: bytes, astronaut: np.ndarray, gate: MaskGate
    ) -> None:
        settings = {**find_card(DEFAULT_DETECTOR, "detection").settings, "threshold": 0.25}
        add_model(
            "both", labelling_network, architecture="direct",
            classes=("background", "mask", "no_mask", "incorrect"),
            input=InputSpec(None, None, "BGR", (104.0, 117.0, 123.0)), settings=settings,
        )  # fmt: skip
        one_pass = MaskGate("both", threads=1)
        verdicts = one_pass(astronaut)
        np.testing.assert_allclose(verdicts.faces.boxes, gate(astronaut).faces.boxes, atol=0.02)
        assert verdicts.threshold == 0.25
        assert sum(verdicts[0].probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert not verdicts.uncertain[0] or abs(verdicts.probabilities[0, 0] - 0.25) < 0.2
        assert one_pass.classify(astronaut[20:230, 125:325])[0].score > 0.5
        assert one_pass.classify(np.full((50, 40, 3), 99, np.uint8))[0].score == 0


class TestErrors:
    @pytest.mark.parametrize("name", ["score", "threshold"])
    @pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
    def test_thresholds_out_of_range(self, name: str, value: float) -> None:
        with pytest.raises(InputError, match=f"^{name} is {value}; give a value between 0 and 1$"):
            MaskGate(**{name: value})

    def test_unknown_names(self) -> None:
        with pytest.raises(ModelNotFoundError, match="no-such-model"):
            MaskGate("no-such-model")
        with pytest.raises(ModelNotFoundError, match="no-such-model"):
            MaskGate(classifier="no-such-model")

    @pytest.mark.parametrize("threads", [0, -1, 1.5, True, 10**9])
    def test_threads(self, threads: Any) -> None:
        with pytest.raises(InputError, match="threads"):
            MaskGate(threads=threads)

    def test_device(self) -> None:
        with pytest.raises(InputError, match="device"):
            MaskGate(device="tpu")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "array",
        [
            np.full((64, 64, 3), np.nan, np.float32),
            np.zeros((64, 64, 3), np.float64),
            np.zeros((64, 64), np.uint8),
            np.zeros((3, 64, 64), np.uint8),
            [[1, 2, 3]],
            None,
        ],
    )
    @pytest.mark.parametrize("method", ["__call__", "classify"])
    def test_arrays_that_are_no_picture(self, gate: MaskGate, array: Any, method: str) -> None:
        with pytest.raises(InputError) as caught:
            getattr(gate, method)(array)
        assert "\n" not in str(caught.value)

    def test_a_missing_file(self, gate: MaskGate, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"missing\.jpg"):
            gate(tmp_path / "missing.jpg")
