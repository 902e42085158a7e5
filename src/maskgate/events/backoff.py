"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double from try to try, each shortened by chance, so that many senders spread out.

    Args:
        first: seconds before the second try.
        longest: no wait is longer, in seconds.
        chance: gives a number in [0, 1); for tests.
    """

    def __init__(self, first: float, longest: float, chance: random.Random | None = None) -> None:
        self._first, self._longest = min(first, longest), longest
        self._chance = chance or random.Random()
        self._tries = 0

    def next(self) -> float:
        """Seconds to wait now: between a half of this try's span and all of it."""
        # 2.0 ** 1024 overflows; long before that every span is the longest
        span = min(self._longest, self._first * 2.0 ** min(self._tries, 64))
        self._tries += 1
        return span * (0.5 + self._chance.random() / 2)

    def reset(self) -> None:
        """A try went well: the next wait is the first again."""
        self._tries = 0
