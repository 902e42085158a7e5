"""What the service wants to know of cameras that are watched in its process.

The service knows nothing of streams: whoever starts both gives it something that fulfils this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from maskgate.events.types import EventType
from maskgate.types import Image, Verdicts

Judge = Callable[[Sequence[Image]], list[Verdicts]]
"""Verdicts on several pictures."""


@dataclass(frozen=True)
class CameraReport:
    """How a camera is doing.

    Attributes:
        name: of the camera.
        address: what may be seen of it: no user, no password.
        online: None where no picture came yet.
        since: when that was so; aware.
        received, processed, skipped, passed: pictures that came, were looked at, were overtaken by a newer
            one, and were passed over for the rate that was asked for.
    """

    name: str
    address: str
    online: bool | None = None
    since: datetime | None = None
    received: int = 0
    processed: int = 0
    skipped: int = 0
    passed: int = 0


@dataclass(frozen=True)
class ReceiverReport:
    """How the store or a sink is doing: what waits for it, what it has refused, why its last delivery
    failed (without a secret)."""

    name: str
    waiting: int
    refused: int
    trouble: str | None


class Watch(Protocol):
    """Cameras that are watched. All methods but the first two may be called from any thread, at any time."""

    def start(self, judge: Judge) -> None:
        """Begins to watch, in threads of its own; pictures are handed to ``judge``, which may raise."""

    def stop(self) -> None:
        """Ends watching; what has been confirmed is kept."""

    @property
    def running(self) -> bool:
        """Whether it watches; false also where it has failed."""
        ...

    def cameras(self) -> Sequence[CameraReport]:
        """All cameras."""
        ...

    def events(self) -> Mapping[EventType, int]:
        """How many events there were since the start."""
        ...

    def receivers(self) -> Sequence[ReceiverReport]:
        """The store and the sinks. May raise :class:`~maskgate.errors.StoreError`."""
        ...
