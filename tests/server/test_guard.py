"""The outermost layer: names, headers, and what nobody has foreseen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:{port}", "localhost.", "[::1]", "[::1]:80"]
)
def test_names_of_this_machine_are_answered(plain: Any, host: str) -> None:
    with plain.client(headers={"Host": host.replace("{port}", str(plain.port))}) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "",
     "localhost:x", "localhost evil", "127.0.0.2", "[::2]", "[::1", "localhost:80:80"],
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_not(plain: Any, problem: Callable[..., Any], host: str) -> None:
    with plain.client(headers={"Host": host.replace("{port}", str(plain.port))}) as client:
        for path in ("/v1/models", "/health/live", "/nothing"):
            problem(client.get(path), 421, "wrong-host")


def test_names_can_be_given(serving: Callable[..., Any], problem: Callable[..., Any]) -> None:
    with serving(hosts=frozenset({"gate.example"})) as running, running.client() as client:
        assert client.get("/health/live", headers={"Host": "Gate.Example:1234"}).status_code == 200
        problem(client.get("/health/live", headers={"Host": "other.example"}), 421, "wrong-host")


def test_every_answer_tells_browsers_to_be_careful(plain: Any) -> None:
    with plain.client() as client:
        for path in ("/v1/models", "/nothing", "/openapi.json", "/metrics"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_paths_and_methods_that_are_not_there_are_problems(plain: Any, problem: Callable[..., Any]) -> None:
    with plain.client() as client:
        for path in (
            "/nothing",
            "/v1",
            "/v1/events/",
            "/v1/detect%00",
            "/../etc/passwd",
            "/v1/snapshots/..%2f..%2fx",
        ):
            problem(client.get(path), 404, "not-found")
        answer = client.delete("/v1/events")
        problem(answer, 405, "wrong-method")
        assert answer.headers["allow"] == "GET"
        problem(client.request("BREW", "/v1/detect"), 405, "wrong-method")
        problem(client.get("/docs"), 404, "not-found")


def test_docs_are_there_where_they_are_wanted(serving: Callable[..., Any]) -> None:
    with serving(docs=True) as running, running.client() as client:
        answer = client.get("/docs")
        assert answer.status_code == 200
        assert "content-security-policy" not in answer.headers


def test_what_nobody_has_foreseen_tells_nothing(
    serving: Callable[..., Any], problem: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("/srv/secret/path s3cret")

    with serving() as running:
        running.application.add_api_route("/boom", fail)
        with running.client() as client, caplog.at_level(logging.ERROR):
            answer = client.get("/boom")
    problem(answer, 500, "internal")
    assert "s3cret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert [record for record in caplog.records if record.exc_info]  # whoever runs it sees why
