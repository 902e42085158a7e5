"""The feed: events as they come into the store, for all open streams at once.

One task looks into the store while somebody listens, whoever wrote the event. Streams read from a common
memory of the latest events, each at its own pace, so that a slow one costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Final

from maskgate.events.queries import EVERYTHING, Arrival, Filter
from maskgate.events.store import Store
from maskgate.events.types import Event
from maskgate.server.archive import Archive
from maskgate.server.problems import Problem

_LOG = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""Between two looks into the store."""

MOST_REMEMBERED: Final = 2000
"""Events in memory; a stream that is further behind jumps forward."""

_LATE_SECONDS: Final = 5.0
"""By which an event may come to be seen after others that arrived later, where several write."""

_LINGER_SECONDS: Final = 60.0
"""For which the store is looked into after the last stream has ended: most come back."""

_MOST_SEEN: Final = 20_000
_PAGE: Final = 500


class Feed:
    """Events as they come. For the event loop's thread alone.

    Args:
        archive: where they come in.
        look_seconds: between two looks.
    """

    def __init__(self, archive: Archive, look_seconds: float = LOOK_SECONDS) -> None:
        self._archive, self._look_seconds = archive, look_seconds
        self._recent: deque[Event] = deque(maxlen=MOST_REMEMBERED)
        self._end = 0  # number of the next event; the first in memory has _end - len(_recent)
        self._numbers: dict[str, int] = {}
        self._place: Arrival | None = None
        self._moved = 0.0
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._changed = asyncio.Event()
        self._listeners = 0
        self._left = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def here(self) -> int:
        """The place in the feed from which on everything is told; it is good for a minute, and while somebody
        listens.

        Raises :class:`~maskgate.server.problems.Problem` where the store is away.
        """
        self._left = time.monotonic()
        if self._task is None or self._task.done():
            await self._begin()
        return self._end

    async def follow(
        self, place: int, wanted: Filter = EVERYTHING, *, after: str | None = None, wait: float
    ) -> AsyncGenerator[Event | None]:
        """Events from a place on, or those after an event that was got before.

        Args:
            place: of :meth:`here`.
            wanted: which ones.
            after: id of the last event that was got; None, or one that is gone: from the place on. Some may
                come a second time where nobody has listened for a while, or the service was started again.
            wait: seconds without an event after which a None comes.

        Raises :class:`~maskgate.server.problems.Problem` where the store is away at the start.
        """
        await self.here()
        self._listeners += 1
        try:
            replayed: set[str] = set()
            if after in self._numbers:
                place = self._numbers[after] + 1
            elif after is not None:
                async for event in self._replay(after):
                    replayed.add(event.id)
                    if wanted.matches(event):
                        yield event
            while not self._closing:
                place = max(place, self._end - len(self._recent))
                while place < self._end:
                    event = self._recent[place - self._end]
                    place += 1
                    if event.id not in replayed and wanted.matches(event):
                        yield event
                        place = max(place, self._end - len(self._recent))
                if not await self._wait(wait):
                    yield None
        finally:
            self._listeners -= 1
            self._left = time.monotonic()

    def close(self) -> None:
        """Ends all streams soon."""
        self._closing = True
        self._changed.set()
        if self._task is not None:
            self._task.cancel()

    async def _begin(self) -> None:
        place = await self._archive.ask(lambda store: store.arrival()) or Arrival(0, "")
        old = [arrival.id async for arrival, _ in self._rows(_a_little_before(place))]
        if self._task is None or self._task.done():  # nobody else was quicker
            self._recent.clear()
            self._numbers.clear()
            self._seen = OrderedDict.fromkeys(old)
            self._place, self._moved = place, time.monotonic()
            self._task = asyncio.create_task(self._look())

    async def _wait(self, seconds: float) -> bool:
        """Whether there may be something new within so many seconds."""
        if self._closing:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _look(self) -> None:
        while self._listeners or time.monotonic() - self._left < _LINGER_SECONDS:
            await asyncio.sleep(self._look_seconds)
            try:
                found = await self._fetch()
            except Problem:  # it has been logged; the streams stay, and go on when the store is back
                continue
            except Exception:
                _LOG.exception("the events that came cannot be told")
                continue
            if found:
                for event in found:
                    self._remember(event)
                self._changed.set()
                self._changed = asyncio.Event()

    async def _fetch(self) -> list[Event]:
        assert self._place is not None
        is_late = time.monotonic() - self._moved < _LATE_SECONDS
        found: list[Event] = []
        async for arrival, event in self._rows(_a_little_before(self._place) if is_late else self._place):
            if event.id not in self._seen:
                self._seen[event.id] = None
                found.append(event)
            if arrival > self._place:
                self._place, self._moved = arrival, time.monotonic()
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return found

    async def _rows(self, place: Arrival) -> AsyncIterator[tuple[Arrival, Event]]:
        """All that came after ``place``, read page by page."""
        more = True
        while more:
            question = partial(Store.arrived, after=place, limit=_PAGE)
            rows = await self._archive.ask(question)
            for row in rows:
                yield row
            more = len(rows) == _PAGE
            place = rows[-1][0] if rows else place

    def _remember(self, event: Event) -> None:
        if len(self._recent) == MOST_REMEMBERED:
            self._numbers.pop(self._recent[0].id, None)
        self._recent.append(event)
        self._numbers[event.id] = self._end
        self._end += 1

    async def _replay(self, after: str) -> AsyncIterator[Event]:
        """What came after an event, as far as the store knows it."""
        place = await self._archive.ask(lambda store: store.arrival(after))
        if place is not None:
            async for _, event in self._rows(_a_little_before(place)):
                if event.id != after:
                    yield event


def _a_little_before(place: Arrival) -> Arrival:
    return Arrival(place.kept_ms - round(1000 * _LATE_SECONDS), "")
