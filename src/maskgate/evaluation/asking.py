"""A detector's answers to annotated pictures, and how it was asked for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.detection import Detector, create_detector
from maskgate.detection.retinaface import RetinaFaceDetector
from maskgate.detection.views import MultiViewDetector
from maskgate.errors import DataError, InputError
from maskgate.evaluation.face_pictures import FacePicture
from maskgate.images import read_image
from maskgate.models.sessions import RuntimeOptions
from maskgate.types import Faces

CANDIDATES = 5000
"""Boxes of a view that go into the suppression, for ranking: crowds have a thousand faces."""


@dataclass(frozen=True)
class Protocol:
    """How a detector is asked.

    Attributes:
        score: from which a face counts as found, in (0, 1); None for the detector's own.
        floor: score from which faces are ranked for average precision, in (0, 1); with several views also
            the least of ``score``.
        scales, flip: views of a picture, see :class:`~maskgate.detection.views.MultiViewDetector`; without
            both the detector looks as it always does.

    Raises :class:`~maskgate.errors.InputError` on scores out of range.
    """

    score: float | None = None
    floor: float = 0.02
    scales: tuple[int, ...] = ()
    flip: bool = False

    def __post_init__(self) -> None:
        for name, value in (("score", self.score), ("floor", self.floor)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name} is {value}; give a value between 0 and 1")


@dataclass(frozen=True, eq=False)
class Examined:
    """A detector that is going to be asked.

    Attributes:
        detector: as it is used; its time is taken.
        ranking: the same from a lower score on, asked for the faces to rank; where None, those of
            ``detector`` are ranked.
        score: from which faces of ``detector`` count as found; None for all of them.
    """

    detector: Detector
    ranking: Detector | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What a detector says of pictures, in their order.

    Attributes:
        found: faces from its own score on, as it is used.
        ranked: faces from a low score on, for average precision.
        read_ms: milliseconds to read each picture.
        detect_ms: milliseconds to find the faces of each; of all views where there are several.
    """

    found: Sequence[Faces]
    ranked: Sequence[Faces]
    read_ms: Sequence[float]
    detect_ms: Sequence[float]


def examine(name: str | None, options: RuntimeOptions, protocol: Protocol) -> Examined:
    """The detector of a name (the default where None), ready to be asked.

    Unless it looks at several views it is asked twice: with a lower score its small view of large faces
    (``close_up``) speaks more often, so that its faces at a score are not just the better ones of those at a
    lower score. The network itself, which sees the same both times, runs once.

    Raises what :func:`~maskgate.detection.create_detector` raises, and
    :class:`~maskgate.errors.InputError` where several views are asked of a detector that is no RetinaFace.
    """
    detector = create_detector(name, options, score=protocol.score)
    several = bool(protocol.scales) or protocol.flip
    if not isinstance(detector, RetinaFaceDetector):
        if several:
            raise InputError(f"{detector.name} is no RetinaFace, which alone can be asked for several views")
        return Examined(detector, create_detector(name, options, score=protocol.floor))
    settings = replace(detector.settings, score=protocol.floor, candidates=CANDIDATES)
    if several:
        low = RetinaFaceDetector(detector.session, settings, detector.name)
        views = MultiViewDetector(low, protocol.scales, flip=protocol.flip)
        return Examined(views, score=detector.settings.score)
    detector.session = recorder = _Recorder(detector.session)
    return Examined(detector, RetinaFaceDetector(_Recalling(recorder), settings, detector.name))


class _Recorder:
    """A session that keeps its last two inputs and answers: a picture's view and its close-up."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.kept: list[tuple[NDArray[np.float32], dict[str, Any]]] = []

    def run(self, names: Sequence[str], inputs: dict[str, NDArray[np.float32]]) -> list[Any]:
        answers: list[Any] = self.session.run(names, inputs)
        (blob,) = inputs.values()
        self.kept = [*self.kept[-1:], (blob, dict(zip(names, answers, strict=True)))]
        return answers


class _Recalling:
    """A session that gives what a recorder has kept, where the input is the same, and runs it elsewhere."""

    def __init__(self, recorder: _Recorder) -> None:
        self.recorder = recorder
        self.get_inputs = recorder.session.get_inputs
        self.get_outputs = recorder.session.get_outputs

    def run(self, names: Sequence[str], inputs: dict[str, NDArray[np.float32]]) -> list[Any]:
        (blob,) = inputs.values()
        for kept, answers in self.recorder.kept:
            if np.array_equal(kept, blob):
                return [answers[name] for name in names]
        answers_now: list[Any] = self.recorder.session.run(names, inputs)
        return answers_now


def ask(
    pictures: Sequence[FacePicture],
    examined: Examined,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Answers:
    """Shows a detector the pictures, one at a time.

    Args:
        pictures: to look at.
        examined: see :func:`examine`.
        progress: called after each picture with the number done.

    Raises what :func:`maskgate.images.read_image` raises, for no picture is left out in silence, and
    :class:`~maskgate.errors.DataError` where a picture has not the annotated size.
    """
    found, ranked, read_ms, detect_ms = [], [], [], []
    for done, picture in enumerate(pictures, 1):
        start = time.perf_counter()
        image = read_image(picture.path)
        middle = time.perf_counter()
        size = image.shape[1], image.shape[0]
        if picture.size is not None and picture.size != size:
            width, height = picture.size
            raise DataError(
                f"{picture.path} is {size[0]}×{size[1]} pixels upright, but annotated as {width}×{height}; "
                "correct the annotations"
            )
        faces = examined.detector.detect([image])[0]
        end = time.perf_counter()
        ranked.append(examined.ranking.detect([image])[0] if examined.ranking else faces)
        found.append(faces if examined.score is None else faces.select(faces.scores >= examined.score))
        read_ms.append(1e3 * (middle - start))
        detect_ms.append(1e3 * (end - middle))
        progress(done)
    return Answers(found, ranked, read_ms, detect_ms)
