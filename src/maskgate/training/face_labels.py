"""What the teacher found in each picture, kept in a file that a stopped run goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from tqdm import tqdm

from maskgate.errors import DataError
from maskgate.types import Faces, Image


def read_face_labels(cache: Path) -> dict[str, Faces]:
    """Faces by picture path (relative to the data folder) from a JSON-lines file.

    A last line that a kill cut short is left out.
    """
    labels: dict[str, Faces] = {}
    if not cache.exists():
        return labels
    for line in cache.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        labels[row["path"]] = _faces(row)
    return labels


def _faces(row: Mapping[str, Any]) -> Faces:
    return Faces(
        np.array(row["boxes"], np.float32).reshape(-1, 4),
        np.array(row["scores"], np.float32),
        np.array(row["landmarks"], np.float32).reshape(-1, 5, 2),
    )


class FaceLabeller(Protocol):
    """Finds the faces of a picture, ``(H, W, 3)`` uint8 RGB. Several threads may call it at once."""

    def label(self, image: Image, /) -> Faces:
        """Faces in the picture's pixels, best score first."""
        ...


def label_pictures(
    teacher: FaceLabeller, root: Path, files: Sequence[Path], cache: Path, threads: int = 1
) -> dict[str, Faces]:
    """Lets ``teacher`` label those of ``files`` that ``cache`` does not hold yet; returns all labels.

    With more than one of ``threads``, as many pictures are looked at a time; the file is the same.

    Raises :class:`~maskgate.errors.DataError` on a picture that cannot be read.
    """
    labels = read_face_labels(cache)
    todo = [f for f in files if str(f.relative_to(root)) not in labels]
    if not todo:
        return labels
    cache.parent.mkdir(parents=True, exist_ok=True)
    whole = not cache.exists() or cache.read_bytes()[-1:] in (b"", b"\n")
    with cache.open("a") as out:
        if not whole:
            out.write("\n")
        with _in_order(partial(_row, teacher, root), todo, threads) as rows:
            for row in tqdm(rows, f"teacher labels {cache.name}", len(todo), mininterval=5):
                out.write(json.dumps(row) + "\n")
                out.flush()
                labels[row["path"]] = _faces(row)  # as a run that goes on from the file will see it
    return labels


@contextmanager
def _in_order(
    make: Callable[[Path], dict[str, Any]], files: Sequence[Path], threads: int
) -> Iterator[Iterator[dict[str, Any]]]:
    """A row a file. What was not begun when the caller stops is not begun any more."""
    if threads == 1:
        yield map(make, files)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map(make, files)
    finally:
        pool.shutdown(cancel_futures=True)


def _row(teacher: FaceLabeller, root: Path, file: Path) -> dict[str, Any]:
    data = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if data is None:
        raise DataError(f"{file} cannot be read as a picture; remove it from the data folder")
    image = np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)
    faces = teacher.label(image)
    return {
        "path": str(file.relative_to(root)),
        "width": image.shape[1],
        "height": image.shape[0],
        "boxes": faces.boxes.round(2).tolist(),
        "scores": faces.scores.round(4).tolist(),
        "landmarks": faces.landmarks.round(2).tolist(),
    }
