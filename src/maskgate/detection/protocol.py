"""What every face detector offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maskgate.types import Faces, Image


@runtime_checkable
class Detector(Protocol):
    """Finds faces.

    Attributes:
        name: what users choose it by.
    """

    name: str

    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Faces of each ``(H, W, 3)`` uint8 RGB picture, in its pixels, best score first.

        The pictures may differ in size. As many results as pictures, in their order; no picture
        gives an empty list.
        """
        ...


@dataclass(frozen=True, eq=False)
class LabelledFaces:
    """Faces of one picture, and what is on them.

    Attributes:
        faces: N faces, best score first.
        probabilities: ``(N, 3)`` float32, columns in the order of :data:`~maskgate.types.LABELS`, rows sum
            to 1; ``(N, 0)`` where nobody says anything.
    """

    faces: Faces
    probabilities: NDArray[np.float32]

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> LabelledFaces:
        """The faces at ``index`` (indices or a mask), in that order."""
        return LabelledFaces(self.faces.select(index), self.probabilities[index])


@runtime_checkable
class MaskFinder(Detector, Protocol):
    """A detector that also says what is on the faces: no classifier is needed.

    Attributes:
        threshold: P(mask) from which a face counts as masked, in (0, 1).
    """

    threshold: float

    def find(self, images: Sequence[Image]) -> list[LabelledFaces]:
        """As :meth:`Detector.detect`, with the probabilities of each face's labels."""
        ...

    def judge(self, image: Image, faces: Faces) -> NDArray[np.float32]:
        """``(N, 3)`` probabilities of N faces of a picture whose places are told; rows sum to 1."""
        ...
