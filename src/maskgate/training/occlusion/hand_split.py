"""Hands to learn with and hands to judge with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def split_hands(files: Sequence[Path], data: Path) -> tuple[list[Path], list[Path]]:
    """Hands to train with and hands to judge with; no person's on both sides where known."""
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
    for i, file in enumerate(files):
        held = person[file.name] in aside if file.name in person else i % 8 == 0
        (keep if held else learn).append(file)
    return learn, keep
