"""YOLO: pictures in ``images/``, a text file for each in ``labels/``, the classes in ``classes.txt``.

A line is ``class cx cy w h``: the class's number from 0, then the box's centre and size as shares
of the picture's width and height.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath

from maskgate.datasets.annotations import (
    AnnotatedPicture,
    AnnotatedSet,
    Annotation,
    Corners,
    check_labels,
    fit_box,
    picture_size,
)
from maskgate.datasets.output import write_whole
from maskgate.errors import DataError, InputError
from maskgate.images import find_images

PICTURES, LABELS, CLASSES, DATA = "images", "labels", "classes.txt", "data.yaml"


def is_yolo(folder: Path) -> bool:
    """Does the folder look like this format?"""
    return (folder / LABELS).is_dir()


def read_yolo(folder: Path) -> AnnotatedSet:
    """Pictures in ``images/`` with their boxes in ``labels/``; one without a file has none.

    The classes are the lines of ``classes.txt`` or the ``names`` of ``data.yaml``.

    Raises :class:`~maskgate.errors.DataError` naming the file and line that is malformed.
    """
    images, labels = folder / PICTURES, folder / LABELS
    if not images.is_dir() or not labels.is_dir():
        raise DataError(f"{folder} is no YOLO set; it wants images/ and labels/")
    classes = _read_classes(folder)
    try:
        paths = find_images([images])
    except InputError as error:
        raise DataError(str(error)) from error
    known: dict[Path, Path] = {}
    for path in paths:
        file = (labels / path.relative_to(images)).with_suffix(".txt")
        if known.setdefault(file, path) is not path:
            raise DataError(f"{path} and {known[file]} share {file}; rename one of them")
    for file in sorted(labels.rglob("*.txt")):
        if file not in known and file.name != CLASSES:
            raise DataError(f"{file} has no picture of its name in {images}; add the picture or remove it")
    return AnnotatedSet(
        tuple(dict.fromkeys(classes)),
        tuple(_read_picture(path, file, images, classes) for file, path in known.items()),
    )


def _read_picture(path: Path, file: Path, images: Path, classes: list[str]) -> AnnotatedPicture:
    width, height = picture_size(path)
    found = []
    for number, line in enumerate(_read_lines(file) if file.exists() else [], 1):
        if line.strip():
            where = f"{file}: line {number}"
            label, box = _parse_line(line, classes, width, height, where)
            found.append(Annotation(label, fit_box(box, width, height, where)))
    name = PurePosixPath(path.relative_to(images).as_posix())
    return AnnotatedPicture(path, name, width, height, tuple(found))


def _parse_line(line: str, classes: list[str], width: int, height: int, where: str) -> tuple[str, Corners]:
    words = line.split()
    if len(words) != 5:
        raise DataError(f"{where} has {len(words)} fields; give five: class, centre x, y, width, height")
    if not words[0].isdecimal() or int(words[0]) >= len(classes):
        wanted = (
            f"a number from 0 to {len(classes) - 1}" if classes else "no boxes where there are no classes"
        )
        raise DataError(f"{where} has class {words[0]}; give {wanted}")
    try:
        cx, cy, w, h = (float(word) for word in words[1:])
    except ValueError:
        cx = cy = w = h = math.nan
    if not all(math.isfinite(v) for v in (cx, cy, w, h)):
        raise DataError(f"{where} has {' '.join(words[1:])!r}; give four numbers from 0 to 1")
    corners = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
    return classes[int(words[0])], corners


def _read_classes(folder: Path) -> list[str]:
    for file in (folder / CLASSES, folder / LABELS / CLASSES):
        if file.is_file():
            names = [line.strip() for line in _read_lines(file)]
            while names and not names[-1]:
                names.pop()
            if not all(names):
                raise DataError(f"{file} has an empty line between classes; give one class a line")
            return names
    if (folder / DATA).is_file():
        return _names_of_yaml(folder / DATA)
    raise DataError(f"{folder} has no {CLASSES} and no {DATA}; list the classes there, one a line")


def _names_of_yaml(file: Path) -> list[str]:
    """``names`` of the YAML that YOLO's trainers read: ``[a, b]``, ``- a`` or ``0: a`` lines."""
    text = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in _read_lines(file))
    inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    block = re.search(r"^names:[ \t]*\n((?:[ \t]*(?:-|\d+:)[ \t].*\n?)+)", text, re.MULTILINE)
    if inline:
        names = inline[1].split(",")
    elif block:
        names = [re.sub(r"^\s*(?:-|\d+:)\s*", "", line) for line in block[1].splitlines()]
    else:
        names = []
    names = [name.strip().strip("'\"") for name in names]
    if not names or not all(names):
        raise DataError(f"{file} has no list 'names' that can be read; put the classes into {CLASSES}")
    return names


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8") from error


def write_yolo(annotated: AnnotatedSet, folder: Path) -> int:
    """Writes ``labels/``, ``classes.txt`` and ``data.yaml``; shares have ten decimals.

    The format cannot mark a box as one to ignore: such ones are left out. Gives their number.

    Raises :class:`~maskgate.errors.DataError` where two pictures differ in their extensions only, or
    a label is none that a line can hold.
    """
    number = {label: i for i, label in enumerate(annotated.labels)}
    check_labels(annotated.labels)
    left_out = 0
    files: dict[PurePosixPath, PurePosixPath] = {}
    for picture in annotated.pictures:
        name = picture.name.with_suffix(".txt")
        if files.setdefault(name, picture.name) != picture.name:
            raise DataError(f"{picture.name} and {files[name]} would share {name}; rename one of them")
        lines = []
        for annotation in picture.annotations:
            if annotation.ignore:
                left_out += 1
                continue
            x1, y1, x2, y2 = annotation.box
            shares = (
                (x1 + x2) / 2 / picture.width,
                (y1 + y2) / 2 / picture.height,
                (x2 - x1) / picture.width,
                (y2 - y1) / picture.height,
            )
            lines.append(f"{number[annotation.label]} " + " ".join(f"{v:.10f}" for v in shares) + "\n")
        write_whole(folder / LABELS / name, "".join(lines).encode())
    write_whole(folder / CLASSES, "".join(f"{label}\n" for label in number).encode())
    names = "".join(f"  {i}: {json.dumps(label)}\n" for label, i in number.items())
    write_whole(folder / DATA, f"train: {PICTURES}\nval: {PICTURES}\nnames:\n{names}".encode())
    return left_out
