"""Identifiers of events: UUIDs of version 7 (RFC 9562), whose text sorts by the time of making."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from datetime import datetime
from uuid import UUID

from maskgate.events.times import milliseconds_of

_RANDOM_BITS = 74
_VERSION, _VARIANT = 0x7, 0b10


class IdMaker:
    """Makes ids that only rise, whatever the clock does, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        """An id that no other call has given, here or elsewhere; sorts after all given here before."""
        now = time.time_ns() // 1_000_000
        with self._lock:
            # within a millisecond, and where the clock was set back, the random part counts up
            fresh = now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
            self._last = fresh if fresh > self._last else self._last + 1
            return _uuid(self._last)


new_id = IdMaker()
"""Call it for an id."""


def id_of(time: datetime, *parts: object) -> str:
    """The id of what happened at ``time`` and is told apart by ``parts``: the same for the same.

    For events of a file, so that a second run over it makes the same ones. The time (aware) gives the
    first 48 bits, SHA-256 of the parts' texts the others.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    random = int.from_bytes(digest, "big") >> 256 - _RANDOM_BITS
    milliseconds = max(milliseconds_of(time), 0) & (1 << 48) - 1
    return _uuid(milliseconds << _RANDOM_BITS | random)


def _uuid(value: int) -> str:
    """48 bits of milliseconds, version, 12 random bits, variant, 62 random bits."""
    time, high, low = value >> 74, value >> 62 & 0xFFF, value & (1 << 62) - 1
    return str(UUID(int=time << 80 | _VERSION << 76 | high << 64 | _VARIANT << 62 | low))
