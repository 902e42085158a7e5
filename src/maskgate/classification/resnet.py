"""The default classifier: a light residual network over aligned crops (paper, Sec. III-B)."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.errors import InputError
from maskgate.types import Image


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
        sure: faces whose likeliest label has a smaller probability are seen a second time, mirrored;
            0 for none.
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
        side = self.crop.size
        if crops.ndim != 4 or crops.shape[1:] != (side, side, 3) or crops.dtype != np.uint8:
            raise InputError(f"crops are {crops.dtype} {crops.shape}; give uint8 (N, {side}, {side}, 3)")
        probabilities = self._run(crops)
        unsure = np.flatnonzero(probabilities.max(1, initial=0) < self.sure)
        if len(unsure):
            mirrored = self._run(crops[unsure, :, ::-1])
            probabilities[unsure] = combine(probabilities[unsure], mirrored)
        return probabilities

    def _run(self, crops: Image) -> NDArray[np.float32]:
        # bounded batches keep the memory flat where a picture has hundreds of faces
        parts = [
            self.session.run(None, {self._input: np.ascontiguousarray(crops[i : i + self._batch])})[0]
            for i in range(0, len(crops), self._batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)


def combine(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """What two looks at the same faces say together: the geometric mean of ``(N, K)`` probabilities,
    scaled to rows that sum to 1."""
    mean = np.sqrt(np.maximum(a, 1e-9) * np.maximum(b, 1e-9))
    return np.asarray(mean / mean.sum(1, keepdims=True), np.float32)
