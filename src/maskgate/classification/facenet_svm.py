"""FaceNet's embedding of a face and a support vector machine on it (Ejaz and Islam 2019)."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.classification.crops import check_crops
from maskgate.classification.svm import SupportVectorMachine
from maskgate.errors import InputError
from maskgate.types import Image

NETWORK, MACHINE = "facenet.onnx", "svm.npz"
"""Parts of the model's bundle."""

SIZE = 160
"""Side in pixels of the faces that FaceNet takes."""


class FaceNet:
    """Embeddings of faces from an ONNX session.

    The session takes ``(N, 160, 160, 3)`` uint8 RGB crops and gives ``(N, D)`` float32 vectors of
    length 1; the whitening of each picture is part of the graph.

    Args:
        session: the network.
        batch: at most so many crops go through it at once.
    """

    def __init__(self, session: ort.InferenceSession, batch: int = 32) -> None:
        self.session = session
        self.width = int(session.get_outputs()[0].shape[1])
        self._batch = batch
        self._input = session.get_inputs()[0].name

    def embed(self, crops: Image) -> NDArray[np.float32]:
        """``(N, D)`` embeddings of ``(N, 160, 160, 3)`` uint8 RGB crops.

        Raises :class:`~maskgate.errors.InputError` where the crops have another shape or type.
        """
        check_crops(crops, SIZE)
        parts = [
            self.session.run(None, {self._input: np.ascontiguousarray(crops[i : i + self._batch])})[0]
            for i in range(0, len(crops), self._batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)


class FaceNetSvmClassifier:
    """Class probabilities from a face's embedding.

    Args:
        facenet: embeds crops.
        svm: over vectors of the embedding's width.
        crop: how faces are cut; 160 pixels.
        threshold: P(mask) from which a face counts as masked.
        name: of the model.

    Raises :class:`~maskgate.errors.InputError` where these do not go together.
    """

    def __init__(
        self,
        facenet: FaceNet,
        svm: SupportVectorMachine,
        crop: CropSpec,
        threshold: float = 0.5,
        name: str = "facenet-svm",
    ) -> None:
        if crop.size != SIZE:
            raise InputError(f"crops are of {crop.size} pixels; FaceNet takes {SIZE}")
        if svm.vectors.shape[1] != facenet.width:
            raise InputError(
                f"the support vectors have {svm.vectors.shape[1]} numbers and the embeddings {facenet.width}"
            )
        self.name = name
        self.crop = crop
        self.threshold = threshold
        self.facenet = facenet
        self.svm = svm

    def classify(self, crops: Image) -> NDArray[np.float32]:
        """``(N, 3)`` probabilities of ``(N, 160, 160, 3)`` uint8 RGB crops; rows sum to 1.

        Raises :class:`~maskgate.errors.InputError` where the crops have another shape or type.
        """
        return self.svm.probabilities(self.facenet.embed(crops))
