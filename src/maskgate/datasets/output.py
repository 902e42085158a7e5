"""Output folders that know what made them, so that a stopped call can be given again."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from maskgate import files
from maskgate.errors import DataError

MARKER = "made-by.json"
"""The file in an output folder that says which call fills it."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")

Placing = Literal["copy", "link"]
"""How a picture gets into an output folder: as a file of its own, or as a symbolic link."""

Show = Callable[[int], None]
"""Takes the number of pictures done, for a progress bar."""


def show_nothing(done: int) -> None:
    """For those who want no progress bar."""


class OutputFolder:
    """A folder that one kind of call fills, and goes on filling where it was stopped.

    ``made-by.json`` in it holds the command, its settings and, once the call has come to its end,
    what it reports.

    Args:
        path: made where it is missing.
        command: of ``maskgate data``.
        settings: plain values that decide what the folder will hold.

    Raises :class:`~maskgate.errors.DataError` where the folder holds something else already.
    """

    def __init__(self, path: Path, command: str, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._made_by: dict[str, Any] = {"command": f"data {command}", "settings": _plain(settings)}
        self.report: dict[str, Any] | None = None
        if path.exists() and not path.is_dir():
            raise DataError(f"{path} is a file; name a folder for the output")
        marker = path / MARKER
        if marker.exists():
            self._check(_load_object(marker))
        elif path.exists() and not is_empty(path):
            raise DataError(f"{path} holds something else; give a new or an empty folder for the output")
        else:
            write_json(marker, self._made_by)

    def finish(self, report: Mapping[str, Any]) -> None:
        """Notes that the folder is complete, and removes what kills have left half-written."""
        for file in self.path.rglob(".*.tmp"):
            if _TEMPORARY.fullmatch(file.name):
                file.unlink(missing_ok=True)
        if self.report != _plain(report):
            self.report = _plain(report)
            write_json(self.path / MARKER, {**self._made_by, "report": self.report})

    def _check(self, found: Mapping[str, Any]) -> None:
        for key, ours in self._made_by.items():
            if found.get(key) == ours:
                continue
            what = f"of 'maskgate {found.get('command')}'"
            if key == "settings":
                theirs = found.get(key)
                differ = [
                    name for name in ours if not isinstance(theirs, dict) or theirs.get(name) != ours[name]
                ]
                what = f"made with other settings ({', '.join(differ) or 'more of them'})"
            raise DataError(f"{self.path} holds something else, {what}; give a new or an empty folder")
        report = found.get("report")
        self.report = report if isinstance(report, dict) else None


def is_empty(folder: Path) -> bool:
    """True where there is nothing in it but what a kill has left half-written."""
    return all(_TEMPORARY.fullmatch(path.name) for path in folder.iterdir())


def _beside(path: Path) -> Path:
    """A hidden name in the folder of ``path``, for a file on its way there."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")


def outside(paths: Iterable[Path], folder: Path) -> list[Path]:
    """The paths that do not lie in ``folder``: what is written there is not to be read again."""
    folder = folder.resolve()
    return [path for path in paths if not Path(os.path.abspath(path)).is_relative_to(folder)]  # noqa: PTH100


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=str))
    return plain


def _load_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read; give a new or an empty folder for the output") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object; give a new or an empty folder for the output")
    return content


def write_whole(path: Path, data: bytes) -> None:
    """Writes ``data`` beside ``path`` and moves it there: a kill leaves the old file or the new one.

    Missing folders are made, and a file that holds ``data`` already is left alone. Raises
    :class:`~maskgate.errors.DataError` where that fails.
    """
    try:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        files.write_atomic(path, data)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}; make room or choose another") from error


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, as :func:`write_whole` does."""
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def place_picture(source: Path, target: Path, placing: Placing) -> None:
    """Copies or links a picture to ``target``; one that is there already is left.

    Raises :class:`~maskgate.errors.DataError` where the picture cannot be read or placed, and where
    ``target`` is another picture.
    """
    try:
        if target.is_symlink() or target.exists():
            if not _is_placed(source, target):
                raise DataError(f"{target} is there already and is not {source}; give another output folder")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target)
        try:
            if placing == "link":
                temporary.symlink_to(source.resolve(strict=True))
            else:
                shutil.copy2(source, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{source} cannot be put at {target}: {error.strerror}") from error


def _is_placed(source: Path, target: Path) -> bool:
    if target.exists() and target.samefile(source):
        return True
    return (
        target.is_file()
        and target.stat().st_size == source.stat().st_size
        and (sha256_of(source) == sha256_of(target))
    )


def sha256_of(path: Path) -> str:
    """Hex digest of a file. Raises :class:`~maskgate.errors.DataError` where it cannot be read."""
    try:
        return files.sha256_of(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
