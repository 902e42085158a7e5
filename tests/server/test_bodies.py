"""Small bodies that come slowly. What else can be wrong with them: ``test_signing_in.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_body_that_does_not_come_is_not_waited_for(serving: Callable[..., Any]) -> None:
    head = b"POST /v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with serving(body_seconds=0.3) as running:
        answer = running.exchange(head + b'Content-Length: 20\r\n\r\n{"token":', seconds=8)
    assert (answer.status, answer.kind) == (408, "too-slow")
    assert b"did not come within 0.3 seconds" in answer.body
