"""``maskgate data split``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskgate.cli.data.options import AGAIN, add_distance, add_placing, add_seed
from maskgate.cli.data.saying import count, report
from maskgate.cli.options import Commands, add_command, existing_file, existing_folder
from maskgate.cli.progress import progress_bar
from maskgate.cli.tables import new_table, print_table

if TYPE_CHECKING:
    from maskgate.datasets.split import Split


def add_command_to(group: Commands) -> None:
    """Adds ``data split``."""
    command = add_command(
        group,
        "split",
        "Splits labelled pictures for training, validation and test.",
        details="A label is the name of a folder in DIR. Near-duplicates stay together. New pictures move no "
        f"old ones. {AGAIN}",
        example="maskgate data split labelled --output faces-split --validation 0.1 --test 0.2",
    )
    command.add_argument("folder", metavar="DIR", type=existing_folder, help="holds a folder a label")
    place = command.add_mutually_exclusive_group(required=True)
    place.add_argument("--csv", metavar="FILE", type=Path, help="write file, label, split and group there")
    place.add_argument(
        "--output", metavar="DIR", type=Path, help="put pictures into DIR/SPLIT/LABEL, and split.csv beside"
    )
    for name in ("validation", "test"):
        command.add_argument(
            f"--{name}", metavar="SHARE", type=float, default=0.1, help="of the groups (default: 0.1)"
        )
    command.add_argument(
        "--group-by",
        choices=("folder",),
        help="also keep pictures of one folder together, below the label's: LABEL/PERSON/a.jpg",
    )
    command.add_argument(
        "--index",
        metavar="FILE",
        type=existing_file,
        help="index.jsonl of 'collect': also keep faces of one picture or video together",
    )
    add_distance(command, "two pictures count as near-duplicates")
    add_seed(command)
    add_placing(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.split import (
        SplitSettings,
        read_table,
        split_into_folders,
        split_pictures,
        write_table,
    )
    from maskgate.images import find_images

    settings = SplitSettings(
        arguments.validation, arguments.test, arguments.seed, arguments.distance, arguments.group_by
    )
    folder: Path = arguments.folder
    with progress_bar(len(find_images([folder]))) as show:
        if arguments.csv is not None:
            known = read_table(arguments.csv)
            split = split_pictures(folder, settings, known=known, index=arguments.index, show=show)
            write_table(arguments.csv, split.rows)
        else:
            split = split_into_folders(
                folder, arguments.output, settings, arguments.pictures, index=arguments.index, show=show
            )
    _print_split(split)
    if split.bridged:
        report(
            [
                f"{count(len(split.bridged), 'new picture')} went to training although near-duplicates are "
                f"on other sides, such as {split.bridged[0]}; remove them for a clean split"
            ]
        )
    return report(split.failures)


def _print_split(split: Split) -> None:
    counts = split.counts
    labels = sorted({label for _, label in counts})
    table = new_table("split", *(label or "(none)" for label in labels), right=tuple(labels))
    for side in ("training", "validation", "test"):
        table.add_row(side, *(str(counts[side, label]) for label in labels))
    print_table(sys.stdout, table)
