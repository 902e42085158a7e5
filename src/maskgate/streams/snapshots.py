"""Pictures of violations, where they are wanted: blurred, readable by their owner alone, deleted in time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.drawing import blur_faces
from maskgate.errors import InputError
from maskgate.events.snapshot_files import SUFFIX, snapshot_path
from maskgate.events.types import Event
from maskgate.files import write_atomic
from maskgate.images import encode_image
from maskgate.types import Faces, Image

Shown = Literal["scene", "face"]
"""What is left to be seen: the scene with every face in it blurred, or one face with all else blurred."""

SHOWN: Final[tuple[str, ...]] = get_args(Shown)

_CLEAN_SECONDS: Final = 60.0
_CELLS: Final = 24


@dataclass(frozen=True)
class SnapshotSettings:
    """Where pictures are kept, what they show, and for how many hours.

    Raises :class:`~maskgate.errors.InputError` on a value out of range.
    """

    folder: Path
    show: Shown
    keep_hours: float = 72.0

    def __post_init__(self) -> None:
        if self.show not in SHOWN:
            raise InputError(f"show is {self.show!r}; give 'scene' or 'face'")
        if not 0 < self.keep_hours <= 24 * 366:
            raise InputError(f"keep_hours is {self.keep_hours:g}; give hours, at most a year of them")


class Snapshots:
    """The folder of pictures. One of a violation is called by its event's id.

    Args:
        settings: the folder is made where it is missing, for its owner alone; one that is there and open
            to others is refused, and so are links.

    Raises :class:`~maskgate.errors.InputError` where the folder cannot be used.
    """

    def __init__(self, settings: SnapshotSettings) -> None:
        self._settings = settings
        self._cleaned = float("-inf")
        folder = settings.folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.stat()
        except OSError as error:
            raise InputError(f"{folder} cannot be made a folder for snapshots: {error.strerror}") from None
        if os.name == "posix" and status.st_mode & 0o077:
            raise InputError(
                f"the folder of snapshots {folder} can be read by others; say chmod 700 {folder}, or name "
                "a folder that does not exist yet"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"the folder of snapshots {folder} cannot be written to")

    def keep(self, event: Event, image: Image, faces: Faces) -> Path | None:
        """Keeps a blurred picture of a violation; of other events there is none.

        Args:
            event: of a track, with its box in ``image``.
            image: ``(H, W, 3)`` uint8 RGB.
            faces: all that were found in it.

        Raises ``OSError`` where it cannot be written; nothing is left of it then.
        """
        if (
            not event.violation
            or event.box is None
            or not event.type.value.endswith(("confirmed", "changed"))
        ):
            return None
        if self._settings.show == "scene":
            shown = blur_faces(image, faces)
        else:
            shown = show_face_only(image, np.array(event.box))
        path = snapshot_path(self._settings.folder, event.id)
        write_atomic(path, encode_image(shown, "JPEG"), folders=False, mode=0o600)
        return path

    def clean(self, *, now: float | None = None) -> None:
        """Deletes what is older than allowed; does nothing within a minute of the last time.

        Args:
            now: seconds since 1970; None: by the clock.
        """
        now = time.time() if now is None else now
        if now - self._cleaned < _CLEAN_SECONDS:
            return
        self._cleaned = now
        oldest = now - 3600 * self._settings.keep_hours
        folder = self._settings.folder
        # what a kill has left half-written, too
        for path in (*folder.glob(f"*{SUFFIX}"), *folder.glob(f".*{SUFFIX}.*.tmp")):
            try:
                if path.lstat().st_mtime < oldest:
                    path.unlink()
            except OSError:  # somebody else was quicker
                continue


def show_face_only(image: Image, box: NDArray[np.floating]) -> Image:
    """A copy of ``image``, ``(H, W, 3)`` uint8 RGB, averaged to at most 24 cells a side but for an
    ellipse 1.2 times the ``box``."""
    height, width = image.shape[:2]
    cell = max(width, height) / _CELLS
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    coarse = cv2.resize(image, cells, interpolation=cv2.INTER_AREA)
    shown = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    x1, y1, x2, y2 = (float(v) for v in box)
    y, x = np.ogrid[:height, :width]
    rx, ry = 0.6 * max(x2 - x1, 1.0), 0.6 * max(y2 - y1, 1.0)
    inside = ((x + 0.5 - (x1 + x2) / 2) / rx) ** 2 + ((y + 0.5 - (y1 + y2) / 2) / ry) ** 2 <= 1
    shown[inside] = image[inside]
    return shown
