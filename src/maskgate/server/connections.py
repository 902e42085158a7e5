"""Connections: uvicorn's, with an end to patience, and problem documents for what is no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from maskgate.server.problems import MEDIA_TYPE, Problem

_LINGER_SECONDS = 2.0
"""For which the rest of a request that was answered early is thrown away, so that the client, still sending,
comes to read the answer."""


def create_protocol(*, head_seconds: float, most_connections: int) -> type[asyncio.Protocol]:
    """The class of connections.

    Args:
        head_seconds: within which a request's first line and headers must come.
        most_connections: open at the same time; beyond, new ones are turned away.
    """

    class Bounded(BoundedProtocol):
        pass

    Bounded.head_seconds, Bounded.most_connections = head_seconds, most_connections
    return Bounded


class BoundedProtocol(H11Protocol):
    """One connection.

    uvicorn waits for ever for the headers of a request, and for the rest of one that it has answered.
    """

    head_seconds: float
    most_connections: int

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience: asyncio.TimerHandle | None = None
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio has it."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Problem("busy", "too many connections are open", retry_after=1))
            return
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._lingering:
            if self.conn.our_state is h11.DONE:
                return
            self._lingering = False  # the rest has come, and maybe another request
            self._stop_waiting()
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._patience is None:  # a request has begun after another one on the same connection
            self._wait(self.head_seconds)

    def on_response_complete(self) -> None:
        """As uvicorn has it."""
        super().on_response_complete()
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self._lingering = True
            self._stop_waiting()
            self._wait(_LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn has it."""
        self._refuse(Problem("malformed", "this is no HTTP request"))

    def _wait(self, seconds: float) -> None:
        self._patience = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            detail = f"the request's headers did not come within {self.head_seconds:g} seconds"
            self._refuse(Problem("too-slow", detail))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answers without the application, and closes."""
        body = json.dumps(problem.document()).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
        phrase = HTTPStatus(problem.status).phrase
        lines = [f"HTTP/1.1 {problem.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in (headers | problem.headers).items()]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


# its warnings are about what strangers send, which is answered
logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
