"""The engine: one pipeline for everybody. Pictures that wait are looked at together, off the event loop."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from typing import Final

from maskgate.errors import ImageError, MaskGateError
from maskgate.images import ImageLimits, decode_image
from maskgate.models.sessions import available_processors
from maskgate.pipeline import MaskGate
from maskgate.server.metrics import Metrics
from maskgate.types import Image, Verdicts

_LOG = logging.getLogger(__name__)

DECODERS: Final = 2
"""Threads that decode: while some pictures are looked at, the next ones are made ready."""

LOOKERS: Final = 2
"""Threads that look at pictures, with the same networks: while one is in a network, the other can be in
Python. A single picture still has all processors."""


class EngineFullError(MaskGateError):
    """Too many pictures wait already."""


class EngineClosedError(MaskGateError):
    """The engine takes no pictures any more."""


@dataclass(frozen=True)
class Encoded:
    """A picture file to be looked at.

    Attributes:
        data: the file.
        pixels: width × height, as its header states.
        name: what errors call it.
    """

    data: bytes = field(repr=False)
    pixels: int
    name: str = "image"


@dataclass(eq=False)
class _Job:
    encoded: Encoded | None
    pixels: int
    image: Image | None = None
    decode_milliseconds: float = 0.0
    arrived: float = field(default_factory=time.perf_counter)
    future: Future[Verdicts] = field(default_factory=Future)


class Engine:
    """Looks at pictures. Safe to use from several threads.

    Files are decoded in their order, as long as the decoded pictures that wait stay within a bound; what is
    decoded is looked at as soon as a thread is free, together with what else waits and without waiting for
    more.

    Args:
        gate: the pipeline; nothing else should use it at the same time.
        limits: of picture files, checked before pixels are decoded.
        most_waiting: pictures that may be on their way.
        most_batched: pictures that are looked at together.
        lookers: threads that look at pictures; None: :data:`LOOKERS` where the pipeline bears it, else one.
        metrics: of the service.
    """

    def __init__(
        self,
        gate: MaskGate,
        *,
        limits: ImageLimits,
        most_waiting: int,
        most_batched: int,
        metrics: Metrics,
        lookers: int | None = None,
    ) -> None:
        self.gate = gate
        self._limits, self._metrics = limits, metrics
        self._most_waiting, self._most_batched = most_waiting, most_batched
        self._most_pixels = 2 * limits.max_pixels
        self._changed = threading.Condition()
        self._files: deque[_Job] = deque()
        self._ready: deque[_Job] = deque()
        self._jobs: set[_Job] = set()  # that are not done
        self._pixels = 0  # of pictures that are decoded, or being decoded
        self._working = 0
        self._idle = 0  # threads that wait for pictures to look at
        self._closing = False
        if lookers is None:
            lookers = LOOKERS if _bears_threads(gate) else 1
        self._threads = [
            threading.Thread(target=run, name=f"maskgate-{name}-{i}", daemon=True)
            for run, name, number in ((self._look, "looker", lookers), (self._decode, "decoder", DECODERS))
            for i in range(number)
        ]

    def start(self) -> None:
        """Starts its threads."""
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        """Whether pictures are taken and looked at."""
        return not self._closing and all(thread.is_alive() for thread in self._threads)

    def lengths(self) -> tuple[int, int]:
        """How many pictures wait, and how many are looked at just now."""
        with self._changed:
            return len(self._jobs) - self._working, self._working

    def submit(self, pictures: Sequence[Encoded]) -> list[Future[Verdicts]]:
        """Has picture files looked at: all of them, or none where there is no room.

        A future raises :class:`~maskgate.errors.ImageError` where the picture cannot be used. Cancel it if
        nobody waits for it any more.

        Raises :class:`EngineFullError` and :class:`EngineClosedError`.
        """
        jobs = [_Job(picture, picture.pixels) for picture in pictures]
        with self._changed:
            if self._closing:
                raise EngineClosedError("no pictures are taken any more")
            if len(self._jobs) + len(jobs) > self._most_waiting:
                raise EngineFullError(f"{len(self._jobs)} pictures wait already")
            self._jobs.update(jobs)
            self._files.extend(jobs)
            self._changed.notify_all()
        return [job.future for job in jobs]

    def judge(self, images: Sequence[Image]) -> list[Verdicts]:
        """Verdicts on decoded pictures, ``(H, W, 3)`` uint8 RGB; waits for them.

        There is always room for them: whoever watches cameras asks again only after the answer.

        Raises :class:`EngineClosedError`, and what the pipeline raises.
        """
        jobs = [_Job(None, 0, image) for image in images]
        with self._changed:
            if self._closing:
                raise EngineClosedError("no pictures are taken any more")
            self._jobs.update(jobs)
            self._ready.extend(jobs)
            self._changed.notify_all()
        try:
            return [job.future.result() for job in jobs]
        except CancelledError:
            raise EngineClosedError("no pictures are taken any more") from None

    def close(self, seconds: float) -> None:
        """Looks at what waits, for at most so long, and ends; what is left is cancelled."""
        end = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._jobs, timeout=seconds)
            for job in self._jobs:  # those that are looked at just now cannot be
                job.future.cancel()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(end - time.monotonic(), 0.1))

    def _decode(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._can_decode() or self._is_over())
                if not self._can_decode():
                    return
                job = self._files.popleft()
                self._pixels += job.pixels
            self._make_ready(job)

    def _can_decode(self) -> bool:
        # a picture that alone is beyond the bound is decoded when there is no other
        return bool(self._files) and (
            not self._pixels or self._pixels + self._files[0].pixels <= self._most_pixels
        )

    def _is_over(self) -> bool:
        return self._closing and not self._jobs

    def _make_ready(self, job: _Job) -> None:
        encoded, job.encoded = job.encoded, None
        assert encoded is not None
        if job.future.cancelled():
            self._finish(job)
            return
        began = time.perf_counter()
        self._metrics.stage("wait", began - job.arrived)
        try:
            job.image = decode_image(encoded.data, name=encoded.name, limits=self._limits)
        except Exception as error:
            if not isinstance(error, ImageError):
                _LOG.exception("a picture could not be decoded")
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
            self._finish(job)
            return
        job.decode_milliseconds = 1e3 * (time.perf_counter() - began)
        with self._changed:
            self._ready.append(job)
            self._changed.notify_all()

    def _look(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._ready or self._is_over())
                if not self._ready:
                    return
                number = min(self._most_batched, math.ceil(len(self._ready) / self._idle))
                self._idle -= 1
                taken = [self._ready.popleft() for _ in range(number)]
                self._working += number
            wanted = [job for job in taken if job.future.set_running_or_notify_cancel()]
            if wanted:
                self._metrics.batch(len(wanted))
                self._judge(wanted)
            with self._changed:
                self._working -= number
            for job in taken:
                self._finish(job)

    def _judge(self, jobs: Sequence[_Job]) -> None:
        try:
            verdicts = self.gate.batch([job.image for job in jobs if job.image is not None])
        except Exception as error:
            if len(jobs) == 1:
                _LOG.exception("a picture could not be looked at")
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # one of them is to blame, and the others are not to suffer
                self._judge([job])
            return
        for job, found in zip(jobs, verdicts, strict=True):
            times = replace(found.milliseconds, decode=job.decode_milliseconds)
            job.future.set_result(replace(found, milliseconds=times))

    def _finish(self, job: _Job) -> None:
        job.image = None
        with self._changed:
            self._jobs.discard(job)
            self._pixels -= job.pixels
            self._changed.notify_all()


def _bears_threads(gate: MaskGate) -> bool:
    """Whether several threads may use the pipeline at once: our own parts hold nothing that changes; of
    others' nobody knows. A GPU does one thing after the other anyway."""
    parts = [part for part in (gate.detector, gate.classifier) if part is not None]
    return available_processors() > 1 and all(type(part).__module__.startswith("maskgate.") for part in parts)
