"""``maskgate data sheet``."""

from __future__ import annotations

import argparse

from maskgate.cli.data.options import AGAIN, add_output
from maskgate.cli.data.saying import report, say
from maskgate.cli.options import Commands, add_command, at_least_one, existing_file, existing_folder
from maskgate.cli.progress import progress_bar


def add_command_to(group: Commands) -> None:
    """Adds ``data sheet``."""
    command = add_command(
        group,
        "sheet",
        "Draws contact sheets: many small pictures with their labels.",
        details="Labels are the names of the folders in DIR, or the boxes of DIR/annotations.json (COCO). "
        f"{AGAIN}",
        example="maskgate data sheet labelled --output sheets --columns 12",
    )
    command.add_argument("folder", metavar="DIR", type=existing_folder, help="holds the pictures")
    add_output(command)
    command.add_argument(
        "--csv",
        metavar="FILE",
        type=existing_file,
        help="labels from there: columns 'file' (in DIR) and 'label'",
    )
    for name, number, what in (
        ("columns", 10, "pictures a row"),
        ("rows", 10, "rows a sheet"),
        ("cell", 128, "pixels a picture"),
    ):
        command.add_argument(
            f"--{name}", metavar="N", type=at_least_one, default=number, help=f"{what} (default: {number})"
        )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.sheet import SheetSettings, make_sheets, read_entries

    settings = SheetSettings(arguments.columns, arguments.rows, arguments.cell)
    entries = read_entries(arguments.folder, arguments.csv)
    with progress_bar(len(entries)) as show:
        sheets = make_sheets(entries, arguments.output, settings, show=show)
    for file in sheets.files:
        say(str(file))
    return report(sheets.failures)
