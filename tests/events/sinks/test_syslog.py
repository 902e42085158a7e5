"""CEF over syslog, against real sockets, and read back by a plain reader of the format."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.errors import DeliveryError
from maskgate.events import Event, EventType
from maskgate.events.settings import SyslogSettings
from maskgate.events.sinks.cef import cef
from maskgate.events.sinks.syslog import Syslog, message
from maskgate.types import Label

Make = Callable[..., Event]
TIME = datetime(2026, 1, 1, tzinfo=UTC)


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Header fields and extension, by the rules of the format: split first, then unescape."""
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", text, maxsplit=7)
    fields = [parts[i] + (parts[i + 1] if i + 1 < len(parts) else "") for i in range(0, len(parts), 2)]
    header = [re.sub(r"\\([\\|])", r"\1", field) for field in fields[:7]]
    places = list(re.finditer(r"(?:^| )(\w+)=", fields[7]))
    pairs = {}
    for place, after in zip(places, [*places[1:], None], strict=True):
        value = fields[7][place.end() : after.start() if after else None]
        unescaped = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), value)
        pairs[place[1]] = unescaped
    return header, pairs


def test_cef_has_the_header_and_the_fields(track_event: Make) -> None:
    event = track_event(zone="queue", media_seconds=1.5)
    header, pairs = read_cef(cef(event))
    assert header[:3] == ["CEF:0", "maskgate", "maskgate"]
    assert header[4:] == ["track.confirmed", "Face without a mask", "7"]
    assert pairs == {
        "rt": "1767225600000", "externalId": event.id, "cat": "track.confirmed", "deviceExternalId": "door",
        "outcome": "no_mask", "cs1Label": "track", "cs1": "0", "cs2Label": "zone", "cs2": "queue",
        "cs3Label": "violation", "cs3": "true", "cfp1Label": "confidence", "cfp1": "0.9375",
        "cfp2Label": "mediaSeconds", "cfp2": "1.5", "cn1Label": "votes", "cn1": "7",
        "cs4Label": "box", "cs4": "1.5 2 30 40",
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=30))
def test_no_name_breaks_the_fields(name: str) -> None:
    if not name.isprintable():
        return
    event = Event.of_track(
        EventType.TRACK_CONFIRMED, time=TIME, camera=name, track=name, label=Label.MASK, confidence=1,
        votes=1, box=(0, 0, 1, 1), zone=name,
    )  # fmt: skip
    text = cef(event)
    assert "\n" not in text
    pairs = read_cef(text)[1]
    assert {pairs["deviceExternalId"], pairs["cs1"], pairs["cs2"]} == {name}


@pytest.mark.parametrize(
    ("event", "name", "severity"),
    [
        (("track.confirmed", Label.INCORRECT), "Face with a mask worn wrongly", "7"),
        (("track.confirmed", Label.MASK), "Face with a mask", "3"),
        (("track.changed", Label.NO_MASK), "Face without a mask from now on", "7"),
        (("track.ended", Label.NO_MASK), "Face without a mask has gone", "1"),
        (("camera.online", None), "Camera online", "3"),
        (("camera.offline", None), "Camera offline", "5"),
    ],
)
def test_names_and_severities(
    track_event: Make, event: tuple[str, Label | None], name: str, severity: str
) -> None:
    type, label = event
    made = (
        track_event(type=EventType(type), label=label)
        if label
        else Event.of_camera(EventType(type), time=TIME, camera="door")
    )
    assert read_cef(cef(made))[0][5:] == [name, severity]


def test_messages_are_those_of_rfc_5424(track_event: Make) -> None:
    text = message(track_event(camera="Tür"), 16, "gate").decode("utf-8")
    # PRI: local0 (16) and error (3)
    assert re.match(
        r"<131>1 2026-01-01T00:00:00\.000Z gate maskgate \d+ track\.confirmed - CEF:0\|maskgate\|", text
    )


class Listener:
    """A TCP receiver that reads until it is told to stop."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port: int = self.socket.getsockname()[1]
        self.data = b""
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=[connection], daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        try:
            while part := connection.recv(65536):
                self.data += part
        except OSError:
            pass

    def messages(self) -> list[bytes]:
        """Split by octet counting."""
        found, data = [], self.data
        while data:
            length, _, rest = data.partition(b" ")
            found.append(rest[: int(length)])
            data = rest[int(length) :]
        return found

    def drop(self) -> None:
        while self.connections:
            connection = self.connections.pop()
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self.socket.close()
        self.drop()


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()


def tcp(port: int, **fields: Any) -> Syslog:
    given = {"name": "siem", "host": "127.0.0.1", "port": port, "transport": "tcp", "timeout_seconds": 5.0}
    return Syslog(SyslogSettings(**(given | fields)))


def ids(messages: list[bytes]) -> list[str]:
    return [read_cef(m.decode().split(" - ", 1)[1])[1]["externalId"] for m in messages]


def test_udp_sends_a_datagram_an_event(track_event: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        sink = Syslog(SyslogSettings("siem", host="127.0.0.1", port=server.getsockname()[1]))
        events = [track_event(), track_event()]
        for event in events:
            sink.deliver([event])
        assert ids([server.recv(65536) for _ in events]) == [event.id for event in events]
        sink.close()


def test_tcp_counts_octets(listener: Listener, track_event: Make, eventually: Callable[..., Any]) -> None:
    sink = tcp(listener.port)
    events = [track_event(zone="Ω"), track_event(), track_event()]
    sink.deliver(events[:2])
    sink.deliver(events[2:])
    eventually(lambda: len(listener.messages()) == 3)
    assert ids(listener.messages()) == [event.id for event in events]
    assert len(listener.connections) == 1
    sink.close()


def test_tcp_connects_again_when_the_receiver_has_closed(
    listener: Listener, track_event: Make, eventually: Callable[..., Any]
) -> None:
    sink = tcp(listener.port)
    events = [track_event() for _ in range(4)]
    for number, event in enumerate(events, 1):
        sink.deliver([event])
        eventually(lambda n=number: len(listener.messages()) == n)
        listener.drop()
    assert ids(listener.messages()) == [event.id for event in events]
    sink.close()


def test_tcp_that_is_away(free_port: Callable[[], int], track_event: Make) -> None:
    sink = tcp(free_port())
    with pytest.raises(DeliveryError, match=r"siem \(tcp 127\.0\.0\.1:\d+\): Connection refused"):
        sink.deliver([track_event()])


def test_tcp_that_does_not_read(track_event: Make) -> None:
    """Its system's buffer is small and full: nothing counts as delivered that it has not acknowledged."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        sink = tcp(server.getsockname()[1], timeout_seconds=0.5)
        events = [track_event(zone="z" * 200) for _ in range(50)]
        with pytest.raises(DeliveryError, match="no answer in time"):  # noqa: PT012 - which one is not known
            for _ in range(500):
                sink.deliver(events)
        sink.close()


def test_tls_that_nobody_vouches_for(listener: Listener, track_event: Make) -> None:
    sink = tcp(listener.port, transport="tls", timeout_seconds=0.5)  # it speaks no TLS at all
    with pytest.raises(DeliveryError, match=r"siem \(tls "):
        sink.deliver([track_event()])
