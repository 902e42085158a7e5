"""PyAV around one opened video or stream: decoded pictures, and errors in our own words.

FFmpeg's messages repeat the address, password and all. So none of them gets out of here: only the
reason that stands for its error number does.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from maskgate.errors import ImageLimitError, SourceError
from maskgate.images import DEFAULT_LIMITS
from maskgate.streams.sources import Source, SourceKind
from maskgate.types import Image

OPEN_SECONDS: Final = 10.0
"""For which opening may take, with all that it says before the first picture."""

SILENT_SECONDS: Final = 10.0
"""For which a live source may send nothing, or no picture, before it is given up."""

# these have no clock of their own; FFmpeg makes up 25 frames a second for them
_WITHOUT_TIME: Final = frozenset({"mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "rawvideo", "h264", "hevc"})


class OpenVideo:
    """An opened video or stream, to be used in a ``with`` statement.

    Args:
        source: of any kind but a folder.
        open_seconds, silent_seconds: after which waiting for a live source ends.

    Attributes:
        frames_stated: how many frames the file says it has; 0 where it does not.
        seconds_stated: likewise its duration.
        created: when the file says that it was recorded, as text of its own making.
        rate: frames a second, a guess.
        has_clock: whether the pictures' times are those of the sender.
        damaged: packets and pictures that could not be decoded whole, so far.

    Raises :class:`~maskgate.errors.SourceError`.
    """

    def __init__(
        self, source: Source, *, open_seconds: float = OPEN_SECONDS, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._source = source
        self._silent_seconds = silent_seconds
        began = time.monotonic()
        try:
            self._container = _open(source, open_seconds, silent_seconds)
        except (av.FFmpegError, OSError, ValueError) as error:
            if source.kind.live and time.monotonic() - began > 0.9 * open_seconds:
                raise SourceError(f"{source} does not answer within {open_seconds:g} seconds") from None
            raise SourceError(f"{source} cannot be opened: {_reason(error)}") from None
        try:
            self._stream = self._video_stream()
        except SourceError:
            self._container.close()
            raise
        self.frames_stated = self._stream.frames
        self.seconds_stated = (self._container.duration or 0) / 1e6
        self.created: str | None = self._container.metadata.get("creation_time")
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else 25.0
        self.has_clock = self._container.format.name not in _WITHOUT_TIME
        self.damaged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pictures(self) -> Iterator[tuple[VideoFrame, float | None]]:
        """Decoded pictures, each with the seconds that the source gives it, which may start anywhere.

        Damaged ones are left out and counted. Raises :class:`~maskgate.errors.SourceError` where a
        live source goes silent, or reading fails; an end is an end.
        """
        last = time.monotonic()
        demuxer = self._container.demux()
        while True:
            began = time.monotonic()
            try:
                packet = next(demuxer, None)
            except (av.FFmpegError, OSError, ValueError) as error:
                raise self._broken(error, time.monotonic() - began) from None
            if packet is None:
                return
            if packet.stream is self._stream:
                for picture in self._decode(packet):
                    yield picture, picture.time
                    last = time.monotonic()  # what the caller did with it was no silence
            if self._source.kind.live and time.monotonic() - last > self._silent_seconds:
                raise self._silent()

    def _decode(self, packet: av.Packet[Any]) -> list[VideoFrame]:
        if packet.is_corrupt:
            self.damaged += 1
            return []
        try:
            pictures = self._stream.decode(packet)
        except av.EOFError:
            return []
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            return []
        for picture in pictures:
            self._check_size(picture.width, picture.height)
        whole = [picture for picture in pictures if not picture.is_corrupt]
        self.damaged += len(pictures) - len(whole)
        return whole

    def _video_stream(self) -> VideoStream:
        if not self._container.streams.video:
            raise SourceError(f"{self._source} holds no video")
        stream = self._container.streams.video[0]
        self._check_size(stream.codec_context.width or 0, stream.codec_context.height or 0)
        if self._source.kind.live:
            # several threads would each hold a frame back
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
        return stream

    def _check_size(self, width: int, height: int) -> None:
        try:
            DEFAULT_LIMITS.check_size(width, height, str(self._source))
        except ImageLimitError as error:
            raise SourceError(str(error)) from None

    def _broken(self, error: Exception, seconds: float) -> SourceError:
        """What an error of reading means that came after waiting for ``seconds``."""
        if self._source.kind.live:
            # PyAV ends a read that lasts too long; some protocols make another error of it
            if isinstance(error, av.ExitError) or seconds > 0.9 * self._silent_seconds:
                return self._silent()
            if isinstance(error, OSError) and error.errno == errno.EIO:
                return SourceError(f"{self._source} has ended the stream")
        return SourceError(f"{self._source} cannot be read further: {_reason(error)}")

    def _silent(self) -> SourceError:
        return SourceError(f"{self._source} has sent no picture for {self._silent_seconds:g} seconds")


def to_image(picture: VideoFrame) -> Image:
    """The picture as ``(H, W, 3)`` uint8 RGB, turned upright where the video says how it was held."""
    image = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
    quarters = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _open(source: Source, open_seconds: float, silent_seconds: float) -> InputContainer:
    if source.kind is SourceKind.WEBCAM:
        if sys.platform != "linux":
            raise SourceError(f"{source} cannot be opened: webcams are read through Video4Linux only")
        return av.open(source.address, format="v4l2", timeout=(open_seconds, silent_seconds))
    if source.kind is SourceKind.VIDEO:
        # absolute, as FFmpeg takes what stands before a colon for a protocol; and a playlist that
        # calls itself a video must not make us read from the network
        return av.open(str(Path(source.address).resolve()), options={"protocol_whitelist": "file,crypto"})
    # not "nobuffer", which throws away what was read to find out about the stream
    options = {"flags": "low_delay", "analyzeduration": "2000000"}
    if source.address.lower().startswith("rtsp"):
        options["rtsp_transport"] = source.transport
    return av.open(source.address, options=options, timeout=(open_seconds, silent_seconds))


_WORDS: Final = {
    "InvalidDataError": "it is no video, or damaged",
    "ExitError": "it does not answer",
    "EOFError": "it is empty",
    "HTTPUnauthorizedError": "user or password are wrong",
    "HTTPForbiddenError": "access is forbidden",
    "HTTPNotFoundError": "there is nothing at this path",
    "ProtocolNotFoundError": "its protocol is not supported",
    "DecoderNotFoundError": "its codec is not supported",
}


def _reason(error: Exception) -> str:
    known = _WORDS.get(type(error).__name__)
    if known is None and getattr(error, "errno", None) == errno.EIO:
        known = "it cannot be reached, or sends no video"
    # strerror is FFmpeg's text for the number; str(error) would add the address
    return known or getattr(error, "strerror", None) or "an unknown error"
