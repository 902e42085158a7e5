"""Cameras: a thread that reads, of which only the newest picture is kept, and that does not give up."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from av.video.frame import VideoFrame

from maskgate.errors import SourceError
from maskgate.events.backoff import Backoff
from maskgate.streams.clocks import StreamClock
from maskgate.streams.decoding import OPEN_SECONDS, SILENT_SECONDS, OpenVideo, to_image
from maskgate.streams.frames import Frame
from maskgate.streams.sources import Source

_LOG = logging.getLogger(__name__)

_GOOD_SECONDS: Final = 10.0
"""After so long without a failure the waits between tries are short again."""

_MOST_HUNG: Final = 2
"""Threads of one camera that hang in the system and cannot be ended; beyond, no other is started."""


@dataclass(frozen=True)
class LiveLimits:
    """Patience with a camera, all in seconds.

    Attributes:
        open: for which opening may take.
        silent: for which it may send no picture.
        hung: for which a call into FFmpeg or a driver may last although it should have ended.
        first_wait, longest_wait: before it is opened again.
    """

    open: float = OPEN_SECONDS
    silent: float = SILENT_SECONDS
    hung: float = 5.0
    first_wait: float = 0.5
    longest_wait: float = 30.0


@dataclass(frozen=True)
class CameraState:
    """The camera sends pictures, or does not, since ``time`` (UTC); ``reason`` is a sentence, without a
    password, where it does not."""

    online: bool
    time: datetime
    reason: str | None = None


@dataclass(frozen=True)
class CameraCounts:
    """What has become of the pictures: ``received`` ones were decoded, ``passed`` over for the rate that
    was asked for, ``skipped`` because a newer one came before they were looked at; ``opened`` tells how
    often the source was."""

    received: int = 0
    passed: int = 0
    skipped: int = 0
    opened: int = 0


class Opened(Protocol):
    """What is read from; :class:`~maskgate.streams.decoding.OpenVideo` is one."""

    has_clock: bool

    def pictures(self) -> Iterator[tuple[VideoFrame, float | None]]:
        """Decoded pictures with the stream's seconds."""
        ...


Opener = Callable[[], AbstractContextManager[Opened]]


class LiveCamera:
    """A webcam or a stream. No queue grows: between two calls of :meth:`take` there is one picture.

    Args:
        source: live.
        wake: called from the reading thread when there is a picture or a change of state.
        limits: patience.
        opener: opens the source; None: with PyAV.
    """

    def __init__(
        self,
        source: Source,
        wake: Callable[[], None],
        *,
        limits: LiveLimits | None = None,
        opener: Opener | None = None,
    ) -> None:
        self.source = source
        self._wake = wake
        self._limits = limits or LiveLimits()
        self._opener = opener or self._open
        self._lock = threading.Lock()
        self._newest: tuple[VideoFrame, float, int, float] | None = None
        self._states: deque[CameraState] = deque()
        self._online: bool | None = None  # None: not known yet
        self._counts = {"received": 0, "passed": 0, "skipped": 0, "opened": 0}
        self._stop = threading.Event()
        self._backoff = Backoff(self._limits.first_wait, self._limits.longest_wait)
        self._hung: list[threading.Thread] = []
        self._reader: _Reader | None = None

    def start(self) -> None:
        """Begins to read."""
        self._reader = _Reader(self)
        self._reader.start()

    def stop(self, wait: float = 2.0) -> None:
        """Ends reading; a thread that hangs is left behind after ``wait`` seconds."""
        self._stop.set()
        if self._reader is not None:
            self._reader.join(max(wait, 0.0))

    @property
    def counts(self) -> CameraCounts:
        """Since the start."""
        with self._lock:
            return CameraCounts(**self._counts)

    def take(self) -> Frame | None:
        """The newest picture, once; None where there is no new one."""
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None:
            return None
        picture, taken, index, received = newest
        # only now, as most pictures are never looked at
        return Frame(to_image(picture), datetime.fromtimestamp(taken, UTC), index, None, received)

    def states(self) -> list[CameraState]:
        """Changes of state since the last call."""
        with self._lock:
            changed = list(self._states)
            self._states.clear()
        return changed

    def check(self) -> None:
        """Ends a read that hangs beyond all its limits, by leaving its thread to itself.

        PyAV ends reads that last too long. Where the system does not let it, as in a driver, this does:
        call it every second or so.
        """
        reader = self._reader
        # opening, and then waiting for the first picture, are no hanging
        patience = self._limits.open + self._limits.silent + self._limits.hung
        if reader is None or not reader.busy_for(patience):
            return
        self._hung = [thread for thread in self._hung if thread.is_alive()]
        self._report(False, f"{self.source} hangs: a read has not ended for {patience:g} seconds", reader)
        if len(self._hung) < _MOST_HUNG:
            reader.left = True
            self._hung.append(reader)
            self.start()

    def _open(self) -> AbstractContextManager[Opened]:
        return OpenVideo(self.source, open_seconds=self._limits.open, silent_seconds=self._limits.silent)

    def _report(self, online: bool, reason: str | None, reader: _Reader) -> None:
        with self._lock:
            if reader is not self._reader or self._online is online:
                return
            self._online = online
            self._states.append(CameraState(online, datetime.now(UTC), reason))
            if not online:
                self._newest = None  # it is old by now
        if online:
            _LOG.info("%s sends pictures", self.source)
        else:
            _LOG.warning("%s", reason)
        self._wake()

    def _put(self, newest: tuple[VideoFrame, float, int, float], reader: _Reader) -> None:
        with self._lock:
            if reader is not self._reader:
                return
            self._counts["skipped"] += self._newest is not None
            self._newest = newest
        self._wake()

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


class _Reader(threading.Thread):
    """Opens, reads, and opens again, until the camera is stopped or leaves it to itself."""

    def __init__(self, camera: LiveCamera) -> None:
        super().__init__(name=f"maskgate-{camera.source.name}", daemon=True)
        self._camera = camera
        self._busy_since: float | None = None
        self.left = False

    def busy_for(self, seconds: float) -> bool:
        """Whether one call has lasted so long."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > seconds

    def run(self) -> None:
        camera = self._camera
        while not self._ended():
            began = time.monotonic()
            try:
                self._read()
                reason = f"{camera.source} has ended the stream"
            except SourceError as error:
                reason = str(error)
            except Exception as error:  # whatever it is, the other cameras go on and this one comes back
                # its text may hold the address
                reason = f"{camera.source} cannot be read: {type(error).__name__}"
            self._busy_since = None
            if self._ended():
                return
            camera._report(False, reason, self)
            if time.monotonic() - began > _GOOD_SECONDS:
                camera._backoff.reset()
            camera._stop.wait(camera._backoff.next())

    def _read(self) -> None:
        camera = self._camera
        clock = StreamClock()
        step = 1 / camera.source.rate
        due = float("-inf")
        camera._count("opened")
        self._busy_since = time.monotonic()
        with camera._opener() as opened:
            for index, (picture, stamp) in enumerate(opened.pictures()):
                self._busy_since = received = time.monotonic()
                if self._ended():
                    return
                taken = clock.time_of(stamp if opened.has_clock else None, time.time())
                camera._count("received")
                # a little early is in time: clocks of cameras are no metronomes
                if taken < due - 0.1 * step:
                    camera._count("passed")
                    continue
                # keeps the rate on average, and does not make up for a gap
                due = due + step if due + step > taken else taken + step
                camera._report(True, None, self)
                camera._put((picture, taken, index, received), self)

    def _ended(self) -> bool:
        return self.left or self._camera._stop.is_set()
