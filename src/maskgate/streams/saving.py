"""Drawn video, written whole or not at all."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from maskgate.errors import InputError
from maskgate.files import temporary_beside
from maskgate.types import Image

SUFFIXES: Final = (".mp4", ".mkv", ".mov")
"""Of the files that can be written."""

_TICKS: Final = 90_000  # a second, as MPEG counts
_CODECS: Final = ("libx264", "mpeg4")  # the second is in every build of FFmpeg


class VideoWriter:
    """A video file that appears when it is closed without an error; use it in a ``with`` statement.

    All frames get the size of the first one, made even; those of another size are scaled and get black
    bars. Frames last as long as their positions say.

    Args:
        path: ends in one of :data:`SUFFIXES`; what is there is replaced at the end.
        rate: frames a second, about.

    The class raises :class:`~maskgate.errors.InputError` where nothing can be written there, and its
    methods ``OSError`` where writing fails, as on a full disk.
    """

    def __init__(self, path: Path, rate: float = 25.0) -> None:
        check_video_name(path)
        self._path = path.resolve()
        self._rate = Fraction(rate).limit_denominator(1000)
        self._temporary = temporary_beside(self._path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last = -1
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None and not self._abandoned:
                self._finish()
        finally:
            self._drop()

    def write(self, image: Image, seconds: float) -> None:
        """Adds a frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            seconds: its position, later than the one before; moved on where it is not.
        """
        if self._stream is None:
            self._open(image)
        assert self._stream is not None
        frame = av.VideoFrame.from_ndarray(_fit(image, *self._size), format="rgb24")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._mux(frame)

    def abandon(self) -> None:
        """Lets nothing come of it."""
        self._drop()
        self._abandoned = True

    def _open(self, image: Image) -> None:
        height, width = image.shape[:2]
        self._size = width + width % 2, height + height % 2
        kind = {".mkv": "matroska"}.get(self._path.suffix.lower(), self._path.suffix.lower()[1:])
        try:
            self._container = av.open(str(self._temporary), "w", format=kind)
        except av.FFmpegError as error:
            raise _os_error(error, self._path) from None
        codec = next(name for name in _CODECS if name in av.codecs_available)
        stream = self._container.add_stream(codec, rate=self._rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.thread_count = 1
        # quick to make rather than small: the networks need the processor
        stream.options = {"preset": "veryfast", "crf": "23"} if codec == "libx264" else {"q": "4"}
        self._stream = stream

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._stream is not None
        assert self._container is not None
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise _os_error(error, self._path) from None

    def _finish(self) -> None:
        if self._container is None:  # not a single frame
            return
        self._mux(None)
        container, self._container = self._container, None
        try:
            container.close()
        except av.FFmpegError as error:
            raise _os_error(error, self._path) from None
        self._temporary.replace(self._path)

    def _drop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError):
                container.close()
        self._temporary.unlink(missing_ok=True)


def check_video_name(path: Path) -> None:
    """Makes the folder of ``path``.

    Raises :class:`~maskgate.errors.InputError` where no video of that name can be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} cannot be written: the name of a video ends in one of {' '.join(SUFFIXES)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file for the video")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another file") from None


def _fit(image: Image, width: int, height: int) -> Image:
    """``image`` within ``width`` × ``height``, its shape kept."""
    h, w = image.shape[:2]
    if (width, height) == (w, h):
        return np.ascontiguousarray(image)
    if 0 <= width - w <= 1 and 0 <= height - h <= 1:  # made even
        return np.pad(image, ((0, height - h), (0, width - w), (0, 0)), "edge")
    scale = min(width / w, height / h)
    size = max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return canvas


def _os_error(error: av.FFmpegError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror or "the video cannot be encoded", str(path))
