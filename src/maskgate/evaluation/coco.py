"""Annotated scenes: a folder with ``images/`` and a COCO ``annotations.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.evaluation.coco_entries import CocoEntry, coco_entries, load_coco
from maskgate.types import LABELS

_SLACK = 1.0
"""Pixels by which a box may cross the picture's edge: what rounding in annotation tools costs."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture and the faces annotated in it.

    Attributes:
        path: the picture's file.
        width, height: pixels, as annotated.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in pixels, inside the picture.
        labels: ``(N,)`` int64, places in :data:`maskgate.types.LABELS`.
        ignore: ``(N,)`` bool, true for a region of many faces (COCO's ``iscrowd``), which is not
            evaluated.
    """

    path: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)


def read_scenes(folder: str | Path) -> list[Scene]:
    """Reads ``folder/annotations.json`` and checks that its pictures lie in ``folder/images/``.

    Categories are found by their names (``mask``, ``no_mask``, ``incorrect``), whatever their ids.
    The scenes come in the file's order, pictures without a face included; pictures that the file
    does not list are left alone. Boxes are cut at the picture's edge. No picture is opened.

    Raises :class:`~maskgate.errors.DataError` where a file is missing or an entry is malformed,
    naming the entry.
    """
    folder = Path(folder)
    file, images = folder / "annotations.json", folder / "images"
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one with images/ and annotations.json")
    if not images.is_dir():
        raise DataError(f"{folder} has no folder images/; put the pictures there")
    content = load_coco(file)
    categories = _categories(coco_entries(file, content, "categories"))
    pictures = _pictures(coco_entries(file, content, "images"), images)
    if not pictures:
        raise DataError(f"{file}: 'images' is empty; list at least one picture")

    faces: dict[int | str, list[tuple[list[float], int, bool]]] = defaultdict(list)
    for entry in coco_entries(file, content, "annotations"):
        image, category = entry.identifier("image_id"), entry.identifier("category_id")
        if image not in pictures:
            raise entry.fail(f"has image_id {image!r}, which 'images' does not list")
        if category not in categories:
            raise entry.fail(f"has category_id {category!r}, which 'categories' does not list")
        _, width, height = pictures[image]
        crowd = entry.fields.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise entry.fail(f"has iscrowd {crowd!r}; give 0 or 1")
        faces[image].append((_corners(entry, width, height), categories[category], bool(crowd)))

    return [_scene(path, w, h, faces[image]) for image, (path, w, h) in pictures.items()]


def _scene(path: Path, width: int, height: int, faces: list[tuple[list[float], int, bool]]) -> Scene:
    boxes = np.array([face[0] for face in faces], np.float32).reshape(-1, 4)
    labels = np.array([face[1] for face in faces], np.int64)
    ignore = np.array([face[2] for face in faces], np.bool_)
    for array in (boxes, labels, ignore):
        array.flags.writeable = False
    return Scene(path, width, height, boxes, labels, ignore)


def _categories(entries: Iterable[CocoEntry]) -> dict[int | str, int]:
    """Category id to place in :data:`LABELS`."""
    known = [str(label) for label in LABELS]
    places: dict[int | str, int] = {}
    for entry in entries:
        name, identifier = entry.get("name"), entry.identifier("id")
        if name not in known:
            raise entry.fail(f"is named {name!r}; the names are {', '.join(known)}")
        if identifier in places or known.index(name) in places.values():
            raise entry.fail(f"repeats the id or name of another category ({identifier!r}, {name!r})")
        places[identifier] = known.index(name)
    return places


def _pictures(entries: Iterable[CocoEntry], images: Path) -> dict[int | str, tuple[Path, int, int]]:
    """Image id to file, width and height."""
    pictures: dict[int | str, tuple[Path, int, int]] = {}
    seen: set[Path] = set()
    for entry in entries:
        identifier, path = entry.identifier("id"), entry.picture(images)
        if identifier in pictures or path in seen:
            name = entry.get("file_name")
            raise entry.fail(f"repeats the id or file of another picture ({identifier!r}, {name!r})")
        seen.add(path)
        pictures[identifier] = path, entry.pixels("width"), entry.pixels("height")
    return pictures


def _corners(entry: CocoEntry, width: int, height: int) -> list[float]:
    """x1, y1, x2, y2 from COCO's x, y, width, height, cut at the picture's edge."""
    x, y, w, h = box = entry.box()
    if w <= 0 or h <= 0:
        raise entry.fail(f"has bbox {box!r}; width and height must be above 0")
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    outside = min(x, y) < -_SLACK or x + w > width + _SLACK or y + h > height + _SLACK
    if outside or x1 >= x2 or y1 >= y2:
        raise entry.fail(f"has bbox {box!r}, which lies outside its picture of {width}×{height} pixels")
    return [x1, y1, x2, y2]
