"""Box annotations from one format to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from maskgate.datasets.annotations import AnnotatedSet
from maskgate.datasets.formats import coco, voc, yolo
from maskgate.datasets.output import OutputFolder, Placing, Show, place_picture, show_nothing
from maskgate.errors import DataError

Format = Literal["coco", "voc", "yolo"]

_LOOKS: dict[Format, Callable[[Path], bool]] = {
    "coco": coco.is_coco,
    "voc": voc.is_voc,
    "yolo": yolo.is_yolo,
}
_PICTURES: dict[Format, str] = {
    "coco": coco.PICTURES,
    "voc": voc.PICTURE_FOLDERS[0],
    "yolo": yolo.PICTURES,
}


@dataclass(frozen=True)
class Converted:
    """Pictures, boxes by label, and how many boxes to ignore the format could not hold."""

    pictures: int
    boxes: Counter[str]
    left_out: int


def _no_bar(total: int) -> AbstractContextManager[Show]:
    return nullcontext(show_nothing)


def find_format(folder: Path) -> Format:
    """The format of a folder, by the files in it.

    Raises :class:`~maskgate.errors.DataError` where it is none, or could be several.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one with pictures and their annotations")
    found = [name for name in get_args(Format) if _LOOKS[name](folder)]
    if len(found) != 1:
        what = f"could be {' or '.join(found)}" if found else "is no COCO, VOC or YOLO set"
        raise DataError(f"{folder} {what}; say which with --from")
    form: Format = found[0]
    return form


def read_annotated(folder: Path, form: Format, *, from_one: bool = False) -> AnnotatedSet:
    """A set in one of the formats. ``from_one``: see :mod:`maskgate.datasets.formats.voc`.

    Raises :class:`~maskgate.errors.DataError` naming the file and field that is malformed.
    """
    if form == "coco":
        return coco.read_coco(folder)
    return voc.read_voc(folder, from_one=from_one) if form == "voc" else yolo.read_yolo(folder)


def convert(
    folder: Path,
    output: Path,
    target: Format,
    *,
    source: Format | None = None,
    names: Mapping[str, str] | None = None,
    placing: Placing = "copy",
    from_one: bool = False,
    progress: Callable[[int], AbstractContextManager[Show]] = _no_bar,
) -> Converted:
    """Writes the annotations of ``folder`` into ``output`` in another format, with their pictures.

    All is read and checked before anything is written. The same call again goes on where it was
    stopped.

    Args:
        source: format of ``folder``; found out where None.
        names: new names of labels.
        from_one: VOC's corners count pixels from 1, read or written.
        progress: opens a progress bar for a number of pictures.

    Raises :class:`~maskgate.errors.DataError` naming the file and field that is malformed, and where
    ``output`` holds something else.
    """
    source = source or find_format(folder)
    annotated = read_annotated(folder, source, from_one=from_one and source == "voc")
    annotated = annotated.rename(names or {})
    if not annotated.pictures:
        raise DataError(f"{folder} has no pictures; give a set with at least one")
    if output.resolve() == folder.resolve():
        raise DataError(f"{output} is the folder to read; give another one for the output")
    made = OutputFolder(
        output,
        "convert",
        {
            "folder": str(folder.resolve()),
            "from": source,
            "to": target,
            "rename": dict(names or {}),
            "pictures": placing,
            "from_one": from_one,
        },
    )
    with progress(len(annotated.pictures)) as show:
        for done, picture in enumerate(annotated.pictures, 1):
            place_picture(picture.path, output / _PICTURES[target] / picture.name, placing)
            show(done)
    write: dict[Format, Callable[[AnnotatedSet, Path], int | None]] = {
        "coco": coco.write_coco,
        "voc": partial(voc.write_voc, from_one=from_one),
        "yolo": yolo.write_yolo,
    }
    left_out = write[target](annotated, output) or 0
    boxes = Counter(a.label for p in annotated.pictures for a in p.annotations if not (left_out and a.ignore))
    made.finish({"pictures": len(annotated.pictures), "boxes": dict(boxes), "left_out": left_out})
    return Converted(len(annotated.pictures), boxes, left_out)
