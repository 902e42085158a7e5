"""When a live picture was taken: the sender's clock tied to ours."""

from __future__ import annotations

from typing import Final

_FURTHEST_BEHIND: Final = 3.0
_DRIFT: Final = 0.001
"""Seconds a second by which a sender's clock may be slow: ten times as bad as the crystals of cameras."""


class StreamClock:
    """Turns a stream's timestamps into seconds since 1970.

    The sender's clock starts anywhere. The picture that came with the least delay tells the
    difference to ours; so the steps between pictures are the sender's, whatever the network does to
    them. That knowledge slowly loses its weight, as no two clocks run alike. Where the two are apart
    by more than three seconds, as after a gap or with a sender that counts wrongly, they are tied anew.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._stamp = 0.0
        self._last = float("-inf")

    def time_of(self, stamp: float | None, now: float) -> float:
        """The time at which a picture was taken, later than that of the one before.

        Args:
            stamp: what the stream says, in seconds; None: nothing.
            now: seconds since 1970 at which the picture has come.
        """
        if stamp is None:
            taken = now
        else:
            if self._offset is None or stamp + self._offset < now - _FURTHEST_BEHIND:
                self._offset = now - stamp
            else:
                self._offset += _DRIFT * min(max(stamp - self._stamp, 0.0), 1.0)
            self._stamp = stamp
            self._offset = min(self._offset, now - stamp)  # no picture comes before it is taken
            taken = stamp + self._offset
        # a millisecond, as finer parts are cut off in events
        self._last = max(taken, self._last + 0.001)
        return self._last
