"""The store of events, asked from the event loop without holding it up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from maskgate.errors import StoreError
from maskgate.events.credentials import Address
from maskgate.events.store import Store
from maskgate.server.problems import Problem

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_THREADS: Final = 4
_RETRY_SECONDS: Final = 5


class Archive:
    """Asks the store, in threads of its own. It is opened when it is first needed, and again after trouble.

    Args:
        address: of the database.
        seconds: after which a question is given up.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self._address, self._seconds = address, seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="maskgate-archive")
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._trouble: str | None = None

    async def ask(self, question: Callable[[Store], T]) -> T:
        """The store's answer.

        Raises :class:`~maskgate.server.problems.Problem` where the store is away, or takes too long. What
        the store says of it is logged: it names hosts and files.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: question(self._opened())
                )
        except StoreError as error:
            self._note(str(error))
            detail = "the store of events cannot be read just now"
            raise Problem("store-away", detail, retry_after=_RETRY_SECONDS) from None
        except TimeoutError:
            detail = f"the store of events has not answered within {self._seconds:g} seconds"
            raise Problem("timeout", detail, retry_after=_RETRY_SECONDS) from None
        self._note(None)
        return answer

    def close(self) -> None:
        """Lets go of the store."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._store is not None:
                self._store.close()

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                store = Store(self._address)
                try:
                    store.upgrade()
                except BaseException:
                    store.close()
                    raise
                self._store = store
            return self._store

    def _note(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is not None:
                _LOG.error("%s", trouble)
            else:
                _LOG.warning("the store of events can be read again")
