"""One request after the other, with patience: who is told to come back later does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from maskgate.client.errors import (
    AccessError,
    AnswerError,
    BusyError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from maskgate.events.backoff import Backoff

_BUSY: Final = frozenset({429, 503})
_DENIED: Final = frozenset({401, 403})
_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 30.0
_LONGEST_PROBLEM: Final = 2000


def ask(
    send: Callable[[], httpx.Response],
    where: str,
    tries: int,
) -> httpx.Response:
    """The first answer of success; 429, 503 and lost connections are tried again.

    The wait is what ``Retry-After`` says, at most half a minute, or else grows from try to try.

    Args:
        send: makes one try.
        where: the service's address, for sentences.
        tries: in all, at least 1.

    Raises :class:`~maskgate.client.errors.ServiceError`.
    """
    backoff = Backoff(_FIRST_SECONDS, _LONGEST_SECONDS)
    for left in reversed(range(tries)):
        try:
            response = send()
        except httpx.TransportError as error:
            problem: ServiceError = unreachable(where, error)
        except httpx.HTTPError as error:
            raise AnswerError(f"{where} has not answered as a service does: {error}") from error
        else:
            if response.is_success:
                return response
            problem = problem_of(response, where)
            if response.status_code not in _BUSY:
                raise problem
        if left == 0:
            raise problem
        wait = backoff.next()
        time.sleep(wait if problem.retry_after is None else min(problem.retry_after, _LONGEST_SECONDS))
    raise AssertionError("tries is at least 1")


def unreachable(where: str, error: httpx.TransportError) -> UnreachableError:
    """The exception for a connection that did not come about, or broke."""
    if isinstance(error, httpx.TimeoutException):
        return UnreachableError(f"{where} has not answered in time; is it running, or busy?")
    return UnreachableError(f"{where} cannot be reached: {error or type(error).__name__}; is it running?")


def problem_of(response: httpx.Response, where: str) -> ServiceError:
    """The exception for an answer that is no success; its body has been read."""
    content = _document(response)
    status = response.status_code
    title, detail = (_text(content.get(name)) for name in ("title", "detail"))
    why = detail or title or response.reason_phrase or "no reason is given"
    kind: type[ServiceError] = AnswerError
    if status in _BUSY:
        kind = BusyError
    elif status in _DENIED:
        kind = AccessError
    elif 400 <= status < 500:
        kind = RequestError
    return kind(f"{where} answered {status}: {why}", status, title, detail, _retry_after(response))


def json_of(response: httpx.Response, where: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises :class:`~maskgate.client.errors.AnswerError` where it is none."""
    try:
        content = response.json()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise AnswerError(
            f"{where} has answered no JSON object; is it a maskgate service?", response.status_code
        )
    return content


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        content = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: object) -> str | None:
    return value[:_LONGEST_PROBLEM] if isinstance(value, str) and value else None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from ``Retry-After``, which holds seconds or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
