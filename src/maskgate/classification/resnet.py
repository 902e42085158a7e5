"""The default classifier: a light residual network over aligned crops (paper, Sec. III-B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.classification.crops import check_crops
from maskgate.types import Image

DISTANCE = 0.88
"""Scale of the look from further away."""


class ResNetClassifier:
    """Class probabilities from an ONNX session.

    The session takes ``(N, S, S, 3)`` uint8 RGB crops and gives ``(N, 3)`` float32 probabilities in
    the order of :data:`maskgate.types.LABELS`; normalisation, softmax and temperature are part of
    the graph.

    Args:
        session: the network.
        crop: how faces are cut for it.
        threshold: P(mask) from which a face counts as masked.
        name: of the model.
        sure: faces whose likeliest label has a smaller probability are looked at again, see
            :func:`second_looks`; 0 for none.
        batch: at most so many crops go through the network at once.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        crop: CropSpec,
        threshold: float = 0.5,
        name: str = "face-resnet",
        sure: float = 0.0,
        batch: int = 32,
    ) -> None:
        self.name = name
        self.crop = crop
        self.threshold = threshold
        self.session = session
        self.sure = sure
        self._batch = batch
        self._input = session.get_inputs()[0].name

    def classify(self, crops: Image) -> NDArray[np.float32]:
        """``(N, 3)`` probabilities of ``(N, S, S, 3)`` uint8 RGB crops; rows sum to 1.

        Raises :class:`~maskgate.errors.InputError` where the crops have another shape or type.
        """
        check_crops(crops, self.crop.size)
        probabilities = self._run(crops)
        unsure = np.flatnonzero(probabilities.max(1, initial=0) < self.sure)
        if len(unsure):
            views = second_looks(crops[unsure])
            looks = np.split(self._run(np.concatenate(views)), len(views))
            probabilities[unsure] = combine([probabilities[unsure], *looks])
        return probabilities

    def _run(self, crops: Image) -> NDArray[np.float32]:
        # bounded batches keep the memory flat where a picture has hundreds of faces
        parts = [
            self.session.run(None, {self._input: np.ascontiguousarray(crops[i : i + self._batch])})[0]
            for i in range(0, len(crops), self._batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)


def second_looks(crops: Image) -> list[Image]:
    """The same ``(N, S, S, 3)`` crops mirrored, from a little further away, and both.

    Further away is without what the picture has around the crop: the rim is repeated.
    """
    middle = (crops.shape[1] - 1) / 2
    shrink = np.array([[DISTANCE, 0, middle * (1 - DISTANCE)], [0, DISTANCE, middle * (1 - DISTANCE)]])
    further = np.empty_like(crops)
    for out, crop in zip(further, crops, strict=True):
        cv2.warpAffine(crop, shrink, crop.shape[1::-1], dst=out, borderMode=cv2.BORDER_REPLICATE)
    return [crops[:, :, ::-1], further, further[:, :, ::-1]]


def combine(looks: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.float32]:
    """What several looks at the same faces say together: the geometric mean of their ``(N, K)``
    probabilities, scaled to rows that sum to 1."""
    mean = np.exp(np.mean([np.log(np.maximum(p, 1e-9)) for p in looks], axis=0))
    return np.asarray(mean / mean.sum(1, keepdims=True), np.float32)
