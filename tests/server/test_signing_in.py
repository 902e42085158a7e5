"""Signing in and out with a browser's means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def guarded(serving: Callable[..., Any], tokens: Any) -> Iterator[Any]:
    with serving(tokens=tokens.book) as running:
        yield running


def test_a_cookie_stands_for_the_token(guarded: Any, tokens: Any) -> None:
    with guarded.client() as client:
        answer = client.post("/v1/session", json={"token": f" {tokens.texts['read']}\n"})
        assert answer.json() == {"name": "a-read", "roles": ["read"], "authentication": "session"}
        cookie = answer.headers["set-cookie"]
        name, _, rest = cookie.partition("=")
        value, *attributes = rest.split("; ")
        assert name == "maskgate_session"
        assert {a.lower() for a in attributes} == {"httponly", "samesite=strict", "path=/", "max-age=43200"}
        assert tokens.texts["read"] not in cookie
        assert len(value) < 120
        assert client.get("/v1/session").json() == answer.json()
        assert client.get("/v1/events").status_code == 200
        assert client.get("/v1/models").status_code == 403


def test_signing_out_ends_it_for_copies_of_the_cookie_too(
    guarded: Any, tokens: Any, problem: Callable[..., Any]
) -> None:
    with guarded.client() as client:
        client.post("/v1/session", json={"token": tokens.texts["read"]})
        copied = {"Cookie": f"maskgate_session={client.cookies['maskgate_session']}"}
        answer = client.delete("/v1/session", headers={"Origin": guarded.url})
        assert answer.status_code == 204
        assert "maskgate_session" not in client.cookies
        problem(client.get("/v1/events", headers=copied), 401, "unauthenticated")
        assert client.delete("/v1/session").status_code == 204  # there is none any more


def test_wrong_tokens_get_nothing(guarded: Any, problem: Callable[..., Any]) -> None:
    with guarded.client() as client:
        answer = client.post("/v1/session", json={"token": "hunter2"})
        problem(answer, 401, "unauthenticated")
        assert "set-cookie" not in answer.headers
        assert "hunter2" not in answer.text
        for forged in ("x", "", "a.b", "é"):
            headers = {"Cookie": f"maskgate_session={forged}".encode()}
            problem(client.get("/v1/events", headers=headers), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("content", "kind", "status", "problem_kind"),
    [
        (b'{"token": "x"', "application/json", 400, "malformed"),
        (b"\xff", "application/json", 400, "malformed"),
        (b"", "application/json", 400, "malformed"),
        (b'{"token": 1}', "application/json", 422, "invalid"),
        (b'{"token": "s3cret-s3cret", "more": 1}', "application/json", 422, "invalid"),
        (b"{}", "application/json", 422, "invalid"),
        (b"[]", "application/json", 422, "invalid"),
        (b'{"token": "' + b"x" * 600 + b'"}', "application/json", 422, "invalid"),
        (b"[" * 16_000, "application/json", 400, "malformed"),
        (b" " * 20_000, "application/json", 413, "too-large"),
        (b'{"token": "x"}', "text/plain", 415, "wrong-media-type"),  # what a form of another site could send
        (b"token=x", "application/x-www-form-urlencoded", 415, "wrong-media-type"),
    ],
    ids=range(12),
)
def test_other_bodies_are_problems(
    guarded: Any, problem: Callable[..., Any], content: bytes, kind: str, status: int, problem_kind: str
) -> None:
    with guarded.client() as client:
        answer = client.post("/v1/session", content=content, headers={"Content-Type": kind})
    problem(answer, status, problem_kind)
    assert "s3cret" not in answer.text


def test_pages_of_others_cannot_sign_anybody_in(
    guarded: Any, tokens: Any, problem: Callable[..., Any]
) -> None:
    with guarded.client(headers={"Origin": "http://evil.example"}) as client:
        problem(client.post("/v1/session", json={"token": tokens.texts["read"]}), 403, "cross-site")


def test_without_tokens_everybody_is_somebody(plain: Any) -> None:
    everything = {"name": "", "roles": ["admin", "read", "recognise"], "authentication": "none"}
    with plain.client() as client:
        assert client.get("/v1/session").json() == everything
        answer = client.post("/v1/session", json={"token": "anything"})
        assert answer.json() == everything
        assert "set-cookie" not in answer.headers
