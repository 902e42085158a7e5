"""Pascal VOC: pictures in ``JPEGImages/``, an XML file for each in ``Annotations/``.

VOC's own sets count pixels from 1 and name the last one inside; most sets of today, and the tools
that they are drawn with, write plain coordinates. Plain is the default here, ``from_one`` the other.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from maskgate.datasets.annotations import (
    AnnotatedPicture,
    AnnotatedSet,
    Annotation,
    Corners,
    check_labels,
    find_in,
    fit_box,
    order_labels,
    picture_size,
)
from maskgate.datasets.output import write_whole
from maskgate.errors import DataError
from maskgate.images import EXTENSIONS

FOLDERS, PICTURE_FOLDERS = ("Annotations", "annotations"), ("JPEGImages", "images")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def is_voc(folder: Path) -> bool:
    """Does the folder look like this format?"""
    found = find_in(folder, FOLDERS)
    return found is not None and any(found.rglob("*.xml"))


def read_voc(folder: Path, *, from_one: bool = False) -> AnnotatedSet:
    """Pictures and boxes of ``folder``: XML in ``Annotations/``, pictures in ``JPEGImages/`` or ``images/``.

    ``difficult`` becomes ``ignore``. The labels are ours first, then the others by name. Each file's
    picture has the file's name, or else the name that ``filename`` states.

    Raises :class:`~maskgate.errors.DataError` naming the file and the field that is malformed.
    """
    annotations, images = find_in(folder, FOLDERS), find_in(folder, PICTURE_FOLDERS)
    if annotations is None or images is None:
        raise DataError(f"{folder} is no Pascal VOC set; it wants Annotations/ and JPEGImages/ or images/")
    files = sorted(annotations.rglob("*.xml"))
    if not files:
        raise DataError(f"{annotations} has no XML file; put the annotations there")
    pictures = tuple(_read_file(file, annotations, images, from_one) for file in files)
    seen: dict[PurePosixPath, Path] = {}
    for picture, file in zip(pictures, files, strict=True):
        if seen.setdefault(picture.name, file) is not file:
            raise DataError(f"{file}: filename {picture.name} is the picture of {seen[picture.name]} too")
    labels = {a.label for picture in pictures for a in picture.annotations}
    return AnnotatedSet(order_labels(labels), pictures)


def _read_file(file: Path, annotations: Path, images: Path, from_one: bool) -> AnnotatedPicture:
    root = _parse(file)
    place = file.relative_to(annotations)
    path = _find_picture(file, images, place, root.findtext("filename"))
    width, height = picture_size(path)
    for name, value in (("width", width), ("height", height)):
        stated = _number(root, f"size/{name}", str(file)) if root.find(f"size/{name}") is not None else 0
        if stated not in (0, value):  # 0 is what tools write that do not know it
            raise DataError(f"{file}: size/{name} is {stated:g}, but {path} has {value} pixels")
    found = []
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{file}: object {number}"
        label = (element.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{where} has no name; give its label there")
        corners = [_number(element, f"bndbox/{name}", where) for name in _CORNERS]
        if from_one:
            corners[0] -= 1
            corners[1] -= 1
        x1, y1, x2, y2 = corners
        ignore = (element.findtext("difficult") or "0").strip() == "1"
        found.append(Annotation(label, fit_box((x1, y1, x2, y2), width, height, where), ignore))
    below = PurePosixPath(path.relative_to(images).as_posix())
    return AnnotatedPicture(path, below, width, height, tuple(found))


def _parse(file: Path) -> ElementTree.Element:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not XML in UTF-8; save it as that") from error
    if "<!DOCTYPE" in text:  # entities can be made to swell without end, or to read other files
        raise DataError(f"{file} has a DOCTYPE, which is not accepted; remove it")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{file} is no well-formed XML: {error}") from error
    if root.tag != "annotation":
        raise DataError(f"{file} has the root <{root.tag}>; Pascal VOC wants <annotation>")
    return root


def _find_picture(file: Path, images: Path, place: Path, stated: str | None) -> Path:
    stem = (images / place).with_suffix("")
    candidates = [stem.with_name(stem.name + extension) for extension in EXTENSIONS]
    name = Path((stated or "").strip().replace("\\", "/")).name  # tools leave other machines' folders there
    if name:
        candidates = [images / place.parent / name, *candidates]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{file}: filename is {stated!r}, but {candidates[0]} is missing")


def _number(element: ElementTree.Element, field: str, where: str) -> float:
    text = element.findtext(field)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} has {field} {text!r}; give a number of pixels")
    return value


def write_voc(annotated: AnnotatedSet, folder: Path, *, from_one: bool = False) -> None:
    """Writes an XML file for each picture below ``folder/Annotations``; corners are whole pixels.

    Raises :class:`~maskgate.errors.DataError` where two pictures differ in their extensions only, or a
    label is none that XML can hold.
    """
    check_labels(annotated.labels)
    files: dict[PurePosixPath, PurePosixPath] = {}
    for picture in annotated.pictures:
        name = picture.name.with_suffix(".xml")
        if files.setdefault(name, picture.name) != picture.name:
            raise DataError(f"{picture.name} and {files[name]} would share {name}; rename one of them")
        write_whole(folder / FOLDERS[0] / name, _xml(picture, from_one))


def _xml(picture: AnnotatedPicture, from_one: bool) -> bytes:
    root = ElementTree.Element("annotation")
    _add(root, "folder", PICTURE_FOLDERS[0])
    _add(root, "filename", picture.name.name)
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        _add(size, name, str(value))
    _add(root, "segmented", "0")
    for annotation in picture.annotations:
        element = ElementTree.SubElement(root, "object")
        _add(element, "name", annotation.label)
        _add(element, "pose", "Unspecified")
        _add(element, "truncated", "0")
        _add(element, "difficult", str(int(annotation.ignore)))
        box = ElementTree.SubElement(element, "bndbox")
        for name, number in zip(_CORNERS, whole_pixels(annotation.box, picture), strict=True):
            _add(box, name, str(number + (from_one and name.endswith("min"))))
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=False)
    return data + b"\n"


def whole_pixels(box: Corners, picture: AnnotatedPicture) -> tuple[int, int, int, int]:
    """The corners rounded to whole pixels, at least one wide and high, inside the picture."""
    last = picture.width - 1, picture.height - 1
    low = [min(_round(v), limit) for v, limit in zip(box[:2], last, strict=True)]
    high = [max(_round(v), least + 1) for v, least in zip(box[2:], low, strict=True)]
    return low[0], low[1], high[0], high[1]


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
