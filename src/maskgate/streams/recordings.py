"""Videos and folders of pictures: read whole, in order, the same every time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maskgate.errors import ImageError, SourceError
from maskgate.events.times import time_at
from maskgate.images import find_images, read_image
from maskgate.streams.decoding import OpenVideo, to_image
from maskgate.streams.frames import Frame
from maskgate.streams.sources import Source, SourceKind
from maskgate.types import Image


class Recording:
    """The frames of a video or of a folder, each with its position.

    Frame i of a folder, in order of the pictures' paths, is at i / rate seconds.

    Args:
        source: a video or a folder.
        start: time of the first frame; None: when the video says that it was recorded, or else when
            the file, or the folder's first picture, was last changed.

    Attributes:
        source: as given.
        start: time of the first frame, in UTC.
        frames: how many there are; a guess, 0 where nothing is known.

    Raises :class:`~maskgate.errors.SourceError` where it cannot be opened, and
    :class:`~maskgate.errors.InputError` for a folder without pictures.
    """

    def __init__(self, source: Source, start: datetime | None = None) -> None:
        self.source = source
        self._pictures: list[Path] = []
        if source.kind is SourceKind.FOLDER:
            self._pictures = find_images([source.address])
            self.frames = len(self._pictures)
            self.start = start or _changed(self._pictures[0])
            return
        path = Path(source.address)
        _check_file(path, source)
        with OpenVideo(source) as video:
            self.frames = video.frames_stated or round(video.seconds_stated * video.rate)
            self.start = start or _time_from(video.created) or _changed(path)

    def __iter__(self) -> Iterator[Frame]:
        """Raises :class:`~maskgate.errors.SourceError` after the last frame that could be read, where
        that is not the end, and where some in between could not be read."""
        return self._read_folder() if self._pictures else self._read_video()

    def _frame(self, index: int, seconds: float, image: Image) -> Frame:
        time_shown = self.start + timedelta(seconds=seconds)
        return Frame(image, time_shown, index, seconds, time.monotonic())

    def _read_folder(self) -> Iterator[Frame]:
        failed = []
        for index, path in enumerate(self._pictures):
            try:
                image = read_image(path)
            except ImageError as error:
                failed.append(str(error))
                continue
            yield self._frame(index, index / self.source.rate, image)
        if failed:
            others = f", and {len(failed) - 1} others in {self.source}" if len(failed) > 1 else ""
            raise SourceError(f"{failed[0]}{others}")

    def _read_video(self) -> Iterator[Frame]:
        with OpenVideo(self.source) as video:
            first = None
            seconds = -1 / video.rate
            index = -1
            broken = None
            try:
                for picture, given in video.pictures():
                    index += 1
                    if given is not None and first is None:
                        first = given
                    position = seconds if given is None or first is None else given - first
                    # times that stand still or go back are mended: a frame comes after the one before
                    seconds = position if position > seconds else seconds + 1 / video.rate
                    yield self._frame(index, seconds, to_image(picture))
            except SourceError as error:
                broken = str(error)
            self._check_end(video, index + 1, seconds + 1 / video.rate, broken)

    def _check_end(self, video: OpenVideo, frames: int, seconds: float, broken: str | None) -> None:
        if broken is not None:
            raise SourceError(f"{broken}; {_count(frames)} of it were read")
        if video.damaged:
            raise SourceError(
                f"{self.source} is damaged or cut short: {_count(frames)} of it were read, "
                f"{video.damaged} could not be"
            )
        # AVI counts frames that are left out, too; so times are compared, and containers err a little
        stated, slack = video.seconds_stated, 1.0
        if video.frames_stated:
            stated, slack = video.frames_stated / video.rate, 2.5 / video.rate
        if seconds < 0.98 * stated - slack:
            raise SourceError(
                f"{self.source} is cut short: {_count(frames)}, {seconds:.1f} of {stated:.1f} seconds, "
                "were read"
            )
        if not frames:
            raise SourceError(f"{self.source} holds no picture")


def _check_file(path: Path, source: Source) -> None:
    try:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(1):
                    return
            raise SourceError(f"{source} is empty")
        why = "is not a regular file" if path.exists() else "does not exist"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        raise SourceError(f"{source} cannot be read: {reason}") from None
    raise SourceError(f"{source} {why}")


def _time_from(text: str | None) -> datetime | None:
    """A container's ``creation_time``; None where it is missing, zero or not to be understood."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    # cameras without a clock write 1904 or 1970
    return moment.astimezone(UTC) if moment.year > 1980 else None


def _changed(path: Path) -> datetime:
    # whole milliseconds, as events have them
    return time_at(path.stat().st_mtime_ns // 1_000_000)


def _count(frames: int) -> str:
    return "1 frame" if frames == 1 else f"{frames} frames"
