"""Result types: frozen dataclasses over numpy arrays, checked at the edge.

Coordinates are pixels of the picture as stored upright (EXIF orientation applied), origin at the
top left corner; boxes are ``(x1, y1, x2, y2)``. Landmarks are left eye, right eye, nose, left
mouth corner, right mouth corner, left and right as seen in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError

Image = NDArray[np.uint8]
"""``(H, W, 3)`` uint8 RGB."""


class Label(StrEnum):
    """What is on the face. The order of the members is the order of probability columns."""

    MASK = "mask"
    NO_MASK = "no_mask"
    INCORRECT = "incorrect"

    @property
    def violation(self) -> bool:
        """True for everything but a mask over nose and mouth."""
        return self is not Label.MASK


LABELS: tuple[Label, ...] = tuple(Label)

AVERAGE_LANDMARKS: NDArray[np.float32] = np.array(
    [[0.3, 0.38], [0.7, 0.38], [0.5, 0.58], [0.34, 0.77], [0.66, 0.77]], np.float32
)
"""``(5, 2)`` places of an upright face's landmarks, as shares of its box's width and height."""


def _array(value: object, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    try:
        array = np.array(
            value, np.float32
        )  # a copy: the caller's array stays writeable, ours does not change
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be made an array of numbers: {error}") from error
    if array.ndim != len(shape) or any(w not in (-1, g) for w, g in zip(shape, array.shape, strict=True)):
        raise InputError(f"{name} has shape {array.shape}, wanted {shape} (-1: any)")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Faces:
    """Detected faces of one picture, best score first.

    Attributes:
        boxes: ``(N, 4)`` float32, x1, y1, x2, y2 in pixels.
        scores: ``(N,)`` float32 in [0, 1], the detector's confidence.
        landmarks: ``(N, 5, 2)`` float32 pixels; NaN where the detector gives none.

    The arrays are copied and read-only. Raises :class:`~maskgate.errors.InputError` where the shapes
    do not agree.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __post_init__(self) -> None:
        boxes = _array(self.boxes, (-1, 4), "boxes")
        n = len(boxes)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", _array(self.scores, (n,), "scores"))
        object.__setattr__(self, "landmarks", _array(self.landmarks, (n, 5, 2), "landmarks"))

    @classmethod
    def empty(cls) -> Self:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    @classmethod
    def whole_picture(cls, width: int, height: int) -> Self:
        """One upright face that fills a picture of that size, with score 0 as nobody detected it.

        Its landmarks stand where an average face in such a box has them.
        """
        box = np.array([[0, 0, width, height]], np.float32)
        points = AVERAGE_LANDMARKS * np.array([width, height], np.float32)
        return cls(box, np.zeros(1, np.float32), points[None])

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_] | Sequence[int]) -> Faces:
        """The faces at ``index`` (indices or a mask), in that order."""
        chosen = np.asarray(index, np.intp) if len(index) == 0 else np.asarray(index)
        return Faces(self.boxes[chosen], self.scores[chosen], self.landmarks[chosen])

    @property
    def roll(self) -> NDArray[np.float32]:
        """``(N,)`` angle of the eye line to the x axis in degrees, in [-180, 180], positive when
        the picture's right eye is lower; NaN without landmarks."""
        d = self.landmarks[:, 1] - self.landmarks[:, 0]
        return np.asarray(np.degrees(np.arctan2(d[:, 1], d[:, 0])), np.float32)


@dataclass(frozen=True)
class Milliseconds:
    """Time spent on each step, in milliseconds; in a batch, the picture's share of it."""

    decode: float = 0.0
    detect: float = 0.0
    align: float = 0.0
    classify: float = 0.0

    @property
    def total(self) -> float:
        return self.decode + self.detect + self.align + self.classify


@dataclass(frozen=True, eq=False)
class Verdict:
    """One face and what is on it.

    Attributes:
        box: ``(4,)`` float32 pixels.
        score: detector's confidence in [0, 1].
        landmarks: ``(5, 2)`` float32 pixels.
        roll: degrees, see :attr:`Faces.roll`.
        label: see :attr:`Verdicts.labels`.
        probabilities: one value in [0, 1] per label; they sum to 1.
        uncertain: too small, too blurred or too close to call.
    """

    box: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]
    roll: float
    label: Label
    probabilities: dict[Label, float]
    uncertain: bool


@dataclass(frozen=True, eq=False)
class Verdicts:
    """All faces of one picture with their labels; iterating gives a :class:`Verdict` each.

    Attributes:
        width, height: the picture's size in pixels.
        faces: the detected faces.
        probabilities: ``(N, 3)`` float32, columns in the order of :data:`LABELS`, rows sum to 1.
        uncertain: ``(N,)`` bool.
        threshold: P(mask) from which a face counts as masked, in (0, 1).
        milliseconds: time spent.
    """

    width: int
    height: int
    faces: Faces
    probabilities: NDArray[np.float32]
    uncertain: NDArray[np.bool_]
    threshold: float
    milliseconds: Milliseconds = Milliseconds()

    def __post_init__(self) -> None:
        n = len(self.faces)
        object.__setattr__(self, "probabilities", _array(self.probabilities, (n, 3), "probabilities"))
        uncertain = np.array(self.uncertain, np.bool_)
        if uncertain.shape != (n,):
            raise InputError(f"uncertain has shape {uncertain.shape}, wanted ({n},)")
        uncertain.flags.writeable = False
        object.__setattr__(self, "uncertain", uncertain)

    @property
    def labels(self) -> list[Label]:
        """``mask`` where P(mask) reaches the threshold, else the likelier of the other two.

        This keeps the three-class label and the paper's two-class decision from contradicting each
        other.
        """
        p = self.probabilities
        other = np.where(p[:, 1] >= p[:, 2], 1, 2)
        index = np.where(p[:, 0] >= self.threshold, 0, other)
        return [LABELS[i] for i in index]

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Verdict]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Verdict:
        p = self.probabilities[index]
        return Verdict(
            box=self.faces.boxes[index],
            score=float(self.faces.scores[index]),
            landmarks=self.faces.landmarks[index],
            roll=float(self.faces.roll[index]),
            label=self.labels[index],
            probabilities={label: float(v) for label, v in zip(LABELS, p, strict=True)},
            uncertain=bool(self.uncertain[index]),
        )
