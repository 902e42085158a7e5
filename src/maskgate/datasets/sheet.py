"""Contact sheets: many small pictures with their labels on one page, to find the wrong ones by eye."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from maskgate.datasets.annotations import Annotation, Corners
from maskgate.datasets.formats.coco import is_coco, read_coco
from maskgate.datasets.output import OutputFolder, Show, outside, show_nothing, write_whole
from maskgate.drawing import COLOURS
from maskgate.errors import DataError, ImageError, InputError
from maskgate.images import encode_image, find_images, read_image
from maskgate.types import Image, Label

_PAPER: Final = (255, 255, 255)
_EMPTY: Final = (224, 224, 224)
_INK: Final = (16, 16, 16)
_OTHER: Final = (200, 208, 224)
"""RGB of labels that are none of ours."""

_CAPTION = 16
_GAP = 4


@dataclass(frozen=True)
class Entry:
    """One picture of a sheet, its label, and the boxes to draw in it; ``region`` is the part that is shown
    (x1, y1, x2, y2 in pixels, cut at the picture's edge), by default all of it."""

    path: Path
    name: str
    label: str
    annotations: tuple[Annotation, ...] = ()
    region: Corners | None = None


@dataclass(frozen=True)
class SheetSettings:
    """``columns`` × ``rows`` pictures a sheet, each in a square of ``cell`` pixels.

    Raises :class:`~maskgate.errors.InputError` where that is no sensible page.
    """

    columns: int = 10
    rows: int = 10
    cell: int = 128

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 1 or not 32 <= self.cell <= 2048:
            raise InputError("a sheet wants at least one column and row, and cells of 32 to 2048 pixels")
        if self.columns * self.rows * self.cell**2 > 100_000_000:
            raise InputError(
                f"a sheet of {self.columns}×{self.rows} cells of {self.cell} pixels is too large; use fewer"
            )


@dataclass(frozen=True)
class Sheets:
    """The sheets' files, and one sentence for each picture that could not be read."""

    files: tuple[Path, ...] = ()
    failures: tuple[str, ...] = field(default=())


def read_entries(folder: Path, table: Path | None = None) -> list[Entry]:
    """The pictures of a folder with their labels, sorted by label and name.

    Labels are those of ``table``, a CSV file with the columns ``file`` (below ``folder``) and
    ``label``; else the boxes' of ``annotations.json``, where there is one; else the names of the
    folders that the pictures lie in.

    Raises :class:`~maskgate.errors.MaskGateError` where there are no pictures or the file is
    malformed.
    """
    if table is not None:
        entries = list(_of_table(folder, table))
    elif is_coco(folder):
        entries = [
            Entry(p.path, str(p.name), ", ".join(sorted({a.label for a in p.annotations})), p.annotations)
            for p in read_coco(folder).pictures
        ]
    else:
        names = [(path, path.relative_to(folder)) for path in find_images([folder])]
        entries = [Entry(path, name.as_posix(), "/".join(name.parts[:-1])) for path, name in names]
    if not entries:
        raise DataError(f"{table or folder} lists no pictures; there is nothing to show")
    return sorted(entries, key=lambda entry: (entry.label, entry.name))


def _of_table(folder: Path, table: Path) -> Iterator[Entry]:
    try:
        rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8-sig"), newline="")))
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{table} is no CSV in UTF-8: {error}") from error
    for number, row in enumerate(rows, 2):
        name, label = row.get("file"), row.get("label")
        if not name or label is None:
            raise DataError(f"{table}: line {number} has no 'file' or no 'label'; it wants both columns")
        yield Entry(folder / name, name, label)


def make_sheets(
    entries: Sequence[Entry], output: Path, settings: SheetSettings, *, show: Show = show_nothing
) -> Sheets:
    """Draws ``sheet-001.jpg`` and so on into ``output``; ``sheets.csv`` there says where each picture is.

    Sheets whose pictures and labels are the same as in an earlier call are left alone, unless a
    picture could not be read.

    Raises :class:`~maskgate.errors.DataError` where ``output`` holds something else.
    """
    folder = OutputFolder(output, "sheet", vars(settings))
    shown = set(outside((entry.path for entry in entries), output))  # not the sheets of an earlier call
    entries = [entry for entry in entries if entry.path in shown]
    page = settings.columns * settings.rows
    drawn: dict[str, str] = dict((folder.report or {}).get("sheets", {}))
    files, failures, places = [], [], []
    for start in range(0, len(entries), page):
        part = entries[start : start + page]
        name = f"sheet-{start // page + 1:03}.jpg"
        digest = _digest(part)
        if drawn.get(name) != digest or not (output / name).exists():
            sheet, unread = draw_sheet(part, settings)
            failures += unread
            write_whole(output / name, encode_image(sheet, "JPEG"))
            drawn[name] = "" if unread else digest
            folder.finish({"sheets": drawn})
        show(start + len(part))
        files.append(output / name)
        for i, entry in enumerate(part):
            places.append(
                (name, i // settings.columns + 1, i % settings.columns + 1, entry.name, entry.label)
            )
    for name in set(drawn) - {file.name for file in files}:  # there are fewer pictures now
        (output / name).unlink(missing_ok=True)
        del drawn[name]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("sheet", "row", "column", "file", "label"))
    writer.writerows(places)
    write_whole(output / "sheets.csv", out.getvalue().encode())
    folder.finish({"sheets": drawn})
    return Sheets(tuple(files), tuple(failures))


def _digest(entries: Sequence[Entry]) -> str:
    parts = []
    for entry in entries:
        status = entry.path.stat() if entry.path.exists() else None
        about = (status.st_size, status.st_mtime_ns) if status else None
        boxes = [(a.label, a.box, a.ignore) for a in entry.annotations]
        parts.append((entry.name, entry.label, boxes, about))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def draw_sheet(entries: Sequence[Entry], settings: SheetSettings) -> tuple[Image, list[str]]:
    """One page ``(H, W, 3)`` uint8 RGB, and a sentence for each picture that could not be read.

    Pictures come row by row; each has its label and its file's name below. A page that is not
    full ends after its last row.
    """
    rows = -(-len(entries) // settings.columns)
    step = settings.cell + _GAP
    page = Pillow.new("RGB", (settings.columns * step + _GAP, rows * (step + _CAPTION) + _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    failures = []
    for i, entry in enumerate(entries):
        x = _GAP + i % settings.columns * step
        y = _GAP + i // settings.columns * (step + _CAPTION)
        draw.rectangle((x, y, x + settings.cell - 1, y + settings.cell - 1), _EMPTY)
        try:
            thumbnail = _thumbnail(entry, settings.cell)
        except ImageError as error:
            failures.append(str(error))
            draw.text((x + 4, y + 4), "cannot be read", _INK, _font())
        else:
            height, width = thumbnail.shape[:2]
            offset = x + (settings.cell - width) // 2, y + (settings.cell - height) // 2
            page.paste(Pillow.fromarray(thumbnail), offset)
        _draw_caption(draw, entry, x, y + settings.cell, settings.cell)
    return np.asarray(page, np.uint8), failures


def _thumbnail(entry: Entry, cell: int) -> Image:
    image = read_image(entry.path)
    left, top = 0, 0
    if entry.region is not None:
        height, width = image.shape[:2]
        x1, y1, x2, y2 = (round(v) for v in entry.region)
        left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        image = image[top : max(y2, top + 1), left : max(x2, left + 1)]
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for annotation in entry.annotations:
        x1, y1, x2, y2 = (
            round((v - start) * scale)
            for v, start in zip(annotation.box, (left, top, left, top), strict=True)
        )
        if entry.region is None:  # a box that ends with the picture has a line there
            x2, y2 = min(x2, size[0] - 1), min(y2, size[1] - 1)
        colour = _EMPTY if annotation.ignore else colour_of(annotation.label)
        cv2.rectangle(small, (x1, y1), (x2, y2), colour, max(cell // 96, 1))
    return np.asarray(small, np.uint8)


def colour_of(label: str) -> tuple[int, int, int]:
    """RGB of a label: ours have the colours of :mod:`maskgate.drawing`, by the last folder's name."""
    name = label.rsplit("/", 1)[-1]
    return COLOURS[Label(name)] if name in set(Label) else _OTHER


def _draw_caption(draw: ImageDraw.ImageDraw, entry: Entry, x: int, y: int, width: int) -> None:
    label = _fitting(entry.label, width - 6)
    if label:
        end = x + round(_font().getlength(label)) + 5
        draw.rectangle((x, y, end, y + _CAPTION - 2), colour_of(entry.label))
        draw.text((x + 3, y + 1), label, _INK, _font())
        width, x = width - (end - x) - 4, end + 4
    draw.text((x, y + 1), _fitting(entry.name.rsplit("/", 1)[-1], width), _INK, _font())


def _fitting(text: str, width: int) -> str:
    """As much of the text's end as ``width`` pixels hold."""
    while text and _font().getlength(text) > width:
        text = text[1:]
    return text


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(11)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this build of Pillow has no FreeType, which draws the letters")
    return font
