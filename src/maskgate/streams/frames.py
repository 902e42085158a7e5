"""Frames: pictures with the time that they show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from maskgate.types import Image


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a camera or a file.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright.
        time: when it was taken, in UTC.
        index: its number in the source, from 0; of a live source since it was last opened.
        media_seconds: position in a file; None for what is live.
        received: ``time.monotonic()`` when it was decoded, in seconds.
    """

    image: Image
    time: datetime
    index: int
    media_seconds: float | None
    received: float
