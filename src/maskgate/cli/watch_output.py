"""How events are printed: as lines of JSON, as rows for people, or at the end of a file."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, Self, TextIO

from rich.text import Text

from maskgate.cli.tables import STYLES, print_table, printable
from maskgate.drawing import WORDS
from maskgate.errors import DeliveryError, InputError
from maskgate.events.settings import JsonLinesSettings
from maskgate.events.sinks.jsonl import JsonLines
from maskgate.events.types import Event

MOST_HELD: Final = 10_000
_RETRY_SECONDS: Final = 1.0


class EventPrinter(Protocol):
    """Prints events as they come."""

    def add(self, event: Event) -> None:
        """Prints one."""

    def tend(self) -> None:
        """Called often."""


class NoPrinter:
    """Where counts are kept and nothing else."""

    def add(self, event: Event) -> None:
        """Does nothing."""

    def tend(self) -> None:
        """Does nothing."""


class LinePrinter:
    """JSON, a line as soon as there is one, for those who follow a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, event: Event) -> None:
        """Prints one."""
        self._stream.write(event.to_text() + "\n")
        self._stream.flush()

    def tend(self) -> None:
        """Nothing waits."""


class RowPrinter:
    """A row an event, in local time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, event: Event) -> None:
        """Prints one."""
        row = Text(f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}  ")
        row.append(f"{printable(event.camera)}  {event.type.value.split('.')[1]:<9}", "bold")
        if event.label is not None and event.track is not None:
            row.append(f"  {WORDS[event.label]}", f"bold {STYLES[event.label]}")
            place = f" in {printable(event.zone)}" if event.zone else ""
            confidence = event.confidence or 0.0
            # without claiming certainty that rounding alone would give
            percent = ">99%" if confidence > 0.99 else f"{confidence:.0%}"
            row.append(f" {percent}, face {event.track}{place}")
        print_table(self._stream, row)

    def tend(self) -> None:
        """Nothing waits."""


class FileAppender:
    """Adds lines of JSON to a file, each whole; use it in a ``with`` statement.

    Where the disk is full, events wait in memory, and are written in their order once there is room.

    Args:
        path: of the file.
        say: takes a sentence when writing fails, and when it works again.

    Raises :class:`~maskgate.errors.InputError` where it cannot be written at the start, and
    :class:`~maskgate.errors.DeliveryError` at the end where events could not be.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._file = JsonLines(JsonLinesSettings(name="output", path=path, fsync="never"))
        self._say = say
        self._waiting: deque[Event] = deque(maxlen=MOST_HELD)
        self._tried = float("-inf")
        self._trouble = False
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file for the output")

    def __enter__(self) -> Self:
        try:
            self._file.open()
        except DeliveryError as error:
            raise InputError(f"{error}; choose another file") from None
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._waiting:
                self._file.deliver(list(self._waiting))
        except DeliveryError as error:
            if kind is None:
                raise DeliveryError(f"{len(self._waiting)} events are lost: {error}") from None
        finally:
            self._file.close()

    def add(self, event: Event) -> None:
        """Writes one, and all that wait."""
        self._waiting.append(event)
        if not self._trouble:
            self._write()

    def tend(self) -> None:
        """Tries again, once a second, where writing has failed."""
        if self._trouble and time.monotonic() - self._tried > _RETRY_SECONDS:
            self._write()

    def _write(self) -> None:
        self._tried = time.monotonic()
        try:
            while self._waiting:
                self._file.deliver([self._waiting[0]])
                self._waiting.popleft()
        except DeliveryError as error:
            if not self._trouble:
                self._say(f"{error}; events wait in memory until it can be")
            self._trouble = True
            return
        if self._trouble:
            self._say("events can be written again; those that waited are in the file")
        self._trouble = False
