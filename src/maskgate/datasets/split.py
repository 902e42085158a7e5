"""Which pictures are learnt from, which decide between epochs, and which judge: near-duplicates together."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from maskgate.datasets.output import (
    OutputFolder,
    Placing,
    Show,
    place_picture,
    sha256_of,
    show_nothing,
    write_whole,
)
from maskgate.errors import DataError, ImageError, InputError
from maskgate.images import find_images, read_image
from maskgate.training.grouping import difference_hash, group_duplicates, merge_groups

SPLITS = ("training", "validation", "test")
COLUMNS = ("file", "label", "split", "group")
TABLE = "split.csv"

GroupBy = Literal["folder"]


@dataclass(frozen=True)
class SplitSettings:
    """How pictures are split.

    Attributes:
        validation, test: shares of the groups, together under 1; the rest is for training.
        seed: another one draws other lots.
        distance: bits by which difference hashes (of 256) of near-duplicates differ at most.
        group_by: ``folder`` keeps the pictures of one folder below the label's together too.

    Raises :class:`~maskgate.errors.InputError` on other values.
    """

    validation: float = 0.1
    test: float = 0.1
    seed: int = 0
    distance: int = 24
    group_by: GroupBy | None = None

    def __post_init__(self) -> None:
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise InputError(
                f"validation {self.validation} and test {self.test} leave nothing for training; give less"
            )
        if not 0 <= self.distance <= 256:
            raise InputError(f"distance is {self.distance}; give bits from 0 to 256")

    def draw(self, key: str) -> str:
        """The side of a group, by a hash of its key."""
        digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        lot = int.from_bytes(digest[:8], "big") / 2**64
        if lot < self.validation:
            return "validation"
        return "test" if lot < self.validation + self.test else "training"


@dataclass(frozen=True)
class Row:
    """One picture: its path below the folder, its label (the first folder), its side, its group."""

    file: str
    label: str
    split: str
    group: str


@dataclass(frozen=True)
class Split:
    """The rows by file name, pictures that could not be read, and groups that link older sides.

    ``bridged`` has the files that are near-duplicates of pictures on several sides, which an
    earlier split drew before these came: they are for training, the others stay where they are.
    """

    rows: tuple[Row, ...]
    failures: tuple[str, ...]
    bridged: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Number of pictures by split and label."""
        return Counter((row.split, row.label) for row in self.rows)


def split_pictures(
    folder: Path,
    settings: SplitSettings,
    *,
    known: Mapping[str, Row] | None = None,
    index: Path | None = None,
    show: Show = show_nothing,
) -> Split:
    """Draws a side for every picture below ``folder``.

    A group is what must stay together: near-duplicates, the pictures of one folder where asked,
    and the crops of one source where ``index`` names it. Its side depends on a hash of the smallest
    content hash (or folder name) in it and on nothing else.

    Args:
        known: rows of an earlier split, which stay; new pictures of their groups follow them.
        index: ``index.jsonl`` of ``collect``; crops are found in it by their file names.

    Raises :class:`~maskgate.errors.InputError` for a folder without pictures.
    """
    known = known or {}
    origins = _read_origins(index) if index is not None else {}
    names, hashes, contents, failures = [], [], [], []
    for done, path in enumerate(find_images([folder]), 1):
        try:
            hashes.append(difference_hash(read_image(path)))
            contents.append(sha256_of(path))
            names.append(path.relative_to(folder).as_posix())
        except ImageError as error:
            failures.append(str(error))
        show(done)
    if not names:
        raise InputError(f"{folder} has no picture that can be read; give another folder")
    labels = [Path(name).parts[0] if "/" in name else "" for name in names]
    places = [_place(name, settings.group_by) for name in names]
    groups = group_duplicates(np.stack(hashes), settings.distance)
    for keys_of_one in (places, [origins.get(Path(name).name, "") for name in names]):
        groups = merge_groups(groups, keys_of_one)
    keys: dict[int, str] = {}
    older: dict[int, list[Row]] = {}
    for i, group in enumerate(groups.tolist()):
        key = places[i] or contents[i]
        keys[group] = min(keys.get(group, key), key)
        older.setdefault(group, []).extend([known[names[i]]] if names[i] in known else [])
    rows, bridged = [], []
    for i, group in enumerate(groups.tolist()):
        sides = {row.split for row in older[group]}
        if names[i] in known:
            side = known[names[i]].split
        elif len(sides) > 1:
            side = "training"
            bridged.append(names[i])
        else:
            side = next(iter(sides), settings.draw(keys[group]))
        number = hashlib.sha256(keys[group].encode()).hexdigest()[:12]
        number = min((row.group for row in older[group]), default=number)
        rows.append(Row(names[i], labels[i], side, number))
    return Split(tuple(rows), tuple(failures), tuple(bridged))


def _place(name: str, group_by: GroupBy | None) -> str:
    """The folders between a picture and its label; empty where there are none or nobody asks."""
    return "/".join(Path(name).parts[1:-1]) if group_by == "folder" else ""


def _read_origins(index: Path) -> dict[str, str]:
    """A crop's file name to the hash of its source."""
    try:
        lines = index.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{index} cannot be read as text: {error}") from error
    origins = {}
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            origins[Path(line["crop"]).name] = str(line["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{index}: line {number} is no JSON object with 'crop' and 'sha256'") from error
    return origins


def read_table(file: Path) -> dict[str, Row]:
    """The rows of an earlier split by file; none where there is no such file.

    Raises :class:`~maskgate.errors.DataError` where it is another kind of file.
    """
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            header, *rows = list(csv.reader(lines)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as CSV: {error}") from error
    if tuple(header) != COLUMNS:
        raise DataError(f"{file} holds something else than a split; name another file")
    known = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS) or row[2] not in SPLITS:
            raise DataError(f"{file}: line {number} wants {', '.join(COLUMNS)}, with split one of {SPLITS}")
        known[row[0]] = Row(*row)
    return known


def write_table(file: Path, rows: Sequence[Row]) -> None:
    """Writes the rows as CSV, whole or not at all; a file that says the same is left alone."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.file, row.label, row.split, row.group) for row in rows)
    write_whole(file, out.getvalue().encode())


def split_into_folders(
    folder: Path,
    output: Path,
    settings: SplitSettings,
    placing: Placing,
    *,
    index: Path | None = None,
    show: Show = show_nothing,
) -> Split:
    """As :func:`split_pictures`, and puts each picture at ``output/SPLIT/`` with its path below ``folder``.

    ``output/split.csv`` has the rows. The same call again adds what is new.

    Raises :class:`~maskgate.errors.DataError` where ``output`` holds something else, or holds
    pictures that ``folder`` has no more.
    """
    if output.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{output} lies in {folder}, whose pictures are split; give one outside")
    made = OutputFolder(
        output, "split", {"folder": str(folder.resolve()), "pictures": placing, **vars(settings)}
    )
    table = output / TABLE
    known = read_table(table)
    gone = [name for name in known if not (folder / name).is_file()]
    if gone:
        raise DataError(
            f"{table} has pictures that {folder} has no more, {len(gone)} in all, such as {gone[0]}; "
            "give a new folder for the output"
        )
    split = split_pictures(folder, settings, known=known, index=index, show=show)
    # first the table: what a kill leaves is completed to the same split
    write_table(table, split.rows)
    for row in split.rows:
        place_picture(folder / row.file, output / row.split / row.file, placing)
    made.finish({"pictures": len(split.rows)})
    return split
