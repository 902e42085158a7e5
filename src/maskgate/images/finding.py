"""Finding the picture files that a command line names."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from maskgate.errors import InputError
from maskgate.images.limits import EXTENSIONS


def find_images(inputs: Sequence[str | Path], *, also: Collection[str] = ()) -> list[Path]:
    """The picture files that ``inputs`` name, in that order, each once.

    Args:
        inputs: each a file, a folder or a glob (``**`` goes through folders). Folders are searched
            recursively for the extensions of :data:`~maskgate.images.limits.EXTENSIONS`, sorted by
            path, hidden files and folders left out; so are the matches of a glob, among which
            folders are not searched. A file named outright is taken whatever its extension, and
            also where it does not exist: reading it gives the error.
        also: further extensions to search for, in lower case with their dots.

    Raises :class:`~maskgate.errors.InputError` for a folder without pictures, a glob without a
    match and a folder that cannot be listed.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        for path in _expand(str(given), {*EXTENSIONS, *also}):
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - links are kept apart
    return list(found.values())


def _expand(given: str, extensions: set[str]) -> list[Path]:
    if not given:
        raise InputError("an input is empty; give a file, a folder or a glob")
    path = Path(given)
    if path.is_dir():
        pictures = _search(path, extensions)
        if not pictures:
            raise InputError(f"{given} is a folder without pictures ({' '.join(EXTENSIONS)})")
        return pictures
    if any(sign in given for sign in "*?[") and not path.exists():
        matches = (Path(match) for match in glob.iglob(given, recursive=True))  # noqa: PTH207 - absolute too
        pictures = sorted(match for match in matches if _is_picture(match, extensions))
        if not pictures:
            raise InputError(f"{given} matches no picture ({' '.join(EXTENSIONS)})")
        return pictures
    return [path]


def _search(folder: Path, extensions: set[str]) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error

    pictures = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        pictures += [path for path in paths if _is_picture(path, extensions)]
    return sorted(pictures)


def _is_picture(path: Path, extensions: set[str]) -> bool:
    return path.suffix.lower() in extensions and path.is_file()
