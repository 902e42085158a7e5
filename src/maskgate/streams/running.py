"""The loops: recordings one frame after the other in order of time, cameras as their pictures come."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from maskgate.errors import SourceError
from maskgate.events.types import Event, EventType
from maskgate.streams.frames import Frame
from maskgate.streams.live import CameraCounts, LiveCamera, LiveLimits
from maskgate.streams.recordings import Recording
from maskgate.streams.rules import Rules
from maskgate.streams.sources import Source
from maskgate.streams.tracking import TrackingSettings
from maskgate.streams.watching import CameraWatch
from maskgate.types import Image, Verdicts

Judge = Callable[[Sequence[Image]], list[Verdicts]]
"""Verdicts on several pictures: :meth:`~maskgate.pipeline.MaskGate.batch`."""

_TICK_SECONDS = 0.25
_CHECK_SECONDS = 1.0
_STOP_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Observation:
    """What happened in one step, of one source.

    Attributes:
        source: whose.
        events: in order of time, and not before those of earlier observations.
        frame, verdicts: what was seen; None where no frame was.
        failure: a sentence, where a recording could not be read to its end.
    """

    source: Source
    events: tuple[Event, ...] = ()
    frame: Frame | None = None
    verdicts: Verdicts | None = None
    failure: str | None = None


def watch_recordings(
    recordings: Sequence[Recording], judge: Judge, rules: Rules, *, tracking: TrackingSettings | None = None
) -> Iterator[Observation]:
    """Goes through all frames of all recordings, in order of the frames' times.

    A recording that cannot be read further ends with an observation that says so; the others go on.
    """
    watches = [CameraWatch(r.source.name, rules, recorded=True, tracking=tracking) for r in recordings]
    readers = [iter(recording) for recording in recordings]
    waiting: list[tuple[datetime, int, Frame]] = []

    def advance(number: int) -> Iterator[Observation]:
        source = recordings[number].source
        failure = None
        try:
            frame = next(readers[number], None)
        except SourceError as error:
            frame, failure = None, str(error)
        if frame is not None:
            heapq.heappush(waiting, (frame.time, number, frame))
            return
        yield Observation(source, tuple(watches[number].close()), failure=failure)

    for number in range(len(recordings)):
        yield from advance(number)
    while waiting:
        _, number, frame = heapq.heappop(waiting)
        (verdicts,) = judge([frame.image])
        events = watches[number].see(frame, verdicts)
        yield Observation(recordings[number].source, tuple(events), frame, verdicts)
        yield from advance(number)


class LiveWatch:
    """Watches cameras until it is told to stop; iterate over it once.

    Of each camera the newest picture is looked at, and all that wait at once are judged together.

    Args:
        sources: live ones.
        judge: of pictures.
        rules: of all cameras.
        tracking: how faces are followed.
        limits: patience with cameras.
        seconds: after which it stops by itself; None: never.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        judge: Judge,
        rules: Rules,
        *,
        tracking: TrackingSettings | None = None,
        limits: LiveLimits | None = None,
        seconds: float | None = None,
    ) -> None:
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._judge = judge
        self._seconds = seconds
        self._cameras = [LiveCamera(source, self._wake.set, limits=limits) for source in sources]
        self._watches = [CameraWatch(s.name, rules, recorded=False, tracking=tracking) for s in sources]
        self._offline = [False] * len(sources)
        self._latest: datetime | None = None

    def stop(self) -> None:
        """Lets the iteration end soon; may be called from a signal handler or another thread."""
        self._stop.set()
        self._wake.set()

    @property
    def counts(self) -> dict[str, CameraCounts]:
        """What has become of the pictures, by camera."""
        return {camera.source.name: camera.counts for camera in self._cameras}

    def __iter__(self) -> Iterator[Observation]:
        began = checked = time.monotonic()
        for camera in self._cameras:
            camera.start()
        try:
            while not self._stop.is_set():
                self._wake.wait(_TICK_SECONDS)
                self._wake.clear()
                yield from self._step()
                now = time.monotonic()
                if now - checked > _CHECK_SECONDS:
                    checked = now
                    for camera in self._cameras:
                        camera.check()
                if self._seconds is not None and now - began > self._seconds:
                    break
            for camera, watch in zip(self._cameras, self._watches, strict=True):
                yield Observation(camera.source, self._in_order(watch.close()))
        finally:
            for camera in self._cameras:
                camera.stop(wait=0)
            end = time.monotonic() + _STOP_SECONDS
            for camera in self._cameras:
                camera.stop(wait=end - time.monotonic())

    def _step(self) -> Iterator[Observation]:
        for number, camera in enumerate(self._cameras):
            for state in camera.states():
                self._offline[number] = not state.online
                kind = EventType.CAMERA_ONLINE if state.online else EventType.CAMERA_OFFLINE
                event = Event.of_camera(kind, time=state.time, camera=camera.source.name)
                yield Observation(camera.source, self._in_order([event]))
            if self._offline[number]:
                gone = self._watches[number].pass_time(datetime.now(UTC))
                if gone:
                    yield Observation(camera.source, self._in_order(gone))
        taken = [(number, frame) for number, c in enumerate(self._cameras) if (frame := c.take()) is not None]
        if not taken:
            return
        taken.sort(key=lambda one: one[1].time)
        judged = self._judge([frame.image for _, frame in taken])
        for (number, frame), verdicts in zip(taken, judged, strict=True):
            events = self._watches[number].see(frame, verdicts)
            yield Observation(self._cameras[number].source, self._in_order(events), frame, verdicts)

    def _in_order(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """The events, none before the one before it: pictures of one camera may come later than another's
        by the delay of its network, and their events are moved by that."""
        ordered = []
        for event in events:
            if self._latest is not None and event.time < self._latest:
                event = replace(event, time=self._latest)
            self._latest = event.time
            ordered.append(event)
        return tuple(ordered)
