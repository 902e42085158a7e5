"""Near-duplicate pictures: which there are, and moving all but the best of each group away."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskgate.datasets.output import Show, is_empty, sha256_of, show_nothing, write_json
from maskgate.errors import DataError, ImageError
from maskgate.images import read_image
from maskgate.training.grouping import difference_hash, group_duplicates
from maskgate.types import Image

MANIFEST = "moved.json"
_SIDE = 128


@dataclass(frozen=True)
class Duplicates:
    """Pictures that show nearly the same, the best first: the largest, among those the sharpest."""

    best: Path
    others: tuple[Path, ...]


@dataclass(frozen=True)
class DuplicatesFound:
    """Groups of two and more, and one sentence for each picture that could not be read."""

    pictures: int
    groups: tuple[Duplicates, ...]
    failures: tuple[str, ...]


def find_duplicates(
    pictures: Sequence[Path], distance: int = 24, *, show: Show = show_nothing
) -> DuplicatesFound:
    """Groups pictures whose difference hashes (256 bits) differ by at most ``distance`` bits.

    Groups are connected: two pictures may be further apart where others lie between them. The
    groups come in the order of their first pictures.
    """
    hashes, files = [], []
    ranks: list[tuple[int, float, int]] = []
    failures = []
    for done, picture in enumerate(pictures, 1):
        try:
            image = read_image(picture)
        except ImageError as error:
            failures.append(str(error))
        else:
            hashes.append(difference_hash(image))
            files.append(picture)
            ranks.append((-image.shape[0] * image.shape[1], -sharpness(image), len(ranks)))
        show(done)
    members: dict[int, list[int]] = defaultdict(list)
    if hashes:
        for i, group in enumerate(group_duplicates(np.stack(hashes), distance)):
            members[int(group)].append(i)
    groups = []
    for places in members.values():
        if len(places) > 1:
            best, *others = (files[i] for i in sorted(places, key=ranks.__getitem__))
            groups.append(Duplicates(best, tuple(others)))
    return DuplicatesFound(len(files), tuple(groups), tuple(failures))


def sharpness(image: Image) -> float:
    """Variance of the Laplacian of the grey picture, scaled to one size so that sizes compare."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def move_duplicates(groups: Sequence[Duplicates], folder: Path, roots: Sequence[Path]) -> int:
    """Moves all but the best of each group into ``folder``; gives the number of pictures moved.

    Nothing is deleted or overwritten. ``moved.json`` in ``folder`` says where everything came from;
    it is written before the first picture moves, so :func:`finish_moves` and
    :func:`undo_moves` find their way after a kill too.

    Args:
        folder: new, empty, or of an earlier call, whose pictures stay there.
        roots: folders that the pictures' paths below ``folder`` start at.

    Raises :class:`~maskgate.errors.DataError` where ``folder`` holds something else or is inside
    one of ``roots``.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are
    check_moving_to(folder, roots)
    moves = finish_moves(folder)
    taken = {str(move["to"]).casefold() for move in moves}
    planned = []
    for group in groups:
        for other in group.others:
            name = _name_below(other, roots)
            number = 1
            while str(name).casefold() in taken:
                number += 1
                name = _name_below(other, roots).with_stem(f"{other.stem}-{number}")
            taken.add(str(name).casefold())
            planned.append({"from": _absolute(other), "to": name.as_posix(), "kept": _absolute(group.best)})
    if planned:
        write_json(folder / MANIFEST, {"moves": moves + planned})
        finish_moves(folder)
    return len(planned)


def check_moving_to(folder: Path, roots: Sequence[Path]) -> None:
    """Raises :class:`~maskgate.errors.DataError` where nothing may be moved to ``folder``."""
    for root in roots:
        if folder.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{folder} lies in {root}, where pictures are looked for; give one outside")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder to move pictures to")
    if folder.exists() and not is_empty(folder) and not (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds something else; give a new or an empty folder to move pictures to")


def finish_moves(folder: Path) -> list[dict[str, Any]]:
    """Carries out what ``moved.json`` lists and a kill prevented; gives all moves that it lists."""
    moves = _read_manifest(folder)
    for move in moves:
        if Path(move["from"]).exists():
            _move(Path(move["from"]), folder / move["to"])
    return moves


def undo_moves(folder: Path) -> int:
    """Moves all pictures of ``moved.json`` back; gives their number.

    Raises :class:`~maskgate.errors.DataError` where there is no such file, or a place is taken by
    another picture by now; nothing is moved then.
    """
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} has no {MANIFEST}; give a folder that 'dedupe --move' has filled")
    moves = _read_manifest(folder)
    todo = [move for move in moves if (folder / move["to"]).exists()]
    for move in todo:
        place = Path(move["from"])
        if place.exists() and not _same(place, folder / move["to"]):
            raise DataError(f"{move['from']} is taken by another picture; move that one away and try again")
    for move in todo:
        _move(folder / move["to"], Path(move["from"]))
    for parent in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(parent.iterdir()):
            parent.rmdir()
    (folder / MANIFEST).unlink()
    return len(todo)


def _read_manifest(folder: Path) -> list[dict[str, Any]]:
    file = folder / MANIFEST
    if not file.exists():
        return []
    try:
        moves = json.loads(file.read_text("utf-8"))["moves"]
        if all(isinstance(move["from"], str) and isinstance(move["to"], str) for move in moves):
            return list(moves)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{file} is damaged: it holds no list 'moves' with 'from' and 'to'; mend it")


def _same(one: Path, other: Path) -> bool:
    """True for the two copies that a kill between two disks leaves."""
    return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _move(source: Path, target: Path) -> None:
    try:
        if target.exists():
            if not _same(source, target):
                raise DataError(f"{source} cannot be moved: {target} is another picture; move that one away")
            source.unlink()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(source, target)  # noqa: PTH104 - neither place exists twice
        except OSError:  # another disk: whole there before it goes here
            temporary = target.with_name(f".{target.name[:100]}.00000000.tmp")
            shutil.copy2(source, temporary)
            os.replace(temporary, target)
            source.unlink()
    except OSError as error:
        raise DataError(f"{source} cannot be moved to {target}: {error.strerror}") from error


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay as they are


def _name_below(path: Path, roots: Sequence[Path]) -> Path:
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root)
    return Path(path.name)
