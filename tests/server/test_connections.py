"""Connections that are no use: what is no HTTP, what does not come, what comes too long, too many of them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"\0\1\2\3\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),  # TLS to a port without it
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: other\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 300_000,
        b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    ],
    ids=range(13),
)
def test_what_is_no_http_is_told_so(plain: Any, data: bytes) -> None:
    answer = plain.exchange(data)
    assert answer.status in (400, 501)
    assert answer.kind == "malformed"


def test_a_broken_chunk_ends_the_request(plain: Any) -> None:
    head = (
        b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    answer = plain.exchange(head + b"5\r\n--b\r\n\r\n", b"nonsense\r\n", pause=0.05)
    assert answer is None or answer.kind == "malformed"
    assert plain.exchange(GET).status == 200


def test_headers_that_do_not_come_are_not_waited_for(serving: Callable[..., Any]) -> None:
    with serving(head_seconds=0.3) as running:
        began = time.monotonic()
        answer = running.exchange(b"GET /health/live HT", b"TP/1.1\r\nHost: 127.", pause=0.1)
        assert (answer.status, answer.kind) == (408, "too-slow")
        assert running.exchange() is None  # a connection on which nothing comes
        assert time.monotonic() - began < 2


def test_headers_of_a_second_request_are_not_waited_for_either(
    serving: Callable[..., Any], read_answer: Callable[..., Any]
) -> None:
    with serving(head_seconds=0.3) as running, running.connect() as connection:
        connection.sendall(GET)
        assert read_answer(connection).status == 200
        time.sleep(0.5)  # between requests there is more patience
        connection.sendall(GET[:20])
        assert read_answer(connection).status == 408


def test_drops_of_headers_do_not_buy_time(serving: Callable[..., Any]) -> None:
    with serving(head_seconds=0.4) as running:
        began = time.monotonic()
        answer = running.exchange(*(bytes([letter]) for letter in GET), pause=0.05)
        assert answer.status == 408
        assert time.monotonic() - began < 3


def test_an_early_answer_is_read_by_who_still_sends(
    plain: Any, http_request: Callable[..., bytes], read_answer: Callable[..., Any]
) -> None:
    body = bytes(1_000_000)
    with plain.connect() as connection:
        connection.sendall(http_request(body, length=65 * 2**20)[:-900_000])
        assert read_answer(connection).kind == "too-large"
        began = time.monotonic()
        with contextlib.suppress(OSError):  # once it is closed
            while time.monotonic() - began < 8:
                connection.sendall(body)
                time.sleep(0.05)
        # it was listened to for a while, and not for ever
        assert 0.5 < time.monotonic() - began < 6


def test_a_connection_goes_on_after_an_early_answer(
    plain: Any, http_request: Callable[..., bytes], read_answer: Callable[..., Any]
) -> None:
    body = b"x" * 300_000
    with plain.connect() as connection:
        connection.sendall(http_request(body).replace(b"multipart/form-data", b"text/plain"))
        assert read_answer(connection).kind == "wrong-media-type"
        time.sleep(0.2)
        connection.sendall(GET)
        assert read_answer(connection).status == 200
        time.sleep(2.2)  # the end of patience with the first body is not the end of the connection
        connection.sendall(GET)
        assert read_answer(connection).status == 200


def test_there_is_an_end_to_connections(serving: Callable[..., Any], read_answer: Callable[..., Any]) -> None:
    with serving(most_connections=3) as running:
        open_ones = [running.connect() for _ in range(3)]
        try:
            for connection in open_ones:
                connection.sendall(GET)
                assert read_answer(connection).status == 200
            answer = running.exchange()
            assert (answer.status, answer.kind, answer.headers["retry-after"]) == (503, "busy", "1")
        finally:
            for connection in open_ones:
                connection.close()
        time.sleep(0.1)
        assert running.exchange(GET).status == 200


def test_upgrades_are_not_taken(plain: Any) -> None:
    asked = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\n"
    answer = plain.exchange(asked)
    assert answer.status == 200


def test_whoever_goes_away_leaves_nothing(plain: Any, eventually: Callable[..., Any]) -> None:
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", plain.port))
        connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                           b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")  # fmt: skip
        connection.close()
    service = plain.application.state.service
    assert eventually(lambda: service.uploads._now == 0 and service.uploads._bytes == 0)
    assert eventually(lambda: not plain.server.server_state.connections)
