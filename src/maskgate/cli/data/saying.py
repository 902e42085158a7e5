"""Sentences that the commands of ``maskgate data`` end with."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from maskgate.cli.tables import printable


def say(sentence: str) -> None:
    """A line on standard output."""
    sys.stdout.write(f"{printable(sentence)}\n")


def report(sentences: Iterable[str]) -> int:
    """Sentences on standard error; the exit status that they cause where they are failures."""
    some = False
    for sentence in sentences:
        sys.stderr.write(f"maskgate: {printable(sentence)}\n")
        some = True
    return int(some)


def count(number: int, noun: str) -> str:
    """``1 face``, ``2 faces``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
