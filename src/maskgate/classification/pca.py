"""Faces as sums of eigenfaces: principal components of aligned grey crops (Turk and Pentland 1991).

Ejaz et al. 2019 recognise people with and without masks this way; here the same statistic says what
is on the face. A crop becomes grey, is brought to mean 0 and standard deviation 1 (light is the
weakness of eigenfaces), and is projected on the components. Two rules decide from the projections,
each divided by its component's standard deviation: the nearest mean of a class, or a linear
classifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.alignment import CropSpec
from maskgate.classification.crops import check_crops
from maskgate.classification.softmax import softmax
from maskgate.errors import InputError
from maskgate.models.fitted import fitted_from_bytes, fitted_to_bytes
from maskgate.types import LABELS, Image

Rule = Literal["nearest-mean", "linear"]
"""How projections become an answer."""


@dataclass(frozen=True, eq=False)
class Eigenfaces:
    """What was fitted: K components of crops of S × S pixels.

    Attributes:
        mean: ``(S²,)`` float32, the mean face, as :func:`grey_vectors` makes vectors.
        components: ``(K, S²)`` float32, rows of length 1, the largest variance first.
        deviations: ``(K,)`` float32 above 0, standard deviation along each component.
        centres: ``(3, K)`` float32, mean of each label's projections; NaN for a label that no face had.
        weights: ``(3, K)`` float32 of the linear classifier.
        bias: ``(3,)`` float32 of the linear classifier; -inf for a label that no face had.

    Raises :class:`~maskgate.errors.InputError` where shapes or values do not agree.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    deviations: NDArray[np.float32]
    centres: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.components.ndim != 2:
            raise InputError(f"components have shape {self.components.shape}, wanted (K, S²)")
        k, pixels = self.components.shape
        n = len(LABELS)
        shapes = {"mean": (pixels,), "deviations": (k,), "centres": (n, k), "weights": (n, k), "bias": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"{name} has shape {getattr(self, name).shape}, wanted {shape}")
        if math.isqrt(pixels) ** 2 != pixels:
            raise InputError(f"the components have {pixels} pixels, which fill no square")
        for name in ("mean", "components", "deviations", "weights"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{name} has values that are not finite")
        if not (self.deviations > 0).all():
            raise InputError("deviations has values that are not above 0")
        if np.isnan(self.bias).any() or np.isposinf(self.bias).any() or not np.isfinite(self.bias).any():
            raise InputError("bias has values that are neither finite nor -inf, or no finite one")
        if np.isnan(self.centres).all():
            raise InputError("centres has no label with values")

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return math.isqrt(len(self.mean))

    def __len__(self) -> int:
        return len(self.components)

    def project(self, crops: Image) -> NDArray[np.float32]:
        """``(N, K)`` projections of ``(N, S, S, 3)`` uint8 crops, in standard deviations."""
        return np.asarray((grey_vectors(crops) - self.mean) @ self.components.T / self.deviations, np.float32)

    def scores(self, projections: NDArray[np.float32], rule: Rule) -> NDArray[np.float64]:
        """``(N, 3)`` scores, columns as :data:`~maskgate.types.LABELS`: probabilities are their softmax.

        Linear ones, or minus half the squared distance to each mean (what all labels share is left
        out); -inf for a label that no face had.
        """
        if rule == "linear":
            weights, bias = self.weights, self.bias
        else:
            weights = np.nan_to_num(self.centres)
            bias = np.where(np.isnan(self.centres).any(1), -np.inf, -0.5 * (weights**2).sum(1))
        return np.asarray(projections.astype(np.float64) @ weights.T + bias, np.float64)


def grey_vectors(crops: Image) -> NDArray[np.float32]:
    """``(N, S²)`` float32 of ``(N, S, S, 3)`` uint8 RGB crops: grey, each with mean 0 and standard
    deviation 1 (0 throughout where all pixels are equal)."""
    grey = np.empty(crops.shape[:3], np.float32)
    for plane, crop in zip(grey, crops, strict=True):
        plane[:] = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    flat = grey.reshape(len(crops), crops.shape[1] * crops.shape[2])
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(flat.std(1, keepdims=True), 1e-3), np.float32)


def eigenfaces_to_bytes(eigenfaces: Eigenfaces) -> bytes:
    """The arrays as an ``.npz``; the same bytes for the same arrays."""
    return fitted_to_bytes(eigenfaces)


def eigenfaces_from_bytes(data: bytes) -> Eigenfaces:
    """What :func:`eigenfaces_to_bytes` wrote; nothing in the file is executed.

    Raises :class:`~maskgate.errors.InputError` where it is something else.
    """
    return fitted_from_bytes(data, Eigenfaces, "eigenfaces")


class PCAClassifier:
    """Class probabilities from eigenfaces; no network.

    Args:
        eigenfaces: what was fitted.
        crop: how faces are cut for it; its size is that of the eigenfaces.
        rule: ``"nearest-mean"`` or ``"linear"``.
        threshold: P(mask) from which a face counts as masked.
        temperature: above 0, divides the scores before the softmax.
        name: of the model.

    Raises :class:`~maskgate.errors.InputError` where crop and eigenfaces differ in size.
    """

    def __init__(
        self,
        eigenfaces: Eigenfaces,
        crop: CropSpec,
        rule: Rule = "linear",
        threshold: float = 0.5,
        temperature: float = 1.0,
        name: str = "pca",
    ) -> None:
        if crop.size != eigenfaces.size:
            raise InputError(f"the eigenfaces are of {eigenfaces.size} pixels and crops of {crop.size}")
        self.name = name
        self.crop = crop
        self.threshold = threshold
        self.eigenfaces = eigenfaces
        self.rule = rule
        self.temperature = temperature

    def classify(self, crops: Image) -> NDArray[np.float32]:
        """``(N, 3)`` probabilities of ``(N, S, S, 3)`` uint8 RGB crops; rows sum to 1.

        Raises :class:`~maskgate.errors.InputError` where the crops have another shape or type.
        """
        check_crops(crops, self.crop.size)
        scores = self.eigenfaces.scores(self.eigenfaces.project(crops), self.rule)
        return np.asarray(softmax(scores, self.temperature), np.float32)
