"""Browser sessions: a token is given once, and stands behind a short signed value in a cookie."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from maskgate.server.tokens import Token

MOST_SESSIONS: Final = 1000
"""Kept at a time; beyond, the oldest ends."""


@dataclass(frozen=True)
class _Entry:
    token: Token
    until: float


class Sessions:
    """Sessions in memory: they end with the process. For the event loop's thread alone.

    Args:
        seconds: for which one lasts.
        clock: seconds that only rise.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def start(self, token: Token) -> str:
        """The cookie's value of a new session."""
        self._drop_old()
        if len(self._entries) >= MOST_SESSIONS:
            self._entries.popitem(last=False)
        id = secrets.token_urlsafe(18)
        self._entries[id] = _Entry(token, self._clock() + self.seconds)
        return f"{id}.{self._sign(id)}"

    def find(self, value: str) -> Token | None:
        """The token behind a cookie's value; None where it is none of ours, or too old."""
        id = self._verify(value)
        entry = None if id is None else self._entries.get(id)
        if entry is None or entry.until <= self._clock():
            return None
        return entry.token

    def end(self, value: str) -> None:
        """Ends a session, if it is one."""
        id = self._verify(value)
        if id is not None:
            self._entries.pop(id, None)

    def _sign(self, id: str) -> str:
        return hmac.digest(self._key, id.encode(), hashlib.sha256).hex()

    def _verify(self, value: str) -> str | None:
        id, _, signature = value.partition(".")
        good = hmac.compare_digest(self._sign(id).encode(), signature.encode("utf-8", "surrogatepass"))
        return id if good else None

    def _drop_old(self) -> None:
        now = self._clock()
        while self._entries and next(iter(self._entries.values())).until <= now:
            self._entries.popitem(last=False)
