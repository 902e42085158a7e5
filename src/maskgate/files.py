"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_atomic(path: Path, data: bytes, *, folders: bool = True) -> None:
    """Writes ``data`` beside ``path`` and moves it there: a kill leaves the old file or the new one.

    Missing folders are made, unless ``folders`` is false. Raises ``OSError`` where it cannot be
    written.
    """
    if folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    # opened this way, unlike by tempfile, the file gets the permissions that the user's umask gives
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically; what JSON does not know is written as text."""
    write_atomic(path, (json.dumps(value, indent=2, default=str) + "\n").encode())
