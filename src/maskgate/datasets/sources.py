"""Pictures and videos as one kind of source: frames with their times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskgate.datasets.output import sha256_of
from maskgate.errors import DataError, ImageReadError
from maskgate.images import read_image
from maskgate.types import Image

VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""File names that end so, in any case, are opened as videos."""


@dataclass(frozen=True, eq=False)
class Frame:
    """``image`` ``(H, W, 3)`` uint8 RGB at ``seconds`` from the start; None for a picture."""

    image: Image
    seconds: float | None


def is_video(path: Path) -> bool:
    """By the name's end, as OpenCV finds out the rest."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def hash_source(path: Path) -> str:
    """Hex sha256 of the file. Raises :class:`~maskgate.errors.ImageReadError` where it cannot be read."""
    try:
        return sha256_of(path)
    except DataError as error:
        raise ImageReadError(str(error)) from error


def count_frames(path: Path, every: float) -> int:
    """About how many frames :func:`read_frames` will give, at least 1; for a progress bar."""
    if not is_video(path):
        return 1
    try:
        with _open_video(path) as video:
            rate, frames = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
    except ImageReadError:
        return 1
    return max(int(frames / rate / every), 1) if rate > 0 and frames > 0 else 1


def read_frames(path: Path, every: float) -> Iterator[Frame]:
    """The picture, or a video's frames at least ``every`` seconds apart, the first included.

    Frames in between are skipped without being decoded to pixels. Raises
    :class:`~maskgate.errors.ImageError` where a file cannot be read.
    """
    if not is_video(path):
        yield Frame(read_image(path), None)
        return
    with _open_video(path) as video:
        rate = video.get(cv2.CAP_PROP_FPS)
        due, number = 0.0, 0
        while video.grab():
            seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if number and seconds <= 0:  # some containers have no times
                seconds = number / rate if rate > 0 else number / 25
            number += 1
            if seconds + 1e-6 < due:
                continue
            known, frame = video.retrieve()
            if known:
                # on a grid of ``every`` seconds, so that late frames do not add up
                due = (seconds + 1e-6) // every * every + every
                yield Frame(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), seconds)
        if not number:
            raise ImageReadError(f"{path} holds no frames that can be decoded")


@contextmanager
def _open_video(path: Path) -> Iterator[cv2.VideoCapture]:
    if not path.is_file():
        raise ImageReadError(f"{path} does not exist or is not a file")
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise ImageReadError(f"{path} cannot be opened as a video")
        yield video
    finally:
        video.release()
