"""Support vector machines as arrays: one against the rest for each label, and a calibration.

What :mod:`maskgate.training.facenet_svm` fits with scikit-learn is kept as plain numbers and computed
here in NumPy, so that no pickle is ever read and scikit-learn is not needed to classify.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.classification.softmax import softmax
from maskgate.errors import InputError
from maskgate.models.fitted import fitted_from_bytes, fitted_to_bytes
from maskgate.types import LABELS


@dataclass(frozen=True, eq=False)
class SupportVectorMachine:
    """A machine for each label, over the same V vectors of D numbers.

    The decision values are ``d(x) = coefficients · k(vectors, x) + intercepts``, where k is the scalar
    product, or with ``gamma`` above 0 exp(-gamma ‖v - x‖²) (Cortes and Vapnik 1995). The probabilities
    are the softmax of ``weights · d + bias``: Platt's scaling for several classes.

    Attributes:
        vectors: ``(V, D)`` float32; the weights themselves for a linear kernel.
        coefficients: ``(3, V)`` float32, rows in the order of :data:`maskgate.types.LABELS`.
        intercepts: ``(3,)`` float32.
        gamma: ``()`` float32 of the kernel exp(-gamma ‖v - x‖²); 0 for the scalar product.
        weights: ``(3, 3)`` float32 of the calibration.
        bias: ``(3,)`` float32 of the calibration; -inf for a label that no face had.

    Raises :class:`~maskgate.errors.InputError` where shapes or values do not agree.
    """

    vectors: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    gamma: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or 0 in self.vectors.shape:
            raise InputError(f"vectors have shape {self.vectors.shape}, wanted (V, D)")
        n = len(LABELS)
        shapes = {
            "coefficients": (n, len(self.vectors)), "intercepts": (n,), "gamma": (), "weights": (n, n),
            "bias": (n,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"{name} has shape {getattr(self, name).shape}, wanted {shape}")
        for name in ("vectors", "coefficients", "intercepts", "gamma", "weights"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{name} has values that are not finite")
        if self.gamma < 0:
            raise InputError(f"gamma is {float(self.gamma)}; it is at least 0")
        if np.isnan(self.bias).any() or np.isposinf(self.bias).any() or not np.isfinite(self.bias).any():
            raise InputError("bias has values that are neither finite nor -inf, or no finite one")

    def decisions(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """``(N, 3)`` decision values of ``(N, D)`` inputs: above 0 where a label is likely."""
        v, x = self.vectors.astype(np.float64), x.astype(np.float64)
        kernel = x @ v.T
        if self.gamma > 0:
            squares = (x**2).sum(1)[:, None] + (v**2).sum(1) - 2 * kernel
            kernel = np.exp(-float(self.gamma) * np.maximum(squares, 0))
        return np.asarray(kernel @ self.coefficients.T.astype(np.float64) + self.intercepts, np.float64)

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(N, 3)`` float32 of ``(N, D)`` inputs; rows sum to 1."""
        scores = self.decisions(x) @ self.weights.T.astype(np.float64) + self.bias
        return np.asarray(softmax(scores), np.float32)


def svm_to_bytes(svm: SupportVectorMachine) -> bytes:
    """The arrays as an ``.npz``."""
    return fitted_to_bytes(svm)


def svm_from_bytes(data: bytes) -> SupportVectorMachine:
    """What :func:`svm_to_bytes` wrote; nothing in the file is executed.

    Raises :class:`~maskgate.errors.InputError` where it is something else.
    """
    return fitted_from_bytes(data, SupportVectorMachine, "a support vector machine")
