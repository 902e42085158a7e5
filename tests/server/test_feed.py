"""The feed: every event once, also late ones, for all who listen at their own pace."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from maskgate.events import Event
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.server import feed as feed_module
from maskgate.server.archive import Archive
from maskgate.server.feed import Feed

Make = Callable[..., Event]


async def take(followed: AsyncGenerator[Event | None], number: int, seconds: float = 10) -> list[str]:
    """Ids of the next events."""
    found: list[str] = []
    async with asyncio.timeout(seconds):
        while len(found) < number:
            event = await anext(followed)
            if event is not None:
                found.append(event.id)
    return found


def run(address: Address, use: Callable[[Feed], Any]) -> None:
    async def all_of_it() -> None:
        archive = Archive(address, 10)
        feed = Feed(archive, look_seconds=0.02)
        try:
            async with asyncio.timeout(30):
                await use(feed)
        finally:
            feed.close()
            archive.close()

    asyncio.run(all_of_it())


async def started(feed: Feed, **options: Any) -> AsyncGenerator[Event | None]:
    """A stream that listens already."""
    return feed.follow(await feed.here(), wait=0.01, **options)


def test_late_arrivals_are_told_once(store: Store, address: Address, folder: Path, track_event: Make) -> None:
    """Another writer's event may come to be seen after later ones, with an earlier time of arrival."""
    before = [track_event() for _ in range(3)]
    store.append(before)
    first, late, last = track_event(), track_event(), track_event()

    async def use(feed: Feed) -> None:
        async with aclosing(await started(feed)) as followed:
            store.append([first])
            assert await take(followed, 1) == [first.id]
            store.append([late])
            with sqlite3.connect(folder / "events.db", timeout=10) as database:
                database.execute("UPDATE events SET kept_ms = kept_ms - 3000 WHERE id = ?", (late.id,))
            assert await take(followed, 1) == [late.id]
            store.append([last])
            assert await take(followed, 1) == [last.id]
            assert await anext(followed) is None

    run(address, use)


def test_many_at_once_come_in_order_and_whole(store: Store, address: Address, track_event: Make) -> None:
    events = sorted((track_event() for _ in range(1234)), key=lambda event: event.id)

    async def use(feed: Feed) -> None:
        async with aclosing(await started(feed)) as followed:
            await asyncio.to_thread(store.append, events)  # with one time of arrival
            assert await take(followed, len(events), 20) == [event.id for event in events]

    run(address, use)


def test_who_is_slow_jumps_and_holds_nobody_up(
    store: Store, address: Address, track_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MOST_REMEMBERED", 10)
    events = [track_event() for _ in range(50)]
    ids = [event.id for event in events]

    async def use(feed: Feed) -> None:
        slow, quick = await started(feed), await started(feed)
        found: list[str] = []
        for i in range(0, 50, 5):
            store.append(events[i : i + 5])
            found += await take(quick, 5)
        assert found == ids
        assert await take(slow, 10) == ids[-10:]
        assert len(feed._recent) == len(feed._numbers) == 10
        await slow.aclose()
        await quick.aclose()

    run(address, use)


def test_nobody_looks_where_nobody_listens(
    store: Store, address: Address, track_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_LINGER_SECONDS", 0.1)

    async def use(feed: Feed) -> None:
        followed = await started(feed)
        assert await anext(followed) is None
        task = feed._task
        assert task is not None
        await followed.aclose()
        await asyncio.wait_for(task, 5)
        missed = track_event()
        store.append([missed])
        new = track_event()
        async with aclosing(await started(feed)) as again:
            store.append([new])
            assert await take(again, 1) == [new.id]
        async with aclosing(await started(feed, after=missed.id)) as after:
            assert await take(after, 1) == [new.id]

    run(address, use)


def test_a_store_that_goes_away_ends_no_stream(
    store: Store, address: Address, folder: Path, track_event: Make
) -> None:
    path = folder / "events.db"
    event = track_event()

    async def use(feed: Feed) -> None:
        async with aclosing(await started(feed)) as followed:
            with sqlite3.connect(path, timeout=10, isolation_level=None) as database:
                database.execute("ALTER TABLE events RENAME TO away")
                await asyncio.sleep(0.2)
                assert await anext(followed) is None
                database.execute("ALTER TABLE away RENAME TO events")
            store.append([event])
            assert await take(followed, 1) == [event.id]

    run(address, use)
