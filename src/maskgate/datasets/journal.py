"""An index of what was made of each source, which a stopped call goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maskgate.datasets.output import write_whole
from maskgate.errors import DataError

INDEX, SOURCES = "index.jsonl", "sources.jsonl"


class Journal:
    """``index.jsonl``, a line for each thing made, and ``sources.jsonl``, a line for each source done.

    A source's lines come in one go when it is done, the index first. So what a kill leaves of an
    unfinished source can be told, and is dropped here: the source is done anew.

    Args:
        folder: holds both files, or will.

    Raises :class:`~maskgate.errors.DataError` where a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._index, self._sources = folder / INDEX, folder / SOURCES
        self.sources: dict[str, dict[str, Any]] = {}
        for line in _read(self._sources):
            self.sources[str(line["sha256"])] = line
        found = _read(self._index)
        self.made = [line for line in found if line["sha256"] in self.sources]
        if len(found) != len(self.made):
            write_whole(self._index, "".join(map(_line, self.made)).encode())

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self.sources

    def add(self, sha256: str, source: Mapping[str, Any], made: Iterable[Mapping[str, Any]]) -> None:
        """Notes that the source of that hash is done: what is known of it, and what was made of it."""
        lines = [{**line, "sha256": sha256} for line in made]
        _append(self._index, lines)
        self.made += lines
        self.sources[sha256] = {**source, "sha256": sha256}
        _append(self._sources, [self.sources[sha256]])


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, allow_nan=False) + "\n"


def _append(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    try:
        with file.open("a", encoding="utf-8") as out:
            out.write("".join(map(_line, lines)))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror}") from error


def _read(file: Path) -> list[dict[str, Any]]:
    """All whole lines; a last one without its end is what a kill left of it, and is cut off."""
    if not file.exists():
        return []
    whole, end, torn = file.read_bytes().rpartition(b"\n")
    if torn:
        write_whole(file, whole + end)
    lines = []
    for number, text in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or not isinstance(line.get("sha256"), str):
            raise DataError(f"{file}: line {number} is no JSON object with a 'sha256'; mend or remove it")
        lines.append(line)
    return lines
