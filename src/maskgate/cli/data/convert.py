"""``maskgate data convert``."""

from __future__ import annotations

import argparse

from maskgate.cli.data.options import AGAIN, add_output, add_placing
from maskgate.cli.data.saying import count, report, say
from maskgate.cli.options import Commands, add_command, existing_folder
from maskgate.cli.progress import progress_bar

_FORMATS = ("coco", "voc", "yolo")


def add_command_to(group: Commands) -> None:
    """Adds ``data convert``."""
    command = add_command(
        group,
        "convert",
        "Writes box annotations in another format: COCO, Pascal VOC or YOLO.",
        details=AGAIN,
        example="maskgate data convert fmd --to coco --output scenes "
        "--rename with_mask=mask without_mask=no_mask mask_weared_incorrect=incorrect",
    )
    command.add_argument("folder", metavar="DIR", type=existing_folder, help="holds pictures and annotations")
    add_output(command)
    command.add_argument("--to", choices=_FORMATS, required=True, help="the format to write")
    command.add_argument(
        "--from", dest="source", choices=_FORMATS, help="the format of DIR (default: what it looks like)"
    )
    command.add_argument(
        "--rename", metavar="OLD=NEW", nargs="+", default=[], type=_renaming, help="other names for labels"
    )
    command.add_argument(
        "--from-one",
        action="store_true",
        help="VOC corners count pixels from 1 and name the last one inside, as in VOC's own sets",
    )
    add_placing(command)
    command.set_defaults(run=_run)


def _renaming(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (old and sign and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OLD=NEW")
    return old, new


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.convert import convert

    result = convert(
        arguments.folder,
        arguments.output,
        arguments.to,
        source=arguments.source,
        names=dict(arguments.rename),
        placing=arguments.pictures,
        from_one=arguments.from_one,
        progress=progress_bar,
    )
    boxes = ", ".join(f"{number:,} {label}" for label, number in sorted(result.boxes.items()))
    say(f"{count(result.pictures, 'picture')} in {arguments.output}: {boxes or 'no boxes'}")
    if result.left_out:
        what = "box is" if result.left_out == 1 else "boxes are"
        report([f"{result.left_out} {what} left out: YOLO cannot mark a box as one to ignore"])
    return 0
