from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.detection.retinaface import RetinaFaceDetector
from maskgate.detection.views import MultiViewDetector
from maskgate.errors import DataError, ImageReadError, InputError
from maskgate.evaluation.asking import Examined, Protocol, ask, examine
from maskgate.evaluation.face_pictures import FacePicture
from maskgate.images import write_image
from maskgate.models import RuntimeOptions
from maskgate.types import Faces, Image

ONE = RuntimeOptions(threads=1)


class Fixed:
    """Finds the same two faces everywhere."""

    def __init__(self, *scores: float) -> None:
        self.name = "fixed"
        self.scores = scores
        self.seen: list[Image] = []

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        self.seen += images
        n = len(self.scores)
        return [Faces(np.tile([0, 0, 9, 9], (n, 1)), self.scores, np.zeros((n, 5, 2))) for _ in images]


@pytest.fixture
def pictures(tmp_path: Path) -> list[FacePicture]:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    boxes, points = np.zeros((1, 4), np.float32), np.zeros((1, 5, 2), np.float32)
    rest = np.zeros(1, bool), np.zeros(1, np.int64)
    return [FacePicture(tmp_path / "a.png", boxes, points, *rest, size=size) for size in (None, (30, 20))]


def test_both_detectors_see_the_pictures(pictures: list[FacePicture]) -> None:
    own, low = Fixed(0.9), Fixed(0.9, 0.1)
    done: list[int] = []
    answers = ask(pictures, Examined(own, low), progress=done.append)
    assert [len(f) for f in answers.found] == [1, 1]
    assert [len(f) for f in answers.ranked] == [2, 2]
    assert done == [1, 2]
    assert own.seen[0].shape == low.seen[1].shape == (20, 30, 3)
    assert all(ms > 0 for ms in (*answers.read_ms, *answers.detect_ms))


def test_one_detector_is_asked_once(pictures: list[FacePicture]) -> None:
    own = Fixed(0.9, 0.5, 0.1)
    answers = ask(pictures, Examined(own, score=0.5))
    assert len(own.seen) == 2
    assert answers.found[0].scores.tolist() == pytest.approx([0.9, 0.5])
    assert len(answers.ranked[0]) == 3


def test_a_picture_of_another_size(pictures: list[FacePicture]) -> None:
    write_image(pictures[0].path, np.zeros((20, 31, 3), np.uint8))
    with pytest.raises(DataError, match="is 31×20 pixels upright, but annotated as 30×20"):
        ask(pictures, Examined(Fixed(0.9)))


def test_a_picture_that_cannot_be_read(pictures: list[FacePicture]) -> None:
    pictures[0].path.write_bytes(b"no picture")
    with pytest.raises(ImageReadError):
        ask(pictures, Examined(Fixed(0.9)))


def test_a_detector_that_looks_once_is_asked_at_two_scores() -> None:
    examined = examine(None, ONE, Protocol(score=0.6, floor=0.03))
    assert isinstance(examined.detector, RetinaFaceDetector)
    assert isinstance(examined.ranking, RetinaFaceDetector)
    assert (examined.detector.settings.score, examined.ranking.settings.score) == (0.6, 0.03)
    assert examined.ranking.settings.candidates >= 5000  # of a crowd none is left out
    assert examined.score is None


def test_the_network_runs_once_for_both(astronaut: Image) -> None:
    class Counting:
        def __init__(self, session: Any) -> None:
            self.session, self.calls = session, 0

        def run(self, *arguments: Any) -> Any:
            self.calls += 1
            return self.session.run(*arguments)

    examined = examine(None, ONE, Protocol())
    assert isinstance(examined.detector, RetinaFaceDetector)
    assert isinstance(examined.ranking, RetinaFaceDetector)
    recorder: Any = examined.detector.session
    counting = recorder.session = Counting(recorder.session)
    alone = RetinaFaceDetector(counting.session, examined.ranking.settings)
    for image in (astronaut, astronaut[100:400, 50:]):  # a view and a close-up each
        examined.detector.detect([image])
        before = counting.calls
        (found,) = examined.ranking.detect([image])
        assert counting.calls == before
        (wanted,) = alone.detect([image])
        for name in ("boxes", "scores", "landmarks"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert len(found) > 0
    assert counting.calls == 4
    # another picture of the same size, of which nothing is kept
    (other,) = examined.ranking.detect([astronaut[:300, 50:]])
    assert counting.calls == 6
    np.testing.assert_array_equal(other.boxes, alone.detect([astronaut[:300, 50:]])[0].boxes)


def test_views_are_asked_at_the_lower_score_alone() -> None:
    examined = examine(None, ONE, Protocol(scales=(500,), flip=True))
    assert isinstance(examined.detector, MultiViewDetector)
    assert examined.detector.detector.settings.score == 0.02
    assert examined.detector.scales == (500,)
    assert examined.detector.flip
    assert examined.ranking is None
    own = examine(None, ONE, Protocol()).detector
    assert isinstance(own, RetinaFaceDetector)
    assert examined.score == own.settings.score


def test_views_of_another_kind_of_detector(install: Callable[[str, str, str], None]) -> None:
    code = (
        "class A:\n    name = 'a'\n    def __init__(self, options, score): ...\n    def detect(self, x): ..."
    )
    install("toys", code, "[maskgate.detectors]\na = toys:A\n")
    with pytest.raises(InputError, match="a is no RetinaFace"):
        examine("a", ONE, Protocol(flip=True))
    assert examine("a", ONE, Protocol()).detector.name == "a"


@pytest.mark.parametrize("values", [{"score": 1.0}, {"floor": 0.0}, {"score": float("nan")}])
def test_scores_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="give a value between 0 and 1"):
        Protocol(**values)
