"""Annotated pictures in no format's own terms: what all box formats are read to and written from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from maskgate.errors import DataError, ImageError
from maskgate.images.headers import read_header
from maskgate.types import LABELS

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, top-left origin; x2 and y2 are where the box ends, not its last pixel."""

_SLACK = 1.0
"""Pixels by which a box may cross the picture's edge: what rounding in annotation tools costs."""


@dataclass(frozen=True)
class Annotation:
    """One box, its label, and whether it is left out of evaluations (a crowd, a difficult one)."""

    label: str
    box: Corners
    ignore: bool = False


@dataclass(frozen=True)
class AnnotatedPicture:
    """One picture: its file, its path below the set's folder of pictures, its size and its boxes."""

    path: Path
    name: PurePosixPath
    width: int
    height: int
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class AnnotatedSet:
    """``labels`` in the order of their class numbers, and the pictures."""

    labels: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]

    @property
    def counts(self) -> Counter[str]:
        """Boxes by label."""
        return Counter(a.label for picture in self.pictures for a in picture.annotations)

    def rename(self, names: Mapping[str, str]) -> AnnotatedSet:
        """The set with other labels; labels that get one name become one.

        Raises :class:`~maskgate.errors.DataError` for a name that no label has.
        """
        for name in names:
            if name not in self.labels:
                raise DataError(f"no label is named {name!r}; there are {', '.join(self.labels) or 'none'}")
        labels = dict.fromkeys(names.get(label, label) for label in self.labels)
        pictures = [
            replace(
                p, annotations=tuple(replace(a, label=names.get(a.label, a.label)) for a in p.annotations)
            )
            for p in self.pictures
        ]
        return AnnotatedSet(tuple(labels), tuple(pictures))


def order_labels(labels: set[str]) -> tuple[str, ...]:
    """For formats without class numbers: ours first, in their order, then the others by name."""
    ours = [str(label) for label in LABELS if label in labels]
    return (*ours, *sorted(labels.difference(ours)))


def check_labels(labels: Iterable[str]) -> None:
    """Raises :class:`~maskgate.errors.DataError` for a label that is no plain text of one line."""
    for label in labels:
        if not label or not label.isprintable() or label != label.strip():
            raise DataError(
                f"the label {label!r} is no plain text of one line; give it another with --rename"
            )


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the picture as it is shown, upright, from its header.

    Raises :class:`~maskgate.errors.DataError` where it is missing or no picture.
    """
    try:
        header = read_header(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ImageError as error:
        raise DataError(str(error)) from error
    if header.orientation >= 5:
        return header.height, header.width
    return header.width, header.height


def fit_box(box: Corners, width: int, height: int, where: str) -> Corners:
    """The box cut at the picture's edge.

    Raises :class:`~maskgate.errors.DataError`, with ``where`` in front, for a box that is empty or
    crosses the edge by more than what rounding explains.
    """
    x1, y1, x2, y2 = box
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if not (x1 < x2 and y1 < y2):  # NaN too
        raise DataError(f"{where} has an empty box {_shown(box)}; width and height must be above 0")
    outside = min(x1, y1) < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK
    if outside or inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise DataError(
            f"{where} has a box {_shown(box)} that lies outside its picture of {width}×{height} pixels"
        )
    return inside


def _shown(box: Corners) -> str:
    return "(" + ", ".join(f"{v:g}" for v in box) + ")"


def find_in(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first folder or file of ``names`` below ``folder``, None where there is none."""
    return next((folder / name for name in names if (folder / name).exists()), None)
