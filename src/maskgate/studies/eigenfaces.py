"""The eigenfaces of a finished fit, as a plot: mean face, first components, explained variance."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from maskgate.classification.pca import Eigenfaces, eigenfaces_from_bytes
from maskgate.errors import DataError, InputError
from maskgate.files import write_atomic
from maskgate.studies.plots import COLOURS, svg

COLUMNS = 6


def eigenfaces_plot(eigenfaces: Eigenfaces, explained: NDArray[np.float64], first: int = 11) -> str:
    """An SVG element: the mean face and the ``first`` components above, below them the share of the
    variance that the largest 1, 2, 3 … components explain, and how many are in use.

    Args:
        explained: ``(M,)`` share of each component, largest first, M at least the number in use.
    """
    size = eigenfaces.size
    faces = [("mean face", eigenfaces.mean)]
    faces += [(f"{i + 1}: {explained[i]:.1%}", c) for i, c in enumerate(eigenfaces.components[:first])]
    rows = -(-len(faces) // COLUMNS)
    figure = Figure(figsize=(9, 1.7 * rows + 3), layout="constrained")
    grid: Any = GridSpec(rows + 1, COLUMNS, figure=figure, height_ratios=[1] * rows + [1.7])
    for place, (title, face) in enumerate(faces):
        axes = figure.add_subplot(grid[divmod(place, COLUMNS)])
        reach = float(np.abs(face).max())
        axes.imshow(face.reshape(size, size), cmap="gray", vmin=-reach, vmax=reach)
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()
    _draw_explained(figure.add_subplot(grid[rows, :]), explained, len(eigenfaces))
    return svg(figure)


def _draw_explained(axes: Axes, explained: NDArray[np.float64], used: int) -> None:
    total = np.cumsum(explained)
    numbers = np.arange(1, len(total) + 1)
    axes.plot(numbers, total, color=COLOURS[0], lw=1.8)
    axes.axvline(used, color=COLOURS[1], lw=1, ls="--")
    axes.annotate(
        f"{used} in use: {total[used - 1]:.1%}", (used, total[used - 1]), xytext=(-6, -16),
        textcoords="offset points", ha="right", fontsize=8, color=COLOURS[1],
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("components")
    axes.set_ylabel("explained share of the variance")
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def write_eigenfaces_plot(run: Path) -> Path:
    """Draws what ``maskgate train pca`` left in ``run`` and writes ``eigenfaces.svg`` there.

    Raises :class:`~maskgate.errors.DataError` where the run is not finished.
    """
    try:
        eigenfaces = eigenfaces_from_bytes((run / "model.npz").read_bytes())
        with (run / "explained.csv").open(newline="") as file:
            explained = np.array([float(row["share"]) for row in csv.DictReader(file)])
    except (OSError, KeyError, ValueError, InputError) as error:
        raise DataError(f"{run} is no folder of finished eigenfaces: {error}") from error
    path = run / "eigenfaces.svg"
    write_atomic(path, (eigenfaces_plot(eigenfaces, explained) + "\n").encode())
    return path
