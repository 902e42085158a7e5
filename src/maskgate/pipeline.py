"""The three steps of the paper: find the faces, turn them upright, say what is on them.

Or one step, with a detector that says what is on its faces (the paper's second type, Sec. II).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.classification import Classifier, create_classifier
from maskgate.classification.quality import UncertainLimits
from maskgate.detection import Detector, LabelledFaces, MaskFinder, create_detector
from maskgate.detection.borders import clip_faces, take_border_off, with_border
from maskgate.errors import InputError
from maskgate.images import check_image, read_image
from maskgate.models.sessions import Device, RuntimeOptions
from maskgate.types import Faces, Image, Milliseconds, Verdicts

Picture = str | PathLike[str] | NDArray[np.uint8]
"""A path, or an ``(H, W, 3)`` uint8 RGB array."""

_VIEW = CropSpec()
"""How faces are cut, to see whether they are sharp, where no classifier wants them otherwise."""


class MaskGate:
    """Finds faces and says what is on them.

    Args:
        detector: name of a model, or an object with :class:`~maskgate.detection.Detector`'s method.
        classifier: likewise. Where None, the default, unless the detector is a
            :class:`~maskgate.detection.MaskFinder`, which says itself what is on its faces.
        score: lowest score of a face, in (0, 1); the detector's own where None.
        threshold: P(mask) from which a face counts as masked, in (0, 1); the classifier's own where
            None, or the mask finder's.
        device: ``"cpu"`` or ``"cuda"``.
        threads: of each network; all processors where None.
        limits: when verdicts are called uncertain.

    Raises :class:`~maskgate.errors.ModelError` where a model cannot be loaded and
    :class:`~maskgate.errors.InputError` where an option is out of range.

    Example:
        >>> from maskgate import MaskGate
        >>> gate = MaskGate()
        >>> for face in gate("examples/astronaut.jpg"):
        ...     print(face.label)
        no_mask
    """

    def __init__(
        self,
        detector: str | Detector | None = None,
        classifier: str | Classifier | None = None,
        *,
        score: float | None = None,
        threshold: float | None = None,
        device: Device = "cpu",
        threads: int | None = None,
        limits: UncertainLimits | None = None,
    ) -> None:
        for name, value in (("score", score), ("threshold", threshold)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name} is {value}; give a value between 0 and 1")
        options = RuntimeOptions(device, threads)
        if detector is None or isinstance(detector, str):
            detector = create_detector(detector, options, score=score)
        self._finder = detector if classifier is None and isinstance(detector, MaskFinder) else None
        if isinstance(classifier, str) or (classifier is None and self._finder is None):
            classifier = create_classifier(classifier, options)
        self.detector: Detector = detector
        self.classifier: Classifier | None = classifier
        judge = classifier or self._finder
        assert judge is not None
        self.threshold = judge.threshold if threshold is None else threshold
        self.limits = limits or UncertainLimits()

    def __call__(self, picture: Picture) -> Verdicts:
        """Verdicts on the faces of one picture, best detection first.

        Raises :class:`~maskgate.errors.ImageError` where a file cannot be used and
        :class:`~maskgate.errors.InputError` where an array is no ``(H, W, 3)`` uint8 picture.
        """
        return self.batch([picture])[0]

    def batch(self, pictures: Sequence[Picture]) -> list[Verdicts]:
        """Verdicts on several pictures; the classifier sees all faces of all of them at once."""
        images, decoding = [], []
        for picture in pictures:
            began = time.perf_counter()
            images.append(_image(picture))
            decoding.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = self._find(images)
        detecting = (time.perf_counter() - began) / max(len(images), 1)
        return self._judge(images, found, decoding, detecting)

    def classify(self, picture: Picture) -> Verdicts:
        """Verdict on a picture that is a crop of one face already.

        The face is looked for, with a border around the picture as detectors want one, to turn it
        upright; where none is found, the whole picture is taken as an upright face.
        """
        began = time.perf_counter()
        image = _image(picture)
        decoding = time.perf_counter() - began
        began = time.perf_counter()
        face = self._main_face(image)
        detecting = time.perf_counter() - began
        return self._judge([image], [face], [decoding], detecting)[0]

    def _find(self, images: Sequence[Image]) -> list[LabelledFaces]:
        """The faces, with their probabilities unless a classifier is to say what they are."""
        if self._finder is not None:
            return self._finder.find(images)
        return [_unlabelled(faces) for faces in self.detector.detect(images)]

    def _main_face(self, image: Image) -> LabelledFaces:
        height, width = image.shape[:2]
        padded, border = with_border(image)
        (found,) = self._find([padded])
        if not len(found.faces):
            whole = Faces.whole_picture(width, height)
            if self._finder is None:
                return _unlabelled(whole)
            inside = Faces(whole.boxes + border, whole.scores, whole.landmarks + border)
            return LabelledFaces(whole, self._finder.judge(padded, inside))
        faces = clip_faces(take_border_off(found.faces, border), width, height)
        sides = found.faces.boxes[:, 2:] - found.faces.boxes[:, :2]
        best = np.array([np.argmax(sides.max(1) * faces.scores)])
        return LabelledFaces(faces, found.probabilities).select(best)

    def _judge(
        self, images: Sequence[Image], found: Sequence[LabelledFaces], decoding: Sequence[float],
        detecting: float,
    ) -> list[Verdicts]:  # fmt: skip
        crop = _VIEW if self.classifier is None else self.classifier.crop
        cut: list[Image] = []
        aligning = []
        for image, some in zip(images, found, strict=True):
            began = time.perf_counter()
            cut.append(crop.cut(image, some.faces))
            aligning.append(time.perf_counter() - began)
        began = time.perf_counter()
        counts = [len(some.faces) for some in found]
        if sum(counts) and self.classifier is not None:
            probabilities = self.classifier.classify(np.concatenate(cut))
        elif sum(counts):
            probabilities = np.concatenate([some.probabilities for some in found])
        else:
            probabilities = np.zeros((0, 3), np.float32)
        classifying = time.perf_counter() - began
        verdicts = []
        start = 0
        for i, (image, some) in enumerate(zip(images, found, strict=True)):
            rows = probabilities[start : start + counts[i]]
            start += counts[i]
            share = counts[i] / sum(counts) if sum(counts) else 0.0
            verdicts.append(
                Verdicts(
                    width=image.shape[1],
                    height=image.shape[0],
                    faces=some.faces,
                    probabilities=rows,
                    uncertain=self.limits.uncertain(some.faces, cut[i], rows, self.threshold),
                    threshold=self.threshold,
                    milliseconds=Milliseconds(
                        1e3 * decoding[i], 1e3 * detecting, 1e3 * aligning[i], 1e3 * classifying * share
                    ),
                )
            )
        return verdicts


def _unlabelled(faces: Faces) -> LabelledFaces:
    return LabelledFaces(faces, np.zeros((len(faces), 0), np.float32))


def _image(picture: Any) -> Image:
    if isinstance(picture, str | PathLike):
        return read_image(Path(picture))
    return check_image(picture)
