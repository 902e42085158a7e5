"""Runs the application with uvicorn, until it is told to stop."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from maskgate.errors import InputError
from maskgate.server.application import stop_streams
from maskgate.server.connections import create_protocol
from maskgate.server.settings import ServerSettings

_BACKLOG = 256
_KEEP_ALIVE_SECONDS = 15


def open_socket(settings: ServerSettings) -> socket.socket:
    """A socket that is bound to the host and port; it listens once the server runs.

    Raises :class:`~maskgate.errors.InputError` where that cannot be had.
    """
    place = f"{settings.host or 'all addresses'}, port {settings.port}"
    try:
        found = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise InputError(f"it cannot listen on {place}: {error.strerror}; give another --host") from None
    # a name may have an address of each version of IP; version 4 is what people type
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    # with the protocol named, asyncio sends small pieces at once on every connection; else an answer's second
    # piece waits 40 ms for the client's system to acknowledge the first one
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise InputError(
            f"it cannot listen on {place}: {error.strerror}; give another --port or --host"
        ) from None
    bound.set_inheritable(False)
    return bound


def check_certificate(settings: ServerSettings) -> None:
    """Raises :class:`~maskgate.errors.InputError` where the certificate and its key cannot be used."""
    if settings.certificate is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # nobody is there to type in a password
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"the certificate {settings.certificate} cannot be used: {_reason(error)}; give PEM files of a "
            "certificate and of its key, without a password"
        ) from None


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(getattr(error, "strerror", None) or error)
    # OpenSSL has words for some errors only
    return error.reason.lower().replace("_", " ") if error.reason else "it is no such PEM file"


class Server(uvicorn.Server):
    """uvicorn's server, which ends streams of events when it is stopped.

    Args:
        application: of :func:`~maskgate.server.application.create_application`.
        settings: of it.
        started: called once requests are taken.
    """

    def __init__(
        self, application: FastAPI, settings: ServerSettings, started: Callable[[], None] = lambda: None
    ) -> None:
        self._application, self._announce = application, started
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the text and tell nothing
        super().__init__(
            uvicorn.Config(
                application,
                http=create_protocol(
                    head_seconds=settings.head_seconds, most_connections=settings.most_connections
                ),
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(round(settings.drain_seconds), 1),
                ssl_certfile=settings.certificate,
                ssl_keyfile=settings.key,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn has it."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn has it: no new connections, requests that have begun are answered, then the end."""
        stop_streams(self._application)
        await super().shutdown(sockets)


def address_of(settings: ServerSettings, bound: socket.socket) -> str:
    """The URL of the service, for people: ``http://127.0.0.1:8000``."""
    port = bound.getsockname()[1]
    host = settings.host or "localhost"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if settings.certificate else 'http'}://{host}:{port}"
