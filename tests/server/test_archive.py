"""Questions to the store that take too long. What else can happen: ``test_history.py``."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.server.archive import Archive
from maskgate.server.problems import Problem


def test_a_question_is_given_up_and_the_loop_stays_free(store: Store, address: Address) -> None:
    release = threading.Event()

    async def ask() -> float:
        archive = Archive(address, 0.2)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        with pytest.raises(Problem) as caught:
            await archive.ask(lambda _: release.wait(10))
        took = time.monotonic() - began
        ticking.cancel()
        release.set()
        assert (caught.value.status, caught.value.kind) == (503, "timeout")
        assert ticks >= 5
        archive.close()
        return took

    assert 0.15 < asyncio.run(ask()) < 2


def test_the_store_is_opened_once_and_made_where_it_is_missing(address: Address) -> None:
    async def ask() -> list[Any]:
        archive = Archive(address, 10)
        found = await asyncio.gather(*(archive.ask(lambda store: (store, store.cameras())) for _ in range(8)))
        archive.close()
        return found

    found = asyncio.run(ask())
    assert len({id(store) for store, _ in found}) == 1
    assert all(cameras == [] for _, cameras in found)
