"""``maskgate data dedupe``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.text import Text

from maskgate.cli.data.options import INPUT, add_distance
from maskgate.cli.data.saying import count, report, say
from maskgate.cli.options import Commands, add_command, add_format_option, existing_folder
from maskgate.cli.output import choose_format
from maskgate.cli.progress import progress_bar
from maskgate.cli.tables import new_table, print_table, printable
from maskgate.errors import InputError
from maskgate.serialisation import to_line


def add_command_to(group: Commands) -> None:
    """Adds ``data dedupe``."""
    command = add_command(
        group,
        "dedupe",
        "Finds pictures that show nearly the same.",
        details="The best of each group comes first: the largest, among those the sharpest. Nothing is "
        "ever deleted.",
        example="maskgate data dedupe faces/unlabelled --move faces-twice",
    )
    command.add_argument("inputs", metavar="INPUT", nargs="*", help=INPUT)
    command.add_argument(
        "--move",
        metavar="DIR",
        type=Path,
        help="move all but the best of each group there; outside the inputs",
    )
    command.add_argument(
        "--undo", metavar="DIR", type=existing_folder, help="move what --move has moved there back"
    )
    add_distance(command, "two pictures count as nearly the same")
    add_format_option(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.dedupe import (
        check_moving_to,
        find_duplicates,
        finish_moves,
        move_duplicates,
        undo_moves,
    )
    from maskgate.images import find_images

    if arguments.undo is not None:
        if arguments.inputs or arguments.move is not None:
            raise InputError("--undo moves pictures back and looks for none; give it alone")
        say(f"{count(undo_moves(arguments.undo), 'picture')} moved back from {arguments.undo}")
        return 0
    if not arguments.inputs:
        raise InputError("no input is given; name a picture, a folder or a glob")
    if not 0 <= arguments.distance <= 256:
        raise InputError(f"--distance is {arguments.distance}; give bits from 0 to 256")
    roots = [Path(given) for given in arguments.inputs if Path(given).is_dir()]
    if arguments.move is not None:
        check_moving_to(arguments.move, roots)
        finish_moves(arguments.move)
    pictures = find_images(arguments.inputs)
    with progress_bar(len(pictures)) as show:
        found = find_duplicates(pictures, arguments.distance, show=show)
    if choose_format(arguments.format, None) == "jsonl":
        for group in found.groups:
            sys.stdout.write(to_line({"best": str(group.best), "others": [str(o) for o in group.others]}))
    else:
        table = new_table("best", "nearly the same")
        for group in found.groups:
            others = "\n".join(printable(str(other)) for other in group.others)
            table.add_row(Text(printable(str(group.best))), Text(others))
        print_table(sys.stdout, table)
    if arguments.move is not None:
        moved = move_duplicates(found.groups, arguments.move, roots)
        report([f"{count(moved, 'picture')} moved to {arguments.move}"])
    return report(found.failures)
