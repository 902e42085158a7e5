"""What every face detector offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
