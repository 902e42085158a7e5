"""Where the picture of an event lies: what those who keep it and those who show it must agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskgate.events.types import is_id

SUFFIX: Final = ".maskgate.jpg"
"""Of the files' names, before which stands the event's id."""


def snapshot_path(folder: Path, id: str) -> Path:
    """The file of an event's picture. Raises ``ValueError`` where ``id`` is no id, such as a path."""
    if not is_id(id):
        raise ValueError("not an event's id")
    return folder / f"{id}{SUFFIX}"
