"""Names of drawn pictures: each input gets one of its own, and no input is overwritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from maskgate.errors import ImageFormatError, InputError
from maskgate.images import EXTENSIONS, write_image
from maskgate.types import Image


def name_drawings(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Where in ``folder`` the drawn copy of each picture goes.

    Each keeps its file name. Where several pictures have one name, whether or not its letters' case
    differs, the second gets ``-2`` and so on. Names without the extension of a picture get
    ``.png``.

    Raises :class:`~maskgate.errors.InputError` where a copy would take the place of one of
    ``pictures``.
    """
    used: set[str] = set()
    last: Counter[str] = Counter()
    drawings = []
    for picture in pictures:
        name = picture.name if picture.suffix.lower() in EXTENSIONS else f"{picture.name}.png"
        drawing = folder / name
        number = last[name.casefold()]
        while drawing.name.casefold() in used:
            number = max(number, 1) + 1
            drawing = (folder / name).with_stem(f"{Path(name).stem}-{number}")
        last[name.casefold()] = number
        used.add(drawing.name.casefold())
        drawings.append(drawing)
    check_apart(pictures, drawings)
    return drawings


def check_apart(pictures: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Raises :class:`~maskgate.errors.InputError` where an output is one of the pictures."""
    files = {file for picture in pictures if (file := _file(picture)) is not None}
    for output in outputs:
        if _file(output) in files:
            raise InputError(f"{output} is one of the pictures to read; choose another place for the output")


def make_folder(folder: Path) -> None:
    """Makes it where it is missing. Raises :class:`~maskgate.errors.InputError` where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made a folder: {error.strerror}; choose another one") from error


def write_drawing(path: Path, drawing: Image) -> None:
    """Writes a drawn picture, as PNG where the format of its name cannot hold so large a one."""
    try:
        write_image(path, drawing)
    except ImageFormatError:
        write_image(path.with_name(f"{path.name}.png"), drawing)


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
