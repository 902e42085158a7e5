"""Settings of the service."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maskgate.errors import SettingsError
from maskgate.events.credentials import Address
from maskgate.images import ImageLimits
from maskgate.server.tokens import TokenBook

PICTURE_LIMITS: Final = ImageLimits(max_bytes=16 * 2**20, max_pixels=40_000_000)
"""What an uploaded picture may be, where nothing else is said: strangers get less than the command line."""

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class SnapshotFolder:
    """Where the pictures of violations lie, and for how many hours they may be shown."""

    folder: Path
    keep_hours: float = 72.0


@dataclass(frozen=True)
class ServerSettings:
    """What the service does and allows.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        tokens: who may ask; without any, everybody who reaches it may do everything.
        hosts: names by which clients may call it, besides those of this machine on loopback. Beyond
            loopback every name is answered where this is empty.
        store: database of the events; None: there are none to show.
        snapshots: None: there are none.
        pages: whether ``/`` and ``/dashboard`` are served.
        docs: whether ``/docs`` is; it loads scripts from outside.
        picture: limits of one picture.
        most_pictures: in one request.
        most_body_bytes: of one request.
        body_seconds: within which a request's body must be received.
        head_seconds: within which its first line and headers must be.
        verdict_seconds: after which a request that still waits for its verdict is given up.
        most_uploads: requests that may send pictures at the same time.
        most_connections: open at the same time.
        most_waiting: pictures that may wait to be looked at; beyond, requests are turned away.
        most_batched: pictures that are looked at together.
        lookers: threads that look at pictures, with the same networks; None: two where that is safe.
        requests_per_minute: of one client, for recognition; None: no limit.
        most_streams: of events, open at the same time.
        heartbeat_seconds: after which a stream without events sends a sign of life.
        session_hours: for which a browser stays signed in.
        certificate, key: PEM files for TLS; None: plain HTTP. The key may be in the certificate's file.
        drain_seconds: which requests that have begun may take when the service is stopped.

    Raises :class:`~maskgate.errors.SettingsError` where a value makes no sense, and where it would listen
    beyond loopback without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: TokenBook = field(default_factory=TokenBook)
    hosts: frozenset[str] = frozenset()
    store: Address | None = None
    snapshots: SnapshotFolder | None = None
    pages: bool = True
    docs: bool = False
    picture: ImageLimits = PICTURE_LIMITS
    most_pictures: int = 16
    most_body_bytes: int = 64 * 2**20
    body_seconds: float = 30.0
    head_seconds: float = 10.0
    verdict_seconds: float = 30.0
    most_uploads: int = 32
    most_connections: int = 512
    most_waiting: int = 64
    most_batched: int = 8
    lookers: int | None = None
    requests_per_minute: float | None = None
    most_streams: int = 64
    heartbeat_seconds: float = 15.0
    session_hours: float = 12.0
    certificate: Path | None = None
    key: Path | None = None
    drain_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise SettingsError(f"the port is {self.port}; give a whole number from 0 to 65535", ("port",))
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1", (name,))
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e9:
                raise SettingsError(f"{name} is {value}; give a number above 0", (name,))
        if self.most_waiting < self.most_pictures:
            raise SettingsError(
                f"{self.most_waiting} pictures may wait, but one request may have {self.most_pictures}; "
                "let at least as many wait",
                ("most_waiting",),
            )
        if self.key is not None and self.certificate is None:
            raise SettingsError("a key is given without a certificate; give both, or neither", ("key",))
        if not self.tokens and not is_loopback(self.host):
            raise SettingsError(
                f"listening on {self.host!r} without a token would let everybody in who can reach it; make "
                "one with 'maskgate tokens add' and name its file with --tokens, set MASKGATE_TOKEN, or "
                "listen on 127.0.0.1",
                ("tokens",),
            )

    @property
    def answered_hosts(self) -> frozenset[str] | None:
        """Names without port, in lower case, that requests may call the service by; None: all.

        A page of somebody else's whose name is made to lead here (DNS rebinding) calls it by another.
        """
        given = frozenset(name.lower() for name in self.hosts)
        if is_loopback(self.host):
            return given | _LOOPBACK_NAMES | {self.host.lower()}
        return given or None


_AT_LEAST_ONE: Final = (
    "most_pictures", "most_body_bytes", "most_uploads", "most_connections", "most_waiting", "most_batched",
    "most_streams", "lookers",
)  # fmt: skip
_ABOVE_ZERO: Final = (
    "body_seconds", "head_seconds", "verdict_seconds", "requests_per_minute", "heartbeat_seconds",
    "session_hours", "drain_seconds",
)  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address to listen on, is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # another name, or "" for all addresses
        return False
