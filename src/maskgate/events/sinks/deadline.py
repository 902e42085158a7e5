"""HTTP connections that end when a request takes too long in all.

urllib3's timeouts are for single reads: an answer that comes a byte at a time would never meet them.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class DeadlineManager(urllib3.PoolManager):
    """A pool of connections to one place, for one thread; see :meth:`within`."""

    def __init__(self, timeout: float, context: ssl.SSLContext | None) -> None:
        super().__init__(
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=timeout, read=timeout),
            ssl_context=context,
        )
        opened: list[socket.socket] = []
        self._opened = opened

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                opened[:] = [self.sock] if self.sock is not None else []

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                opened[:] = [self.sock] if self.sock is not None else []

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.pool_classes_by_scheme: dict[str, Any] = {"http": PlainPool, "https": SecurePool}

    @contextmanager
    def within(self, seconds: float) -> Iterator[threading.Event]:
        """Cuts the connection when the block takes longer; the event given tells whether that happened."""
        late = threading.Event()

        def cut() -> None:
            late.set()
            for sock in self._opened:
                with suppress(OSError):  # closed meanwhile
                    # not SSLSocket's own, which is not for two threads
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
