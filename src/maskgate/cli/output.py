"""Where results go: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from maskgate.errors import InputError
from maskgate.files import temporary_beside


def choose_format(chosen: str | None, output: Path | None) -> str:
    """``chosen``, else a table on a terminal and JSON lines elsewhere."""
    if chosen is not None:
        return chosen
    return "table" if output is None and sys.stdout.isatty() else "jsonl"


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output where ``path`` is None, else a text file in UTF-8.

    The file is written under another name beside its place and moved there at the end; nothing is
    left of it where that is not reached. Missing folders are made. Devices and pipes are written
    to directly.

    Raises :class:`~maskgate.errors.InputError` where the file cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    if path.exists() and not path.is_file() and not path.is_dir():
        with _refusing(path):
            file = path.open("w", encoding="utf-8")
        with file:
            yield file
        return
    place = path.resolve()  # a link stays one
    temporary = temporary_beside(place)
    with _refusing(path):
        check_output(path)
        file = temporary.open("x", encoding="utf-8")
    try:
        with file:
            yield file
        with _refusing(path):
            os.replace(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Makes the folder of ``path`` and finds out early what stands in the way of a file there.

    Raises :class:`~maskgate.errors.InputError`.
    """
    with _refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file for the output")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: its folder is write-protected; choose another file")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another file") from error
