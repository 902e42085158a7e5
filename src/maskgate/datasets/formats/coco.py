"""COCO: pictures in ``images/``, all boxes in ``annotations.json``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation, fit_box
from maskgate.datasets.output import write_json
from maskgate.evaluation.coco_entries import CocoEntry, coco_entries, load_coco

FILE, PICTURES = "annotations.json", "images"

_DIGITS = 4


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
    content = load_coco(file)
    labels = {e.identifier("id"): e.text("name") for e in coco_entries(file, content, "categories")}
    pictures: dict[int | str, CocoEntry] = {}
    names: set[PurePosixPath] = set()
    for entry in coco_entries(file, content, "images"):
        if pictures.setdefault(entry.identifier("id"), entry) is not entry:
            raise entry.fail(f"repeats the id {entry.identifier('id')!r} of another picture")
        name = PurePosixPath(entry.text("file_name"))
        if name in names:
            raise entry.fail(f"repeats the file_name {str(name)!r} of another picture")
        names.add(name)
    boxes: dict[int | str, list[Annotation]] = defaultdict(list)
    for entry in coco_entries(file, content, "annotations"):
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
