"""The three steps of the paper: find the faces, turn them upright, say what is on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.classification import Classifier, create_classifier
from maskgate.classification.quality import UncertainLimits
from maskgate.detection import Detector, create_detector
from maskgate.detection.borders import clip_faces, take_border_off, with_border
from maskgate.errors import InputError
from maskgate.images import check_image, read_image
from maskgate.models.sessions import Device, RuntimeOptions
from maskgate.types import Faces, Image, Milliseconds, Verdicts

Picture = str | PathLike[str] | NDArray[np.uint8]
"""A path, or an ``(H, W, 3)`` uint8 RGB array."""


class MaskGate:
    """Finds faces and says what is on them.

    Args:
        detector: name of a model, or an object with :class:`~maskgate.detection.Detector`'s method.
        classifier: likewise.
        score: lowest score of a face, in (0, 1); the detector's own where None.
        threshold: P(mask) from which a face counts as masked, in (0, 1); the classifier's own where
            None.
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
        if classifier is None or isinstance(classifier, str):
            classifier = create_classifier(classifier, options)
        self.detector: Detector = detector
        self.classifier: Classifier = classifier
        self.threshold = classifier.threshold if threshold is None else threshold
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
        found = self.detector.detect(images)
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

    def _main_face(self, image: Image) -> Faces:
        height, width = image.shape[:2]
        padded, border = with_border(image)
        faces = take_border_off(self.detector.detect([padded])[0], border)
        if not len(faces):
            return Faces.whole_picture(width, height)
        sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
        best = int(np.argmax(sides.max(1) * faces.scores))
        return clip_faces(faces, width, height).select([best])

    def _judge(
        self, images: Sequence[Image], found: Sequence[Faces], decoding: Sequence[float], detecting: float
    ) -> list[Verdicts]:
        cut: list[Image] = []
        aligning = []
        for image, faces in zip(images, found, strict=True):
            began = time.perf_counter()
            cut.append(self.classifier.crop.cut(image, faces))
            aligning.append(time.perf_counter() - began)
        began = time.perf_counter()
        counts = [len(faces) for faces in found]
        if sum(counts):
            probabilities = self.classifier.classify(np.concatenate(cut))
        else:
            probabilities = np.zeros((0, 3), np.float32)
        classifying = time.perf_counter() - began
        verdicts = []
        start = 0
        for i, (image, faces) in enumerate(zip(images, found, strict=True)):
            rows = probabilities[start : start + counts[i]]
            start += counts[i]
            share = counts[i] / sum(counts) if sum(counts) else 0.0
            verdicts.append(
                Verdicts(
                    width=image.shape[1],
                    height=image.shape[0],
                    faces=faces,
                    probabilities=rows,
                    uncertain=self.limits.uncertain(faces, cut[i], rows, self.threshold),
                    threshold=self.threshold,
                    milliseconds=Milliseconds(
                        1e3 * decoding[i], 1e3 * detecting, 1e3 * aligning[i], 1e3 * classifying * share
                    ),
                )
            )
        return verdicts


def _image(picture: Any) -> Image:
    if isinstance(picture, str | PathLike):
        return read_image(Path(picture))
    return check_image(picture)
