"""How often a client may ask: a bucket of tokens for each, filled steadily."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from maskgate.server.problems import Problem

MOST_CLIENTS: Final = 10_000
"""Remembered at a time; beyond, the one that has been silent longest is forgotten."""


class Rates:
    """Lets each client ask so often. For the event loop's thread alone.

    Args:
        per_minute: requests of one client; as many may come at once after a silence of a minute. None: any.
        clock: seconds that only rise.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Counts a request. Raises :class:`~maskgate.server.problems.Problem` where it is one too many."""
        if self._per_minute is None:
            return
        now, most = self._clock(), max(self._per_minute, 1.0)
        left, at = self._clients.pop(client, (most, now))
        left = min(left + (now - at) * self._per_minute / 60, most)
        self._clients[client] = (max(left - 1, 0) if left >= 1 else left, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if left < 1:
            seconds = math.ceil((1 - left) * 60 / self._per_minute)
            detail = f"one client may ask {self._per_minute:g} times a minute"
            raise Problem("too-many-requests", detail, retry_after=max(seconds, 1))
