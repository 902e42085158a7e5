"""COCO's JSON: entries of its lists, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from maskgate.errors import DataError

_FAR = 1e9
"""Coordinates beyond are nonsense; NaN, infinity and integers too long for a float are caught too."""


@dataclass(frozen=True)
class CocoEntry:
    """One object of a list in the file, which knows its place for error messages.

    Its methods raise :class:`~maskgate.errors.DataError` where a field is missing or of another
    kind.
    """

    file: Path
    place: str
    fields: Mapping[str, Any]

    def fail(self, problem: str) -> DataError:
        """The error to raise on this entry."""
        return DataError(f"{self.file}: {self.place} {problem}")

    def get(self, key: str) -> Any:
        """The field, whatever it is."""
        if key not in self.fields:
            raise self.fail(f"has no {key!r}; COCO wants one")
        return self.fields[key]

    def identifier(self, key: str) -> int | str:
        """A whole number or text that other entries refer to."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.fail(f"has {key} {value!r}; give a whole number")
        return value

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value:
            raise self.fail(f"has {key} {value!r}; give a text")
        return value

    def pixels(self, key: str) -> int:
        """A whole number of at least 1."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fail(f"has {key} {value!r}; give a whole number of pixels, at least 1")
        return value

    def box(self) -> tuple[float, float, float, float]:
        """``bbox`` as x, y, width and height in pixels."""
        value = self.get("bbox")
        numbers = isinstance(value, list) and all(
            isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _FAR for v in value
        )
        if not numbers or len(value) != 4:
            raise self.fail(f"has bbox {value!r}; give four numbers: x, y, width, height")
        x, y, w, h = (float(v) for v in value)
        return x, y, w, h

    def picture(self, images: Path) -> Path:
        """The file that ``file_name`` names, which lies in the folder ``images``."""
        name = self.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            raise self.fail(f"has file_name {name!r}; give a file in images/")
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise self.fail(f"has file_name {name!r}, which leads out of images/")
        path = images / relative
        if not _exists(path):
            raise self.fail(f"has file_name {name!r}, but {path} is missing")
        return path


def load_coco(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file. Raises :class:`~maskgate.errors.DataError` where there is none."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file} is missing; write the COCO annotations there") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object; COCO has 'images', 'annotations' and 'categories'")
    return content


def coco_entries(file: Path, content: Mapping[str, Any], name: str) -> list[CocoEntry]:
    """The entries of one of its lists. Raises :class:`~maskgate.errors.DataError` where it is none."""
    if name not in content:
        raise DataError(f"{file} has no {name!r}; COCO wants 'images', 'annotations' and 'categories'")
    entries = content[name]
    if not isinstance(entries, list):
        raise DataError(f"{file}: {name!r} is not a list")
    for i, fields in enumerate(entries):
        if not isinstance(fields, dict):
            raise DataError(f"{file}: {name}[{i}] is not an object")
    return [CocoEntry(file, f"{name}[{i}]", fields) for i, fields in enumerate(entries)]


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False
