"""``maskgate models``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, get_args

from rich.table import Table
from rich.text import Text

from maskgate.cli.options import Commands, add_command, add_format_option, add_group, existing_file
from maskgate.cli.output import choose_format
from maskgate.cli.tables import new_table, print_table, printable
from maskgate.cli.training_options import needing_the_extra
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, list_models
from maskgate.models.cards import Task
from maskgate.models.own import remove_model
from maskgate.models.registry import list_plugins
from maskgate.serialisation import to_line

_FIELDS = (
    "version", "architecture", "description", "bytes", "licence", "sha256", "classes", "training", "figures",
)  # fmt: skip
_DEFAULTS: Mapping[Task, str] = {"detection": DEFAULT_DETECTOR, "classification": DEFAULT_CLASSIFIER}


def add_commands(commands: Commands) -> None:
    """Adds ``models list``, ``models import`` and ``models remove``."""
    group = add_group(commands, "models", "Shows the networks that can be chosen, and changes your own.")
    listing = add_command(
        group,
        "list",
        "Shows every detector and classifier, with size, licence and training.",
        details="Their names are for --detector and --classifier.",
        example="maskgate models list --format jsonl",
    )
    add_format_option(listing)
    listing.set_defaults(run=_run_list)
    importing = add_command(
        group,
        "import",
        "Makes a detector of RetinaFace's published weights; needs the extra 'train'.",
        details="Takes Resnet50_Final.pth and mobilenet0.25_Final.pth of Pytorch_Retinaface, checks their "
        "sha256, and puts the network and its card into the folder of your own models. Nothing in the "
        "file is executed.",
        example="maskgate models import Resnet50_Final.pth",
    )
    importing.add_argument("file", metavar="FILE", type=existing_file, help="a PyTorch state dict")
    importing.add_argument("--name", help="what to choose it by (default: says network and data)")
    importing.add_argument(
        "--sha256", metavar="HEX", help="that the file must have, where it is none of the two published ones"
    )
    importing.add_argument("--unchecked", action="store_true", help="take a file that nobody vouches for")
    importing.add_argument(
        "--activation",
        choices=("leaky", "relu"),
        help="of a MobileNet and its pyramid (default: leaky, as published)",
    )
    importing.add_argument(
        "--anchors",
        metavar="SIDES",
        type=_sides,
        nargs=3,
        help="sides in pixels at strides 8, 16 and 32 (default: 16,32 64,128 256,512)",
    )
    importing.set_defaults(run=_run_import)
    removing = add_command(
        group,
        "remove",
        "Deletes one of your own models.",
        details="Those that ship stay.",
        example="maskgate models remove retinaface-resnet50-widerface",
    )
    removing.add_argument("name", metavar="NAME", help="as 'maskgate models list' shows it")
    removing.set_defaults(run=_run_remove)


def _run_list(arguments: argparse.Namespace) -> int:
    rows = _rows()
    if choose_format(arguments.format, None) == "jsonl":
        for row in rows:
            sys.stdout.write(to_line(row))
    else:
        print_table(sys.stdout, _table(rows))
    return 0


def _run_import(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.published import ANCHORS, ImportOptions, import_published

    card = import_published(
        arguments.file,
        ImportOptions(
            name=arguments.name,
            sha256=arguments.sha256,
            unchecked=arguments.unchecked,
            leaky=None if arguments.activation is None else arguments.activation == "leaky",
            anchors=arguments.anchors or ANCHORS,
        ),
    )
    sys.stdout.write(f"{card.path}\n{card.folder / f'{card.name}.json'}\n")
    sys.stdout.write(f"imported as {card.name}: {card.licence}\n")
    return 0


def _run_remove(arguments: argparse.Namespace) -> int:
    for path in remove_model(arguments.name):
        sys.stdout.write(f"{path}\n")
    return 0


def _sides(text: str) -> tuple[float, ...]:
    try:
        sides = tuple(float(part) for part in text.split(","))
    except ValueError:
        sides = ()
    # two a cell, as the networks have
    if len(sides) != 2 or not all(0 < side < 1e4 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not two sides in pixels with a comma between them")
    return sides


def _rows() -> list[dict[str, Any]]:
    """Models that a name chooses, detectors first: a card is hidden by a plugin of its name."""
    rows = []
    cards = list_models()
    for task in get_args(Task):
        plugins = list_plugins(task)
        names = {plugin.name for plugin in plugins}
        for card in cards:
            if card.task == task and card.name not in names:
                fields = card.to_json()
                rows.append(_row(card.name, task, None) | {name: fields[name] for name in _FIELDS})
        rows += [
            _row(plugin.name, task, plugin.dist.name if plugin.dist else plugin.value)
            | dict.fromkeys(_FIELDS)
            for plugin in plugins
        ]
    return rows


def _row(name: str, task: Task, distribution: str | None) -> dict[str, Any]:
    default = name == _DEFAULTS[task]
    return {"name": name, "task": task, "default": default, "distribution": distribution}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = new_table(
        "name",
        "task",
        "default",
        "size",
        "licence",
        "training",
        "sha256",
        right=("size",),
        whole=("name", "sha256"),
    )
    for row in rows:
        cells = [row["name"], row["task"], "yes" if row["default"] else ""]
        if row["distribution"] is None:
            size, digest = f"{row['bytes'] / 1e6:.1f} MB", row["sha256"][:12]
            cells += [size, row["licence"], _summary(row["training"]), digest]
        else:
            cells += ["", "", f"of the distribution {row['distribution']}", ""]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _summary(training: Mapping[str, Any]) -> str:
    """The few words that there is room for; the card's ``training`` is free in form."""
    start, sources, pictures = (training.get(name) for name in ("start", "sources", "pictures"))
    parts = []
    if isinstance(pictures, int):
        parts.append(f"{pictures:,} pictures")
    if isinstance(sources, list):
        parts.append(f"{len(sources)} sources")
    if isinstance(start, str):
        parts.append(f"from {PurePosixPath(start).name}")
    return ", ".join(parts)
