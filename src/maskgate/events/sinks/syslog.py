"""Sends events as CEF to a syslog receiver: RFC 5424 messages over UDP, TCP or TLS.

No syslog transport has an answer that says "I have it". Over TCP and TLS, a delivery counts when the
receiver's system has acknowledged all bytes, which outlives a broken network, but not a receiver that is
killed with messages unread. Over UDP, it counts when the datagram has left.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections.abc import Sequence

from maskgate import errors
from maskgate.events.settings import SyslogSettings
from maskgate.events.sinks.cef import cef, severity
from maskgate.events.sinks.protocol import reason
from maskgate.events.sinks.tls import create_context
from maskgate.events.times import time_text
from maskgate.events.types import Event

_ERROR, _WARNING, _NOTICE, _INFORMATIONAL = 3, 4, 5, 6


class Syslog:
    """One syslog receiver."""

    def __init__(self, settings: SyslogSettings) -> None:
        self.name = settings.name
        self.batch = 1 if settings.transport == "udp" else 50
        self._settings = settings
        self._hostname = hostname()
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connects; over UDP, only looks up the receiver's address."""
        self.close()
        settings = self._settings
        try:
            if settings.transport == "udp":
                self._socket = _connect_udp(settings.host, settings.port)
            else:
                self._socket = socket.create_connection(
                    (settings.host, settings.port), settings.timeout_seconds
                )
            if settings.transport == "tls":
                context = create_context(settings.tls)
                self._socket = context.wrap_socket(self._socket, server_hostname=settings.host)
        except OSError as error:
            self.close()
            raise self._failed(error) from None
        except errors.DeliveryError:
            self.close()
            raise

    def deliver(self, events: Sequence[Event]) -> None:
        """Sends the events, in their order."""
        if self._socket is None or (self._settings.transport != "udp" and _is_closed(self._socket)):
            self.open()
        assert self._socket is not None
        messages = [message(event, self._settings.facility, self._hostname) for event in events]
        try:
            if self._settings.transport == "udp":
                for data in messages:
                    self._socket.send(data)
            else:
                # octet counting, RFC 5425 and RFC 6587
                self._socket.sendall(b"".join(b"%d %s" % (len(data), data) for data in messages))
                _await_acknowledgement(self._socket, self._settings.timeout_seconds)
        except OSError as error:
            self.close()
            raise self._failed(error) from None

    def tend(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _failed(self, error: OSError) -> errors.DeliveryError:
        where = f"{self._settings.transport} {self._settings.host}:{self._settings.port}"
        why = getattr(error, "verify_message", "") or reason(error)
        return errors.DeliveryError(f"the syslog receiver {self.name} ({where}): {why}")


def message(event: Event, facility: int, hostname: str) -> bytes:
    """An RFC 5424 message without structured data; its text is CEF in UTF-8."""
    grade = severity(event)
    level = _ERROR if grade >= 7 else _WARNING if grade >= 5 else _NOTICE if grade >= 3 else _INFORMATIONAL
    header = (
        f"<{facility * 8 + level}>1 {time_text(event.time)} {hostname} maskgate {os.getpid()} {event.type} -"
    )
    return f"{header} {cef(event)}".encode()


def hostname() -> str:
    """This machine's name as RFC 5424 takes it."""
    return re.sub(r"[^\x21-\x7e]", "", socket.gethostname())[:255] or "-"


def _connect_udp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    udp = socket.socket(family, kind, protocol)
    try:
        udp.connect(address)
    except OSError:
        udp.close()
        raise
    return udp


def _is_closed(tcp: socket.socket) -> bool:
    """Whether the receiver has closed the connection: it has nothing else to say."""
    return bool(select.select([tcp], [], [], 0)[0])


def _await_acknowledgement(tcp: socket.socket, seconds: float) -> None:
    """Waits until the receiver's system has all that was sent, where the system can tell (Linux).

    Raises ``OSError`` where the connection breaks before, ``TimeoutError`` where it takes longer.
    """
    try:
        from fcntl import ioctl
        from termios import TIOCOUTQ
    except ImportError:
        return
    end = time.monotonic() + seconds
    wait = 0.0005
    while int.from_bytes(ioctl(tcp, TIOCOUTQ, bytes(4)), "little"):
        if _is_closed(tcp):
            raise ConnectionResetError(104, "the receiver closed the connection")
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(wait)
        wait = min(2 * wait, 0.05)
    broken = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if broken:
        raise OSError(broken, os.strerror(broken))
