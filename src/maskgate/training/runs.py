"""A run folder: settings, seed, data manifest with hashes, curves, checkpoints, final figures."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboardX import SummaryWriter

from maskgate.errors import DataError
from maskgate.files import sha256_of, write_atomic, write_json


class RunFolder:
    """Everything a training run leaves behind.

    ``settings.json``, ``manifest.json`` (each picture's path and sha256), ``curves.csv`` (a row an
    epoch), ``tensorboard/`` (the same, and the loss within epochs), ``checkpoint.pt`` (to go on
    from), ``model.safetensors`` and ``figures.json`` (at the end). Raises
    :class:`~maskgate.errors.DataError` where a folder already holds a run with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        file = path / "settings.json"
        plain = json.loads(json.dumps(settings, default=str))
        if file.exists():
            if json.loads(file.read_text()) != plain:
                raise DataError(
                    f"{file} holds a run with other settings; give another output folder or remove it"
                )
        else:
            write_json(file, plain)
        self._board: SummaryWriter | None = None

    def close(self) -> None:
        """Ends the writing of ``tensorboard/``."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def log(self, name: str, value: float, step: int) -> None:
        """Adds a point to the curve ``name`` in ``tensorboard/``; of a run that goes on, its later
        points are hidden."""
        if not math.isfinite(value):  # a share of nothing has no place on a curve
            return
        if self._board is None:
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step, flush_secs=30)
        self._board.add_scalar(name, value, step)

    def write_manifest(self, root: Path, files: Iterable[Path]) -> None:
        """Lists the pictures that take part, relative to ``root``, with their sha256."""
        rows = {str(f.relative_to(root)): sha256_of(f) for f in sorted(set(files))}
        write_json(self.path / "manifest.json", rows)

    def add_row(self, row: Mapping[str, float | int]) -> None:
        """Appends to ``curves.csv``; columns are fixed by the first row."""
        file = self.path / "curves.csv"
        fresh = not file.exists()
        with file.open("a", newline="") as out:
            writer = csv.DictWriter(out, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        for name, value in row.items():
            if name != "epoch":
                self.log(name.replace("_", "/", 1), float(value), int(row.get("step", row["epoch"])))

    def keep_rows(self, epochs: int) -> None:
        """Drops rows after ``epochs``: a run that goes on from a checkpoint writes them anew."""
        file = self.path / "curves.csv"
        if file.exists():
            lines = file.read_text().splitlines(keepends=True)
            write_atomic(file, "".join(lines[: epochs + 1]).encode())

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Writes ``checkpoint.pt`` atomically."""
        temporary = self.path / f".checkpoint.{os.getpid()}"
        torch.save(dict(state), temporary)
        os.replace(temporary, self.path / "checkpoint.pt")

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The checkpoint, or None in a fresh folder."""
        file = self.path / "checkpoint.pt"
        if not file.exists():
            return None
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return state
