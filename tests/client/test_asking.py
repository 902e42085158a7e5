"""Tries, waits and exceptions, before a server that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from maskgate.client import AccessError, AnswerError, BusyError, RequestError, UnreachableError

CAMERAS = (200, {}, b'{"cameras": []}')


def problem(status: int, detail: str = "because", **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = {"type": "urn:maskgate:problem:x", "title": "A title", "status": status, "detail": detail}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"content-type": "application/problem+json"} | headers, json.dumps(body).encode()


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_told_to_come_back_does(
    asking: Callable[..., Any], scripted: Any, waits: list[float], status: int
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    scripted.answers = [
        problem(status, retry_after="7"),
        problem(status, retry_after=later),
        problem(status, retry_after="86400"),
        problem(status, retry_after="soon"),
        CAMERAS,
    ]
    assert asking().cameras() == []
    assert waits[0] == 7
    assert 18 < waits[1] <= 20
    assert waits[2] == 30  # nobody waits for a day
    assert 1 <= waits[3] <= 2  # the fourth wait of those that double from a quarter of a second
    assert len(scripted.requests) == 5


def test_a_service_that_stays_busy(asking: Callable[..., Any], scripted: Any, waits: list[float]) -> None:
    scripted.answers = [problem(503, "the service is being stopped", retry_after="2")] * 3
    with pytest.raises(BusyError, match="answered 503: the service is being stopped") as caught:
        asking(tries=3).cameras()
    assert (caught.value.status, caught.value.retry_after) == (503, 2)
    assert waits == [2, 2]


def test_a_connection_that_breaks(asking: Callable[..., Any], scripted: Any, waits: list[float]) -> None:
    scripted.answers = [(0, {}, b""), CAMERAS]
    assert asking().cameras() == []
    assert len(waits) == 1
    scripted.answers = [(0, {}, b"")]
    with pytest.raises(UnreachableError):
        asking(tries=1).cameras()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestError), (401, AccessError), (403, AccessError), (404, RequestError), (413, RequestError),
     (415, RequestError), (422, RequestError), (500, AnswerError), (302, AnswerError)],
)  # fmt: skip
def test_what_would_not_help_is_not_tried_again(
    asking: Callable[..., Any], scripted: Any, waits: list[float], status: int, kind: type[Exception]
) -> None:
    scripted.answers = [problem(status, location="http://elsewhere.example/")]
    with pytest.raises(kind, match=f"answered {status}: because") as caught:
        asking().detect(b"data")
    assert vars(caught.value)["title"] == "A title"
    assert vars(caught.value)["detail"] == "because"
    assert waits == []
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"cameras": [{}]}', b'{"cameras": 3}', b"[" * 100_000, b"\xff\xfe"],
)
def test_answers_of_something_else(asking: Callable[..., Any], scripted: Any, body: bytes) -> None:
    scripted.answers = [(200, {}, body)]
    with pytest.raises(AnswerError):
        asking().cameras()


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b'{"detail": 3}', b'"text"', b""])
def test_problems_that_are_no_documents(asking: Callable[..., Any], scripted: Any, body: bytes) -> None:
    scripted.answers = [(502, {}, body)]
    with pytest.raises(AnswerError, match="answered 502: Bad Gateway"):
        asking().cameras()


def test_the_token_goes_along_and_shows_nowhere(asking: Callable[..., Any], scripted: Any) -> None:
    scripted.answers = [problem(403)]
    client = asking(token="secret-of-mine")
    with pytest.raises(AccessError) as caught:
        client.cameras()
    assert scripted.requests[0][1]["authorization"] == "Bearer secret-of-mine"
    assert "secret" not in f"{client!r} {caught.value} {caught.value.__dict__}"


def test_unknown_fields_are_left_out(asking: Callable[..., Any], scripted: Any) -> None:
    camera = {"name": "a", "address": None, "state": "online", "since": "2026-01-01T00:00:00.040Z",
              "last_event": None, "new": 1,
              "frames": {"received": 4, "processed": 3, "skipped": 1, "passed": 0, "new": 2}}  # fmt: skip
    scripted.answers = [(200, {}, json.dumps({"cameras": [camera], "new": 3}).encode())]
    (found,) = asking().cameras()
    assert found.since == datetime(2026, 1, 1, 0, 0, 0, 40_000, UTC)
    assert found.frames is not None
    assert found.frames.processed == 3


def test_health_of_a_service_that_is_not_ready(asking: Callable[..., Any], scripted: Any) -> None:
    scripted.answers = [problem(503, "the store cannot be read")]
    health = asking().health()
    assert not health.ready
    assert health.detail == "the store cannot be read"


def test_a_stream_goes_on_where_it_broke(
    asking: Callable[..., Any], scripted: Any, waits: list[float]
) -> None:
    event = {"type": "camera.online", "schema": 1, "time": "2026-01-01T00:00:00.040Z", "camera": "a"}

    def message(id: str) -> bytes:
        return f"id: {id}\ndata: {json.dumps(event | {'id': id})}\n\n".encode()

    stream = {"content-type": "text/event-stream"}
    scripted.answers = [
        (200, stream, b"retry: 3000\n\n: still here\n\n" + message("one") + message("two")),
        problem(503, retry_after="4"),
        (200, stream, b"data: not JSON\n\ndata: {}\n\n" + message("three")),
        problem(403),
    ]
    live = asking().live()
    assert [next(live).id for _ in range(3)] == ["one", "two", "three"]
    with pytest.raises(AccessError):
        next(live)
    assert [headers.get("last-event-id") for _, headers in scripted.requests] == [None, "two", "two", "three"]
    assert waits[1] == 4
    scripted.answers = [(200, stream, message("one"))]
    assert [got.id for got in asking().live(reconnect=False)] == ["one"]
