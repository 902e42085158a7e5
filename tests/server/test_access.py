"""Who may ask what: every path with every role, and pages of other sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

ID = "0" * 8
ASKED: dict[str, tuple[str, str, str]] = {
    # path → method, least role, status of those who may
    "/v1/detect": ("POST", "recognise", "415"),
    "/v1/detect/batch": ("POST", "recognise", "415"),
    "/v1/models": ("GET", "recognise", "200"),
    "/v1/events": ("GET", "read", "200"),
    "/v1/statistics": ("GET", "read", "200"),
    "/v1/cameras": ("GET", "read", "200"),
    f"/v1/snapshots/{ID}": ("GET", "read", "404"),
    "/metrics": ("GET", "read", "200"),
    "/v1/receivers": ("GET", "admin", "200"),
    "/v1/session": ("GET", "any", "200"),
    "/health/live": ("GET", "none", "200"),
    "/health/ready": ("GET", "none", "200"),
    "/openapi.json": ("GET", "none", "200"),
}
STREAM = "/v1/events/stream"


@pytest.fixture(scope="module")
def guarded(serving: Callable[..., Any], tokens: Any) -> Iterator[Any]:
    with serving(tokens=tokens.book) as running:
        yield running


def test_every_path_has_a_rule(guarded: Any) -> None:
    paths = set(guarded.application.openapi()["paths"])
    assert {path.replace(ID, "{id}") for path in ASKED} == (paths | {"/openapi.json"}) - {STREAM}


@pytest.mark.parametrize("path", ASKED)
def test_roles_open_what_they_say(guarded: Any, tokens: Any, problem: Callable[..., Any], path: str) -> None:
    method, least, status = ASKED[path]
    with guarded.client() as client:
        for role in ("recognise", "read", "admin"):
            answer = client.request(method, path, headers=tokens.header(role))
            if least in (role, "any", "none") or role == "admin":
                assert str(answer.status_code) == status, answer.text
            else:
                document = problem(answer, 403, "not-allowed")
                assert f"'{least}'" in document["detail"]
        without = client.request(method, path)
        if least == "none":
            assert str(without.status_code) == status
        else:
            problem(without, 401, "unauthenticated")
            assert without.headers["www-authenticate"] == 'Bearer realm="maskgate"'


def test_the_stream_is_for_readers(guarded: Any, tokens: Any, problem: Callable[..., Any]) -> None:
    with guarded.client() as client:
        problem(client.get(STREAM), 401, "unauthenticated")
        problem(client.get(STREAM, headers=tokens.header("recognise")), 403, "not-allowed")
        with client.stream("GET", STREAM, headers=tokens.header("read")) as answer:
            assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic {}", "Token {}", "{}", "Bearer {}x", "Bearer x{}", "bearer\t{}", "Bearer {} {}"],
)
def test_other_headers_are_nobody(
    guarded: Any, tokens: Any, problem: Callable[..., Any], header: str
) -> None:
    text = tokens.texts["admin"]
    with guarded.client() as client:
        answer = client.get("/v1/models", headers={"Authorization": header.replace("{}", text)})
    problem(answer, 401, "unauthenticated")
    assert text not in answer.text
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_the_scheme_may_be_written_otherwise(guarded: Any, tokens: Any) -> None:
    with guarded.client() as client:
        for scheme in ("bearer", "BEARER"):
            header = {"Authorization": f"{scheme}  {tokens.texts['admin']}"}
            assert client.get("/v1/models", headers=header).status_code == 200


def test_a_token_in_the_address_is_none(guarded: Any, tokens: Any, problem: Callable[..., Any]) -> None:
    with guarded.client() as client:
        for name in ("token", "access_token", "authorization"):
            answer = client.get("/v1/models", params={name: tokens.texts["admin"]})
            problem(answer, 401, "unauthenticated")


OTHERS = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost:{port}"},  # another name is another origin
    {"Origin": "file://"},
    {"Origin": "http://127.0.0.1:{port}.evil.example"},
    {"Origin": "nonsense"},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:{port}"},
]
OWN = [
    {},
    {"Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]


def fill(headers: dict[str, str], port: int) -> dict[str, str]:
    return {name: value.replace("{port}", str(port)) for name, value in headers.items()}


@pytest.mark.parametrize("headers", OTHERS, ids=str)
def test_pages_of_others_change_nothing(
    plain: Any, guarded: Any, tokens: Any, problem: Callable[..., Any], headers: dict[str, str]
) -> None:
    """Neither where no token is needed, nor with the cookie of somebody who is signed in."""
    with plain.client(headers=fill(headers, plain.port)) as client:
        problem(client.post("/v1/detect"), 403, "cross-site")
        assert client.get("/v1/models").status_code == 200  # which the browser does not let the page read
    with guarded.client() as client:
        assert client.post("/v1/session", json={"token": tokens.texts["admin"]}).status_code == 200
        problem(client.post("/v1/detect", headers=fill(headers, guarded.port)), 403, "cross-site")
        problem(client.delete("/v1/session", headers=fill(headers, guarded.port)), 403, "cross-site")
        # a token in the header is no accident
        given = fill(headers, guarded.port) | tokens.header("admin")
        assert client.post("/v1/detect", headers=given).status_code == 415


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_our_own_pages_and_programs_do(plain: Any, headers: dict[str, str]) -> None:
    with plain.client(headers=fill(headers, plain.port)) as client:
        assert client.post("/v1/detect").status_code == 415


def test_a_cookie_without_an_origin_is_not_enough(
    guarded: Any, tokens: Any, problem: Callable[..., Any]
) -> None:
    with guarded.client() as client:
        client.post("/v1/session", json={"token": tokens.texts["admin"]})
        problem(client.post("/v1/detect"), 403, "cross-site")
        own = {"Origin": guarded.url}
        assert client.post("/v1/detect", headers=own).status_code == 415


def test_other_sites_are_not_let_in_by_cors(plain: Any) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    with plain.client() as client:
        for answer in (client.options("/v1/detect", headers=asked), client.get("/v1/models", headers=asked)):
            assert not [name for name in answer.headers if name.startswith("access-control")]
