"""Options that several commands of ``maskgate data`` have."""

from __future__ import annotations

import argparse
from pathlib import Path

INPUT = "a picture, a folder (searched with everything below it) or a glob in quotes"
AGAIN = (
    "The same call again goes on where it was stopped, and adds what is new. "
    "Exit status: 0 all done, 1 some pictures failed, 2 the call was wrong."
)


def add_output(command: argparse.ArgumentParser) -> None:
    """``--output``."""
    command.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="a new folder, or one to go on with"
    )


def add_face_options(command: argparse.ArgumentParser) -> None:
    """``--margin`` and ``--smallest``."""
    command.add_argument(
        "--margin",
        metavar="FLOAT",
        type=float,
        default=2.0,
        help="side of what is cut out over the longer side of the face (default: 2)",
    )
    command.add_argument(
        "--smallest",
        metavar="PIXELS",
        type=float,
        default=40.0,
        help="shorter side from which a face counts (default: 40)",
    )


def add_distance(command: argparse.ArgumentParser, what: str) -> None:
    """``--distance``, which says up to where ``what`` is so."""
    command.add_argument(
        "--distance",
        metavar="BITS",
        type=int,
        default=24,
        help=f"difference of the hashes, of 256 bits, up to which {what} (default: 24)",
    )


def add_seed(command: argparse.ArgumentParser) -> None:
    """``--seed``."""
    command.add_argument("--seed", metavar="N", type=int, default=0, help="of the lots (default: 0)")


def add_placing(command: argparse.ArgumentParser) -> None:
    """``--pictures``."""
    command.add_argument(
        "--pictures",
        choices=("copy", "link"),
        default="copy",
        help="copy the pictures, or link to them (default: copy)",
    )
