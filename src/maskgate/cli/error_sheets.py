"""A detector's errors as files: ``--errors`` of ``maskgate evaluate faces``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskgate.datasets.annotations import Annotation
from maskgate.datasets.sheet import Entry, SheetSettings, draw_sheet
from maskgate.evaluation.face_errors import FaceError, corners_of, errors_as_csv, face_errors
from maskgate.evaluation.face_pictures import UNKNOWN, FacePicture
from maskgate.files import write_atomic
from maskgate.images import encode_image
from maskgate.types import LABELS, Faces

_SHEET = SheetSettings(columns=10, rows=8, cell=144)

_AROUND = 2.5
"""Side of what is shown, in longer sides of the box."""


def write_errors(folder: Path, pictures: Sequence[FacePicture], answers: Sequence[Faces]) -> None:
    """Writes ``errors.csv`` with all errors, and ``missed.jpg`` and ``false.jpg`` with 80 of each, drawn at
    random but always the same: what they show is shown in the same shares by all.

    A cell shows the surroundings of its face. Annotated faces have a box in the colour of what is on them,
    found ones a pale one.
    """
    errors = face_errors(pictures, answers)
    write_atomic(folder / "errors.csv", errors_as_csv(errors, [str(p.path) for p in pictures]).encode())
    for kind in ("missed", "false"):
        own = [error for error in errors if error.kind == kind]
        count = _SHEET.columns * _SHEET.rows
        chosen = np.random.default_rng(0).permutation(len(own))[:count]
        file = folder / f"{kind}.jpg"
        if not own:
            file.unlink(missing_ok=True)  # of an earlier call
            continue
        entries = [_entry(own[i], pictures[own[i].picture], answers[own[i].picture]) for i in chosen]
        write_atomic(file, encode_image(draw_sheet(entries, _SHEET)[0], "JPEG"))


def _entry(error: FaceError, picture: FacePicture, faces: Faces) -> Entry:
    x1, y1, x2, y2 = error.box
    half = _AROUND / 2 * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    drawn = [Annotation("", corners_of(box)) for box in faces.boxes]
    for box, label, ignore in zip(picture.boxes, picture.labels, picture.ignore, strict=True):
        drawn.append(Annotation("" if label == UNKNOWN else LABELS[label], corners_of(box), bool(ignore)))
    caption = error.kind if error.score is None else f"{error.score:.2f}"
    return Entry(
        picture.path, picture.path.name, caption, tuple(drawn), (x - half, y - half, x + half, y + half)
    )
