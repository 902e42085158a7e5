"""COCO: pictures in ``images/``, all boxes in ``annotations.json``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation, fit_box
from maskgate.datasets.output import write_json
from maskgate.errors import DataError

FILE, PICTURES = "annotations.json", "images"

_DIGITS = 4
_FAR = 1e9


def is_coco(folder: Path) -> bool:
    """Does the folder look like this format?"""
    return (folder / FILE).is_file()


def read_coco(folder: Path) -> AnnotatedSet:
    """Pictures and boxes of ``folder``, with whatever categories they have, ordered by their ids.

    ``bbox`` is ``[x, y, width, height]`` in pixels; ``iscrowd`` becomes ``ignore``. Pictures
    without boxes are included.

    Raises :class:`~maskgate.errors.DataError` naming the file and the entry that is malformed.
    """
    file = folder / FILE
    content = _load(file)
    labels = {e.identifier("id"): e.text("name") for e in _entries(file, content, "categories")}
    pictures: dict[int | str, _Entry] = {}
    names: set[PurePosixPath] = set()
    for entry in _entries(file, content, "images"):
        if pictures.setdefault(entry.identifier("id"), entry) is not entry:
            raise entry.fail(f"repeats the id {entry.identifier('id')!r} of another picture")
        name = PurePosixPath(entry.text("file_name"))
        if name in names:
            raise entry.fail(f"repeats the file_name {str(name)!r} of another picture")
        names.add(name)
    boxes: dict[int | str, list[Annotation]] = defaultdict(list)
    for entry in _entries(file, content, "annotations"):
        image, category = entry.identifier("image_id"), entry.identifier("category_id")
        if image not in pictures:
            raise entry.fail(f"has image_id {image!r}, which 'images' does not list")
        if category not in labels:
            raise entry.fail(f"has category_id {category!r}, which 'categories' does not list")
        x, y, w, h = entry.box()
        width, height = pictures[image].pixels("width"), pictures[image].pixels("height")
        box = fit_box((x, y, x + w, y + h), width, height, f"{file}: {entry.place}")
        boxes[image].append(Annotation(labels[category], box, entry.fields.get("iscrowd", 0) == 1))
    ordered = sorted(labels, key=lambda identifier: (isinstance(identifier, str), str(identifier).zfill(20)))
    return AnnotatedSet(
        tuple(dict.fromkeys(labels[identifier] for identifier in ordered)),
        tuple(
            AnnotatedPicture(
                entry.picture(folder / PICTURES),
                PurePosixPath(entry.text("file_name")),
                entry.pixels("width"),
                entry.pixels("height"),
                tuple(boxes[identifier]),
            )
            for identifier, entry in pictures.items()
        ),
    )


def write_coco(annotated: AnnotatedSet, folder: Path) -> None:
    """Writes ``folder/annotations.json``; ids count from 1, pixels have four decimals."""
    number = {label: i for i, label in enumerate(annotated.labels, 1)}
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for i, picture in enumerate(annotated.pictures, 1):
        images.append(
            {"id": i, "file_name": str(picture.name), "width": picture.width, "height": picture.height}
        )
        for annotation in picture.annotations:
            x1, y1, x2, y2 = annotation.box
            bbox = [round(v, _DIGITS) for v in (x1, y1, x2 - x1, y2 - y1)]
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": i,
                    "category_id": number[annotation.label],
                    "bbox": bbox,
                    "area": round(bbox[2] * bbox[3], _DIGITS),
                    "iscrowd": int(annotation.ignore),
                }
            )
    categories = [{"id": i, "name": label} for label, i in number.items()]
    write_json(folder / FILE, {"images": images, "annotations": boxes, "categories": categories})


@dataclass(frozen=True)
class _Entry:
    """One object of a list in the file, which knows its place for error messages."""

    file: Path
    place: str
    fields: Mapping[str, Any]

    def fail(self, problem: str) -> DataError:
        return DataError(f"{self.file}: {self.place} {problem}")

    def get(self, key: str) -> Any:
        if key not in self.fields:
            raise self.fail(f"has no {key!r}; COCO wants one")
        return self.fields[key]

    def identifier(self, key: str) -> int | str:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.fail(f"has {key} {value!r}; give a whole number")
        return value

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not value:
            raise self.fail(f"has {key} {value!r}; give a text")
        return value

    def pixels(self, key: str) -> int:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fail(f"has {key} {value!r}; give a whole number of pixels, at least 1")
        return value

    def box(self) -> list[float]:
        value = self.get("bbox")
        if not (
            isinstance(value, list)
            and len(value) == 4
            and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _FAR for v in value)
        ):
            raise self.fail(f"has bbox {value!r}; give four numbers: x, y, width, height")
        return [float(v) for v in value]

    def picture(self, images: Path) -> Path:
        name = self.text("file_name")
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or "\0" in name:
            raise self.fail(f"has file_name {name!r}, which leads out of {PICTURES}/")
        if not (images / relative).is_file():
            raise self.fail(f"has file_name {name!r}, but {images / relative} is missing")
        return images / relative


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object; COCO has 'images', 'annotations' and 'categories'")
    return content


def _entries(file: Path, content: Mapping[str, Any], name: str) -> list[_Entry]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise DataError(f"{file} has no list {name!r}; COCO wants 'images', 'annotations' and 'categories'")
    for i, fields in enumerate(entries):
        if not isinstance(fields, dict):
            raise DataError(f"{file}: {name}[{i}] is not an object")
    return [_Entry(file, f"{name}[{i}]", fields) for i, fields in enumerate(entries)]
