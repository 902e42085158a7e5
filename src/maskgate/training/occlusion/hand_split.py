"""Hands to learn with and hands to judge with."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path


def split_hands(files: Sequence[Path], data: Path) -> tuple[list[Path], list[Path]]:
    """Hands to train with and hands to judge with; no person's on both sides where known.

    A file's side depends on its name and ``hands/dorsal.csv`` below ``data`` alone, not on which
    other files are given or in which order.
    """
    table = data / "hands" / "dorsal.csv"
    person = {}
    if table.exists():
        for line in table.read_text().splitlines()[1:]:
            name, who, *_ = line.split(",")
            person[name] = int(who)
    known = sorted(set(person.values()))
    aside = set(known[:: max(len(known) // 12, 1)])
    learn: list[Path] = []
    keep: list[Path] = []
    for file in files:
        # 5 of 8: the models that ship were trained without these
        held = person[file.name] in aside if file.name in person else _number(file) % 8 == 5
        (keep if held else learn).append(file)
    return learn, keep


def _number(file: Path) -> int:
    """The last number in a file's name, or a checksum of a name without one."""
    numbers = re.findall(r"[0-9]+", file.stem)
    return int(numbers[-1]) if numbers else zlib.crc32(file.name.encode())
