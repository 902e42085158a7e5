"""Two ways of drawing a face's box, brought together.

The published detectors learnt WIDER FACE's boxes, forehead to chin. People who annotate masks draw theirs
from the brows down and not as low. A network that is told one for photographs and the other for scenes
learns to guess which picture it sees; whoever compares its boxes with his own may draw either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maskgate.detection.boxes import iou
from maskgate.errors import DataError
from maskgate.training.detector_data import LabelledPicture
from maskgate.types import Faces

FEWEST = 20
"""Pairs of boxes that a style is fitted to, at least."""


@dataclass(frozen=True)
class BoxRecipe:
    """``[boxes]`` of a recipe.

    Attributes:
        towards_drawn: 0 brings all boxes to the teacher's style, 1 to that of people, between is between.
    """

    towards_drawn: float

    def __post_init__(self) -> None:
        if not 0 <= self.towards_drawn <= 1:
            raise DataError(f"[boxes] has towards_drawn = {self.towards_drawn}; give 0 to 1")


@dataclass(frozen=True, eq=False)
class BoxStyle:
    """How drawn boxes differ from a teacher's: ``offsets`` ``(4,)`` of left, top, right and lower edge, in
    widths and heights of the teacher's box, right and down positive."""

    offsets: NDArray[np.float32]

    def move(self, boxes: NDArray[np.float32], share: float) -> NDArray[np.float32]:
        """Boxes ``(N, 4)`` in the teacher's style, moved so far towards the drawn one."""
        moved = boxes + share * self.offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        return np.asarray(moved, np.float32)

    def undo(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Drawn boxes ``(N, 4)`` in the teacher's style: ``undo(move(b, 1))`` is ``b``."""
        sides = (boxes[:, 2:] - boxes[:, :2]) / (1 + self.offsets[2:] - self.offsets[:2])
        return np.asarray(boxes - self.offsets * np.tile(sides, 2), np.float32)


def fit_box_style(pairs: Iterable[tuple[NDArray[np.float32], Faces]]) -> BoxStyle:
    """The median difference over the faces of pictures, each given by its drawn boxes ``(N, 4)`` and the
    teacher's faces.

    Raises :class:`~maskgate.errors.DataError` where fewer than FEWEST faces have both boxes.
    """
    rows = [np.zeros((0, 4), np.float32)]
    for drawn, faces in pairs:
        if not len(drawn) or not len(faces):
            continue
        overlap = iou(drawn, faces.boxes)
        nearest = overlap.argmax(1)
        same = (overlap.max(1) > 0.4) & (faces.scores[nearest] > 0.5)
        own = faces.boxes[nearest[same]]
        rows.append((drawn[same] - own) / np.tile(own[:, 2:] - own[:, :2], 2))
    differences = np.concatenate(rows)
    if len(differences) < FEWEST:
        raise DataError(
            f"[boxes] needs {FEWEST} faces that people drew and the teacher found, and there are "
            f"{len(differences)}; give more scenes or leave [boxes] out"
        )
    return BoxStyle(np.median(differences, 0).astype(np.float32))


def restyle(picture: LabelledPicture, style: BoxStyle, share: float, *, drawn: bool) -> LabelledPicture:
    """The picture with its faces' boxes moved to ``share`` between the teacher's style and the drawn one;
    ``drawn`` says which of these they have. Regions to ignore stay."""
    boxes = style.undo(picture.boxes) if drawn else picture.boxes
    return replace(picture, boxes=style.move(boxes, share))
