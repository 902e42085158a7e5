"""Beginning and end: addresses, and what has begun when the service is stopped."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from maskgate import MaskGate
from maskgate.errors import InputError
from maskgate.server.running import address_of, check_certificate, open_socket
from maskgate.server.settings import ServerSettings


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"cannot listen on 127\.0\.0\.1, port {port}: .*give another --port"
        ):
            open_socket(ServerSettings(port=port))


def test_the_protocol_is_named() -> None:
    """asyncio turns Nagle's algorithm off for such sockets alone; it costs 40 ms an answer."""
    with open_socket(ServerSettings(port=0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_a_host_that_is_none_is_told(tokens: Any) -> None:
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1"):
        open_socket(ServerSettings(host="192.0.2.1", tokens=tokens.book))
    with pytest.raises(InputError, match="give another --host"):
        open_socket(ServerSettings(host="no such host.invalid", tokens=tokens.book))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_addresses_are_for_browsers(host: str) -> None:
    settings = ServerSettings(host=host, port=0)
    try:
        bound = open_socket(settings)
    except InputError:
        pytest.skip("this machine has no IP version 6")
    with bound:
        shown = "[::1]" if host == "::1" else host
        assert address_of(settings, bound) == f"http://{shown}:{bound.getsockname()[1]}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself, in one file with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path / "server.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(path), "-out", str(tmp_path / "alone.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "alone.pem").read_text())
    return path


def test_answers_can_be_encrypted(serving: Callable[..., Any], tokens: Any, certificate: Path) -> None:
    settings = ServerSettings(port=0, pages=False, certificate=certificate, tokens=tokens.book)
    check_certificate(settings)
    with serving(settings) as running:
        context = ssl.create_default_context(cafile=str(certificate))
        address = f"https://127.0.0.1:{running.port}"
        with httpx.Client(base_url=address, verify=context, trust_env=False) as client:
            assert client.get("/health/live").status_code == 200
            answer = client.post("/v1/session", json={"token": tokens.texts["read"]})
            assert "; Secure" in answer.headers["set-cookie"]
        assert running.exchange(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") is None


def test_a_certificate_that_is_none_is_told(certificate: Path) -> None:
    for path in (certificate.parent / "alone.pem", Path(__file__), certificate.parent / "none.pem"):
        with pytest.raises(InputError, match=re.escape(f"the certificate {path} cannot be used: ")):
            check_certificate(ServerSettings(certificate=path))


def test_what_has_begun_is_answered_before_the_end(
    serving: Callable[..., Any], held: Any, held_gate: MaskGate, jpeg: bytes, eventually: Callable[..., Any]
) -> None:
    answers: list[httpx.Response] = []
    with serving(own=held_gate, most_batched=1) as running:
        engine = running.application.state.service.engine
        asking = [threading.Thread(target=lambda: answers.append(running.post(jpeg))) for _ in range(3)]
        for thread in asking:
            thread.start()
        assert eventually(lambda: sum(engine.lengths()) == 3)
        running.server.should_exit = True
        time.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            running.post(jpeg)
        held.release.set()
        for thread in asking:
            thread.join(10)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert not engine.running


def test_the_end_is_not_put_off_for_ever(
    serving: Callable[..., Any], held: Any, held_gate: MaskGate, jpeg: bytes
) -> None:
    answers: list[int] = []

    def ask() -> None:
        try:
            answers.append(running.post(jpeg).status_code)
        except httpx.TransportError:
            answers.append(0)

    with serving(own=held_gate, drain_seconds=0.5) as running:
        asking = threading.Thread(target=ask)
        asking.start()
        assert held.entered.wait(5)
        began = time.monotonic()
    assert time.monotonic() - began < 6
    held.release.set()
    asking.join(10)
    assert answers in ([0], [500], [503])
