"""A file with one JSON event a line. Rotating it is left to logrotate and the like."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from maskgate.errors import DeliveryError
from maskgate.events.settings import JsonLinesSettings
from maskgate.events.sinks.protocol import reason
from maskgate.events.types import Event

_TAIL = 64 * 1024


class JsonLines:
    """Appends events to a file.

    Every line is whole: what a kill or a full disk has left of one is cut off, and its event comes again.
    The file is opened anew when another one, or none, stands in its place.
    """

    batch = 100

    def __init__(self, settings: JsonLinesSettings) -> None:
        self.name = settings.name
        self._path = settings.path
        self._fsync = settings.fsync == "always"
        self._file: int | None = None

    def open(self) -> None:
        """Opens the file, and makes it where it is missing."""
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            _cut_torn_line(self._file)
        except OSError as error:
            raise self._failed(error) from None

    def deliver(self, events: Sequence[Event]) -> None:
        """Appends the events; with ``fsync`` they are on the disk when it returns."""
        if self._file is None or self._moved(self._file):
            self.open()
        assert self._file is not None
        data = b"".join(event.to_text().encode() + b"\n" for event in events)
        start = None
        try:
            start = _size(self._file)
            while data:
                data = data[os.write(self._file, data) :]
            if self._fsync:
                os.fsync(self._file)
        except OSError as error:
            self._take_back(start)
            self.close()
            raise self._failed(error) from None

    def tend(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # what was written before has been synced
                os.close(file)

    def _moved(self, file: int) -> bool:
        """Whether the path leads to another file by now."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file))
        except OSError:
            return True

    def _take_back(self, size: int | None) -> None:
        if self._file is not None and size is not None:
            with suppress(OSError):  # a disk in trouble: it is cut when it is opened again
                os.ftruncate(self._file, size)

    def _failed(self, error: OSError) -> DeliveryError:
        return DeliveryError(f"the file {self._path} cannot be written: {reason(error)}")


def _size(file: int) -> int | None:
    """Bytes of a regular file; None for a pipe or a device."""
    state = os.fstat(file)
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _cut_torn_line(file: int) -> None:
    """Cuts off what follows the last line feed. No event's line is as long as the part looked at."""
    size = _size(file)
    if not size:
        return
    start = max(size - _TAIL, 0)
    tail = os.pread(file, size - start, start)
    if not tail.endswith(b"\n"):
        end = tail.rfind(b"\n")
        if end >= 0 or start == 0:
            os.ftruncate(file, start + end + 1)
