"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, get_args

from maskgate.errors import InputError
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, Device
from maskgate.pipeline import MaskGate

# its class is public in all but its name, and takes the brackets in annotations only
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FORMATS = ("table", "jsonl")


def add_command(
    commands: Commands, name: str, summary: str, *, details: str = "", example: str = ""
) -> argparse.ArgumentParser:
    """A command with its help: ``summary`` for the list of commands, ``details`` for its own page."""
    return commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=f"{summary} {details}".strip(),
        epilog=f"example: {example}" if example else None,
        allow_abbrev=False,
    )


def add_group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that is followed by another word."""
    group = add_command(commands, name, summary)
    return group.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """``--format``."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="a table, or one JSON object a line (default: table on a terminal, jsonl otherwise)",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that :func:`create_gate` reads."""
    group = parser.add_argument_group("models", "'maskgate models list' shows which there are.")
    group.add_argument("--detector", metavar="NAME", help=f"finds the faces (default: {DEFAULT_DETECTOR})")
    group.add_argument(
        "--classifier",
        metavar="NAME",
        help=f"says what is on them (default: {DEFAULT_CLASSIFIER}, or a detector that says it itself)",
    )
    group.add_argument(
        "--score",
        metavar="FLOAT",
        type=float,
        help="lowest detector score of a face (default: the detector's own)",
    )
    group.add_argument(
        "--threshold",
        metavar="FLOAT",
        type=float,
        help="P(mask) from which a face counts as masked (default: the classifier's own)",
    )
    add_device_options(group)


def add_device_options(parser: argparse._ActionsContainer) -> None:
    """``--device`` and ``--threads``."""
    parser.add_argument(
        "--device", choices=get_args(Device), default="cpu", help="where the networks run (default: cpu)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=int, help="processor threads of the networks (default: all processors)"
    )


def create_gate(arguments: argparse.Namespace) -> MaskGate:
    """The pipeline that the options ask for."""
    return MaskGate(
        arguments.detector,
        arguments.classifier,
        score=arguments.score,
        threshold=arguments.threshold,
        device=arguments.device,
        threads=arguments.threads,
    )


def existing_folder(text: str) -> Path:
    """A folder, for argparse."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return Path(text)


def existing_file(text: str) -> Path:
    """A file, for argparse."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} is not a file")
    return Path(text)


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


@contextmanager
def needing_extra(doing: str, extra_with: Callable[[str], str]) -> Iterator[None]:
    """Turns a missing package into one sentence.

    Args:
        doing: what needs it, such as ``"training"``.
        extra_with: names the extra that a package comes with.

    Raises :class:`~maskgate.errors.InputError`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "maskgate":
            raise
        raise InputError(
            f"{doing} needs the package {package}, which is not installed; "
            f"run: pip install 'maskgate[{extra_with(package)}]'"
        ) from error
