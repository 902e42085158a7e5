"""Files that appear whole or not at all, their hashes, and values that JSON can hold."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def temporary_beside(path: Path) -> Path:
    """A name in the folder of ``path`` for what is to be moved there once it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def write_atomic(path: Path, data: bytes, *, folders: bool = True, mode: int = 0o666) -> None:
    """Writes ``data`` beside ``path`` and moves it there: a kill leaves the old file or the new one.

    Missing folders are made, unless ``folders`` is false. The file has the access rights ``mode`` from
    its first byte on, less what the user's umask takes. Raises ``OSError`` where it cannot be written.
    """
    if folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    # opened this way, unlike by tempfile, the file gets the permissions that the user's umask gives
    temporary = temporary_beside(path)
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically; what JSON does not know is written as text."""
    write_atomic(path, (json.dumps(value, indent=2, default=str) + "\n").encode())


def npz_bytes(**arrays: Any) -> bytes:
    """Arrays by name as an ``.npz``; the same bytes for the same arrays."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: NaN and infinity become None, NumPy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def sha256_of(path: Path) -> str:
    """Hex digest of a file. Raises ``OSError`` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
