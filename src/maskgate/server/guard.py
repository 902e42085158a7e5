"""The outermost layer: names the service answers to, headers of every answer, counts, and the last net."""

from __future__ import annotations

import logging
import re
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskgate.server.metrics import Metrics
from maskgate.server.problems import Problem, internal_problem

_LOG = logging.getLogger(__name__)

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of answers that do not set them themselves, as pages do."""

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?", re.IGNORECASE)


class Guard:
    """Wraps the application.

    Args:
        application: what answers.
        hosts: names that requests may call it by, lower case; None: all.
        metrics: of the service.
        docs: path of the interactive documentation, which loads scripts from outside; None: there is none.
    """

    def __init__(
        self, application: ASGIApp, *, hosts: frozenset[str] | None, metrics: Metrics, docs: str | None
    ) -> None:
        self._application, self._hosts, self._metrics, self._docs = application, hosts, metrics, docs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    if not (name == "Content-Security-Policy" and scope["path"] == self._docs):
                        headers.setdefault(name, value)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            self._check_host(scope)
            await self._application(scope, receive, answer)
        except Problem as problem:
            await problem.response()(scope, receive, answer)
        except ClientDisconnect:
            status = status or 499  # nobody is there to be answered
        except Exception:
            _LOG.exception("a request has failed")
            if status:
                raise
            await internal_problem().response()(scope, receive, answer)
        finally:
            self._metrics.in_flight.dec()
            template = getattr(scope.get("route"), "path", "(other)")
            self._metrics.request(scope["method"], template, status, time.perf_counter() - began)

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is None:
            return
        match = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
        if match is None or match[1].lower().rstrip(".") not in self._hosts:
            raise Problem("wrong-host", "call the service by a name that it was started with (--host-name)")
