"""Paths that show events, one by one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, AwareDatetime

from maskgate.errors import InputError
from maskgate.events.queries import Filter
from maskgate.events.snapshot_files import snapshot_path
from maskgate.events.store import MOST_A_PAGE
from maskgate.events.types import Event, EventType
from maskgate.server import schemas
from maskgate.server.access import Access, Identity, Reader
from maskgate.server.problems import Problem, documented
from maskgate.server.service import Service, service_of
from maskgate.types import Label

router = APIRouter(prefix="/v1", tags=["events"])

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_LARGEST_SNAPSHOT: Final = 64 * 2**20
_RECONNECT: Final = "retry: 3000\n\n"
_STILL_HERE: Final = ": still here\n\n"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only characters that can be printed")
    return text


def _usable(time: datetime) -> datetime:
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("a time from 1970 to 2199")
    return time


Name = Annotated[str, Query(min_length=1, max_length=200), AfterValidator(_printable)]
Names = Annotated[list[Name], Query(max_length=100)]
Moment = Annotated[AwareDatetime, AfterValidator(_usable)]
Since = Annotated[Moment | None, Query(description="from this time on, such as 2026-01-01T00:00:00Z")]
Until = Annotated[Moment | None, Query(description="before this time")]
Cameras = Annotated[Names, Query(description="of one of these cameras; may be repeated")]
Types = Annotated[list[EventType], Query(max_length=10, description="of one of these types; may be repeated")]
Labels = Annotated[list[Label], Query(max_length=10, description="with one of these labels; may be repeated")]
Zones = Annotated[Names, Query(description="in one of these zones; may be repeated")]
Violation = Annotated[bool | None, Query(description="whether the verdict breaks a rule")]
EventId = Annotated[str, InPath(pattern="^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


@router.get(
    "/events",
    response_model=schemas.Events,
    responses=documented(401, 403, 422, 503),
    summary="List events, newest first",
)
async def events(
    request: Request,
    _: Reader,
    after: Annotated[str | None, Query(max_length=400, description="'next' of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = 100,
    camera: Cameras = [],  # noqa: B006 - FastAPI copies it
    type: Types = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    zone: Zones = [],  # noqa: B006
    track: Name | None = None,
    violation: Violation = None,
    since: Since = None,
    until: Until = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="which come first")] = "newest",
) -> JSONResponse:
    """All that is given must hold. Ask for the page after with the same filters and ``after``."""
    service = service_of(request)
    if service.archive is None:
        return JSONResponse({"events": [], "next": None})
    wanted = Filter(
        since, until, frozenset(camera), frozenset(type), frozenset(label), frozenset(zone), track, violation
    )
    try:
        page = await service.archive.ask(
            lambda store: store.page(wanted, cursor=after, limit=limit, newest_first=order == "newest")
        )
    except InputError as error:  # the cursor is wrong
        raise Problem("invalid", str(error), errors=[("after", str(error))]) from None
    return JSONResponse({"events": [event.to_json() for event in page.events], "next": page.next})


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses=documented(401, 403, 422, 503)
    | {200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    summary="Receive events as they happen (server-sent events)",
)
async def stream(
    request: Request,
    identity: Reader,
    camera: Cameras = [],  # noqa: B006
    type: Types = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    zone: Zones = [],  # noqa: B006
    violation: Violation = None,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> StreamingResponse:
    """Each message has the event's ``id``, and the event as JSON in ``data``. After a break, send the last
    id as ``Last-Event-ID``, as browsers do, to get what was missed. Drop repeats by the id."""
    service = service_of(request)
    if service.metrics.open_streams >= service.settings.most_streams:
        raise Problem("busy", "too many streams of events are open", retry_after=10)
    # found out first: errors can still be answered, and nothing that happens from now on is missed
    place = 0 if service.feed is None else await service.feed.here()
    wanted = Filter(
        cameras=frozenset(camera), types=frozenset(type), labels=frozenset(label), zones=frozenset(zone),
        violation=violation,
    )  # fmt: skip
    changes = _changes(service, place, wanted, last_event_id)
    messages = _messages(request.app.state.access, identity, service, changes)
    # proxies are not to collect it
    return StreamingResponse(messages, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get(
    "/snapshots/{id}",
    response_class=Response,
    responses=documented(401, 403, 404, 422) | {200: {"description": "JPEG", "content": {"image/jpeg": {}}}},
    summary="The picture of a violation, where such are kept",
)
async def snapshot(request: Request, identity: Reader, id: EventId) -> Response:
    """Needs a token also where nothing else does."""
    if identity.authentication == "none":
        raise Problem("not-allowed", "snapshots are shown to tokens only; start the service with --tokens")
    folder = service_of(request).settings.snapshots
    picture = None
    if folder is not None:
        oldest = time.time() - 3600 * folder.keep_hours
        picture = await asyncio.to_thread(_read, snapshot_path(folder.folder, id), oldest)
    if picture is None:
        raise Problem("not-found", "there is no snapshot of this event, or not any more")
    return Response(picture, media_type="image/jpeg")


async def _messages(
    access: Access, identity: Identity, service: Service, changes: AsyncGenerator[Event | None]
) -> AsyncGenerator[str]:
    with service.metrics.stream():
        yield _RECONNECT
        async with aclosing(changes):
            async for event in changes:
                if not access.still_valid(identity):
                    return
                yield _STILL_HERE if event is None else f"id: {event.id}\ndata: {event.to_text()}\n\n"


async def _changes(
    service: Service, place: int, wanted: Filter, after: str | None
) -> AsyncGenerator[Event | None]:
    heartbeat = service.settings.heartbeat_seconds
    if service.feed is not None:
        async with aclosing(service.feed.follow(place, wanted, after=after, wait=heartbeat)) as followed:
            async for event in followed:
                yield event
        return
    while not await service.stopping.wait_for(heartbeat):
        yield None


def _read(path: Path, oldest: float) -> bytes | None:
    """The file, unless it is older, a link, or gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mtime < oldest:
            return None
        return file.read(_LARGEST_SNAPSHOT)
