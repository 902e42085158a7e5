"""Posts events to an HTTP receiver, as signed CloudEvents.

What an answer means (also in docs/events.md):

- 2xx: delivered.
- 400, 413, 415, 422: the receiver will not have this event. It is tried three times in all, then set
  aside, so that it does not block the others.
- 410: the receiver is gone for good. Tried again each hour, until somebody changes the settings.
- 429, 503 with ``Retry-After``: tried again then, an hour later at most.
- anything else, redirects among them (none is followed), no answer, no connection, a certificate that
  does not verify: tried again with growing waits, for ever, as somebody may mend it.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import urllib3
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)

from maskgate import errors
from maskgate.events.settings import WebhookSettings
from maskgate.events.sinks.cloudevents import CONTENT_TYPE, cloud_event
from maskgate.events.sinks.deadline import DeadlineManager
from maskgate.events.sinks.protocol import NotNowError, RefusedError, reason
from maskgate.events.sinks.signing import signature_headers
from maskgate.events.sinks.tls import create_context
from maskgate.events.types import Event

_REFUSALS = (400, 413, 415, 422)
_GONE = 410
_LONGEST_WAIT = 3600.0
_MOST_TRIES = 3


class Webhook:
    """One HTTP receiver."""

    batch = 1

    def __init__(self, settings: WebhookSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._pool: DeadlineManager | None = None
        self._refusals: tuple[str, int] = ("", 0)
        _silence_urls()

    def open(self) -> None:
        """Reads the certificates; connections are made when they are needed."""
        settings = self._settings
        self.close()
        context = create_context(settings.tls) if settings.url.reveal().startswith("https:") else None
        self._pool = DeadlineManager(settings.timeout_seconds, context)

    def deliver(self, events: Sequence[Event]) -> None:
        """Posts the events, one request each."""
        for event in events:
            self._post(event)

    def tend(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Closes the connections."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _post(self, event: Event) -> None:
        settings = self._settings
        if self._pool is None:
            self.open()
        assert self._pool is not None
        body = cloud_event(event)
        headers = {name: value.reveal() for name, value in settings.headers.items()}
        headers |= {"content-type": CONTENT_TYPE, "user-agent": "maskgate"}
        if settings.secret is not None:
            headers |= signature_headers(settings.secret, event.id, int(time.time()), body)
        # connecting, sending and waiting have a timeout each, and all of it has one
        longest = 3 * settings.timeout_seconds
        with self._pool.within(longest) as late:
            try:
                answer = self._pool.request(
                    "POST", settings.url.reveal(), body=body, headers=headers, redirect=False,
                    preload_content=False,
                )  # fmt: skip
            except (HTTPError, OSError, ValueError) as error:
                why = self._why(error)
                raise errors.DeliveryError(self._sentence(late.is_set(), longest, why)) from None
            try:
                if late.is_set():  # headers that were cut off look like whole ones
                    raise errors.DeliveryError(self._sentence(True, longest, ""))
                self._judge(event, answer)
            finally:
                _finish(answer)

    def _sentence(self, late: bool, longest: float, why: str) -> str:
        return f"{self._called()}: " + (f"no whole answer in {longest:g} s" if late else why)

    def _judge(self, event: Event, answer: urllib3.BaseHTTPResponse) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        sentence = f"{self._called()} answered {status}"
        if status in _REFUSALS:
            id, tries = self._refusals
            self._refusals = (event.id, tries + 1 if id == event.id else 1)
            if self._refusals[1] >= _MOST_TRIES:
                raise RefusedError(f"{sentence} {_MOST_TRIES} times to event {event.id}, which is set aside")
        if status == _GONE:
            raise NotNowError(f"{sentence}: it is gone; remove the sink, or change its url", _LONGEST_WAIT)
        wait = _retry_after(answer.headers.get("retry-after")) if status in (429, 503) else None
        if wait is not None:
            raise NotNowError(f"{sentence} and asks to wait {wait:.0f} s", wait)
        if 300 <= status < 400:
            sentence += ", a redirect, which is not followed; put the final address into url"
        raise errors.DeliveryError(sentence)

    def _called(self) -> str:
        return f"the webhook {self.name} ({self._settings.url})"

    def _why(self, error: Exception) -> str:
        """Why there was no answer, without the path and the query of the URL."""
        if isinstance(error, SSLError):
            inner = error.args[0] if error.args else None
            what = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "handshake failed"
            return f"TLS failed: {what}"
        if isinstance(error, NameResolutionError):
            return "its name is unknown"
        if isinstance(error, NewConnectionError):
            return "cannot connect"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._settings.timeout_seconds:g} s"
        if isinstance(error, ProtocolError):
            return "the connection broke before the answer"
        return reason(error)


def _retry_after(text: str | None) -> float | None:
    """Seconds, at most an hour; None where the header is absent or neither a number nor a date."""
    if text is None:
        return None
    try:
        seconds = (
            float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _finish(answer: urllib3.BaseHTTPResponse) -> None:
    """Lets the connection be used again where the answer's body is short, else closes it."""
    try:
        if len(answer.read(4096)) < 4096:
            answer.release_conn()
            return
    except (HTTPError, OSError, ssl.SSLError, ValueError):
        pass  # the answer counts, its body does not
    answer.close()


def _silence_urls() -> None:
    """urllib3 logs the paths of requests, which may hold tokens, at its level DEBUG: not those."""
    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logger = logging.getLogger(name)
        if logger.level < logging.ERROR:
            logger.setLevel(logging.ERROR)
