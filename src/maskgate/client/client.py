"""A client of the HTTP service: verdicts and events as in one's own process, from another machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Self

import httpx
import numpy as np

from maskgate.client.asking import ask, json_of, problem_of, unreachable
from maskgate.client.errors import AnswerError, BusyError
from maskgate.client.results import (
    Camera,
    EventPage,
    Health,
    Recognition,
    Statistics,
    cameras_from,
    event_from,
    event_page_from,
    recognition_from,
    recognitions_from,
    statistics_from,
)
from maskgate.client.streaming import messages
from maskgate.errors import ImageReadError, InputError
from maskgate.events.backoff import Backoff
from maskgate.events.credentials import shown
from maskgate.events.times import time_text
from maskgate.events.types import Event, EventType
from maskgate.images import encode_image
from maskgate.types import Image, Label

Picture = str | Path | bytes | Image
"""A file's path, a file's content, or a ``(H, W, 3)`` uint8 RGB array."""

_LONGEST_WAIT: Final = 30.0
_SILENCE_SECONDS: Final = 60.0
_EVENTS_A_PAGE: Final = 500


class Client:
    """Asks one service. Safe to use from several threads.

    Args:
        address: such as ``"http://127.0.0.1:8000"``.
        token: access token; None where the service asks for none. It shows nowhere.
        timeout: seconds for connecting, and for each part of an answer.
        tries: of each request, in all; requests are tried again where the service is busy (429, 503) or
            cannot be reached.
        transport: httpx's, for tests and for special networks.

    All methods raise :class:`~maskgate.client.ServiceError` where the service does not do what was asked.
    Raises :class:`~maskgate.errors.InputError` where the address is none.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        tries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if tries < 1:
            raise InputError(f"tries is {tries}; it must be at least 1")
        headers = {"accept": "application/json, application/problem+json"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token.strip():
                raise InputError("the token has characters that no token has; was it copied whole?")
            headers["authorization"] = f"Bearer {token.strip()}"
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise InputError(f"the service's address is none ({error}); wanted: http://HOST:PORT") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise InputError("the service's address is none; wanted: http://HOST:PORT or https://HOST")
        self._where = shown(address)
        self._tries = tries
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)

    def __repr__(self) -> str:
        return f"Client({self._where!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the connections."""
        self._http.close()

    def detect(self, picture: Picture) -> Recognition:
        """The faces in one picture, and what is on them.

        Raises :class:`~maskgate.client.RequestError` where the service cannot read it, and
        :class:`~maskgate.errors.ImageReadError` where its file cannot be read here.
        """
        return recognition_from(self._post("/v1/detect", [_part(picture)]))

    def detect_many(self, pictures: Iterable[Picture], *, at_once: int = 8) -> Iterator[Recognition]:
        """The same for many pictures, in their order; ``at_once`` of them go in one request.

        A picture that the service cannot read gives a :class:`~maskgate.client.Recognition` with ``error``.
        The service says how many may go at once.
        """
        if at_once < 1:
            raise InputError(f"at_once is {at_once}; it must be at least 1")
        parts: list[tuple[str, bytes]] = []
        for picture in pictures:
            parts.append(_part(picture))
            if len(parts) == at_once:
                yield from self._batch(parts)
                parts = []
        if parts:
            yield from self._batch(parts)

    def _batch(self, parts: Sequence[tuple[str, bytes]]) -> list[Recognition]:
        found = recognitions_from(self._post("/v1/detect/batch", parts))
        if len(found) != len(parts):
            raise AnswerError(f"{self._where} has answered {len(found)} pictures of {len(parts)}")
        return found

    def event_page(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        camera: str | Sequence[str] | None = None,
        type: EventType | Sequence[EventType] | None = None,
        label: Label | Sequence[Label] | None = None,
        zone: str | Sequence[str] | None = None,
        track: str | None = None,
        violation: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        oldest_first: bool = False,
    ) -> EventPage:
        """Some events, newest first.

        Args:
            after: :attr:`EventPage.next` of the page before, asked for with the same filters.
            limit: most events of the page; None: as many as the service likes.
            camera, type, label, zone: the event's is this one, or one of these.
            track: name of the followed face.
            violation: whether the verdict breaks a rule.
            since, until: from the first time on, and before the second; aware times.
            oldest_first: the other way round; pages after the first keep to it.
        """
        query = {
            "after": after,
            "limit": limit,
            "camera": camera,
            "type": type,
            "label": label,
            "zone": zone,
            "track": track,
            "violation": violation,
            "since": since,
            "until": until,
            "order": "oldest" if oldest_first else None,
        }
        return event_page_from(self._get("/v1/events", query))

    def events(
        self,
        *,
        camera: str | Sequence[str] | None = None,
        type: EventType | Sequence[EventType] | None = None,
        label: Label | Sequence[Label] | None = None,
        zone: str | Sequence[str] | None = None,
        track: str | None = None,
        violation: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Event]:
        """All events that fulfil what is given, newest first unless said; pages are fetched as needed.

        Arguments are those of :meth:`event_page`.
        """
        after: str | None = None
        while True:
            page = self.event_page(
                after=after,
                limit=_EVENTS_A_PAGE,
                camera=camera,
                type=type,
                label=label,
                zone=zone,
                track=track,
                violation=violation,
                since=since,
                until=until,
                oldest_first=oldest_first,
            )
            yield from page.events
            if page.next is None:
                return
            after = page.next

    def statistics(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: str | Sequence[str] | None = None,
        interval: Literal["hour", "day"] = "hour",
    ) -> Statistics:
        """How many faces there were with and without a mask, by camera and hour or day.

        Args:
            since, until: aware times; None: the service's choice.
            camera: this one, or these; None: all.
            interval: the length of each interval.
        """
        query = {"since": since, "until": until, "camera": camera, "interval": interval}
        return statistics_from(self._get("/v1/statistics", query))

    def cameras(self) -> list[Camera]:
        """All cameras that the service watches or has events of, by name."""
        return cameras_from(self._get("/v1/cameras", {}))

    def health(self) -> Health:
        """Whether the service can do its work; asked once, without a second try.

        Raises :class:`~maskgate.client.UnreachableError` where it is not there at all.
        """
        try:
            content = json_of(self._once(lambda: self._http.get("/health/ready")), self._where)
        except BusyError as error:
            return Health(False, {}, error.detail or error.title)
        return Health(content.get("status") == "ok", dict(content.get("checks") or {}))

    def live(self, *, reconnect: bool = True) -> Iterator[Event]:
        """Events as they happen, for as long as one iterates.

        After a lost connection the service is asked for those that were missed. An event can come twice
        then: drop repeats by ``id``.

        Args:
            reconnect: false: the end of a connection, and of the service, ends the iteration instead.

        Raises what all methods do, also with ``reconnect`` where asking again would not help.
        """
        backoff = Backoff(0.5, _LONGEST_WAIT)
        last = ""
        while True:
            wait: float | None = None
            try:
                for id, event in self._stream(last):
                    backoff.reset()
                    last = id or last
                    yield event
            except httpx.TransportError as error:
                if not reconnect:
                    raise unreachable(self._where, error) from error
            except BusyError as error:
                if not reconnect:
                    raise
                wait = error.retry_after
            if not reconnect:
                return
            time.sleep(backoff.next() if wait is None else min(wait, _LONGEST_WAIT))

    def _stream(self, last: str) -> Iterator[tuple[str, Event]]:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
        # the service sends signs of life; a connection that is silent for longer is dead
        timeout = httpx.Timeout(self._http.timeout.connect, read=_SILENCE_SECONDS)
        with self._http.stream("GET", "/v1/events/stream", headers=headers, timeout=timeout) as response:
            if not response.is_success:
                response.read()
                raise problem_of(response, self._where)
            try:
                for message in messages(response.iter_lines()):
                    content = _json_object(message.data)
                    if content is not None and "type" in content and "camera" in content:
                        yield message.id, event_from(content)
            except ValueError as error:
                raise AnswerError(f"{self._where} has sent no stream of events: {error}") from error

    def _get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        parameters = httpx.QueryParams(
            [(name, text) for name, value in query.items() for text in _texts(value)]
        )
        return json_of(self._ask(lambda: self._http.get(path, params=parameters)), self._where)

    def _post(self, path: str, parts: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
        files = [("image", (name, data, "application/octet-stream")) for name, data in parts]
        return json_of(self._ask(lambda: self._http.post(path, files=files)), self._where)

    def _ask(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        return ask(send, self._where, self._tries)

    def _once(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        return ask(send, self._where, 1)


def _json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in ``text``; None where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _texts(value: Any) -> list[str]:
    """A query parameter's values as texts."""
    if value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InputError("a time has no zone; give an aware one, such as datetime.now(UTC)")
        return [time_text(value)]
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [str(value)]
    return [text for one in value for text in _texts(one)]


def _part(picture: Picture) -> tuple[str, bytes]:
    """A picture's name and bytes, as they are sent. What it is called here is nobody's business there."""
    if isinstance(picture, bytes):
        return "picture", picture
    if isinstance(picture, np.ndarray):
        return "picture.png", encode_image(picture, "PNG")
    path = Path(picture)
    try:
        return f"picture{path.suffix}", path.read_bytes()
    except OSError as error:
        raise ImageReadError(f"{path} cannot be read: {error.strerror}") from error
