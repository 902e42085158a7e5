"""Where in a TOML file a value stands: the standard library's reader does not say."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, way: Sequence[str | int]) -> int:
    """The line, from 1, on which the statement begins that gives the value its place.

    A value is there from that statement on: in the shortest beginning of the file that is TOML and holds
    it. Where the file does not hold it, as with a field that is missing, the line is that of the deepest
    table on the way to it; of the whole file, 1. Reads the file again for each of its lines, so it is
    made for the moment of an error.

    Args:
        text: a valid TOML file.
        way: keys and, in arrays of tables, numbers from 0.
    """
    lines = text.splitlines(keepends=True)
    while way:
        begin = 0  # lines of the last beginning that is TOML by itself
        for end in range(1, len(lines) + 1):
            content = _parse("".join(lines[:end]))
            if content is None:
                continue
            if _holds(content, way):
                return begin + 1
            begin = end
        way = way[:-1]
    return 1


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _holds(content: Any, way: Sequence[str | int]) -> bool:
    for step in way:
        if isinstance(step, int):
            if not isinstance(content, list) or step >= len(content):
                return False
        elif not isinstance(content, dict) or step not in content:
            return False
        content = content[step]
    return True
