"""Paths that show how things stand: statistics, cameras, receivers of events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from maskgate.errors import StoreError
from maskgate.events.queries import CameraState, Count, Filter
from maskgate.events.times import time_text
from maskgate.events.types import EventType
from maskgate.server import schemas
from maskgate.server.access import Administrator, Reader
from maskgate.server.history import Cameras, Since, Until
from maskgate.server.problems import Problem, documented
from maskgate.server.service import service_of
from maskgate.server.watch import CameraReport
from maskgate.types import LABELS, Label

router = APIRouter(prefix="/v1", tags=["overview"])

_USUAL: Final = {"hour": timedelta(days=1), "day": timedelta(days=30)}
_LONGEST: Final = {"hour": timedelta(days=93), "day": timedelta(days=3700)}
_SECONDS: Final = {"hour": 3600, "day": 86_400}
_JUDGED: Final = frozenset({EventType.TRACK_CONFIRMED, EventType.TRACK_CHANGED})


@router.get(
    "/statistics",
    response_model=schemas.Statistics,
    responses=documented(401, 403, 422, 503),
    summary="Tracks, violations and compliance by hour or day and camera",
)
async def statistics(
    request: Request,
    _: Reader,
    since: Since = None,
    until: Until = None,
    camera: Cameras = [],  # noqa: B006 - FastAPI copies it
    interval: Annotated[Literal["hour", "day"], Query(description="in UTC")] = "hour",
) -> JSONResponse:
    """Until now where ``until`` is left out, and of the last day (hours) or 30 days (days) before that where
    ``since`` is. Intervals begin at whole hours or days in UTC, the first one maybe before ``since``; what
    happened before ``since`` is not counted."""
    end = datetime.now(UTC) if until is None else until
    begin = end - _USUAL[interval] if since is None else since
    if not timedelta(0) < end - begin <= _LONGEST[interval]:
        detail = f"'since' must lie before 'until', by at most {_LONGEST[interval].days} days"
        raise Problem("invalid", detail, errors=[("since", detail)])
    archive = service_of(request).archive
    counts: list[Count] = []
    if archive is not None:
        wanted = Filter(begin, end, frozenset(camera), _JUDGED)
        counts = await archive.ask(lambda store: store.statistics(wanted, _SECONDS[interval]))
    return JSONResponse(
        {
            "interval": interval,
            "since": time_text(begin),
            "until": time_text(end),
            "intervals": summarise(counts),
        }
    )


@router.get(
    "/cameras",
    response_model=schemas.Cameras,
    responses=documented(401, 403, 503),
    summary="All cameras with their state",
)
async def cameras(request: Request, _: Reader) -> JSONResponse:
    """Those that are watched here, and those that events in the store are of."""
    service = service_of(request)
    watched = [] if service.watch is None else service.watch.cameras()
    stored = [] if service.archive is None else await service.archive.ask(lambda store: store.cameras())
    return JSONResponse({"cameras": join_cameras(watched, stored)})


@router.get(
    "/receivers",
    response_model=schemas.Receivers,
    responses=documented(401, 403, 503),
    summary="What the store and the sinks have not got yet",
)
async def receivers(request: Request, _: Administrator) -> JSONResponse:
    """Of the watching in this process; empty where there is none."""
    watch = service_of(request).watch
    try:
        reports = [] if watch is None else await asyncio.to_thread(watch.receivers)
    except StoreError:
        raise Problem("store-away", "the outbox cannot be read just now", retry_after=5) from None
    return JSONResponse(
        {
            "receivers": [
                {"name": r.name, "waiting": r.waiting, "refused": r.refused, "trouble": r.trouble}
                for r in reports
            ]
        }
    )


@dataclass
class _Sums:
    tracks: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))
    compliant: int = 0
    violations: int = 0


def summarise(counts: Iterable[Count]) -> list[dict[str, Any]]:
    """Counts of confirmed and changed tracks as the intervals that ``/v1/statistics`` answers with.

    The compliance of a camera in an interval is the share of the tracks confirmed then that break no rule.
    """
    sums: dict[tuple[datetime, str], _Sums] = {}
    for count in counts:
        one = sums.setdefault((count.start, count.camera), _Sums())
        if count.type is EventType.TRACK_CONFIRMED and count.label is not None:
            one.tracks[count.label] += count.count
            one.compliant += 0 if count.violation else count.count
        one.violations += count.count if count.violation else 0
    intervals = []
    for (start, camera), one in sorted(sums.items()):
        confirmed = sum(one.tracks.values())
        intervals.append(
            {
                "start": time_text(start),
                "camera": camera,
                "tracks": {str(label): number for label, number in one.tracks.items()},
                "violations": one.violations,
                "compliance": round(one.compliant / confirmed, 4) if confirmed else None,
            }
        )
    return intervals


def join_cameras(watched: Sequence[CameraReport], stored: Sequence[CameraState]) -> list[dict[str, Any]]:
    """The cameras that ``/v1/cameras`` answers with, by name; what is known here is newer than the store."""
    latest = {state.camera: state for state in stored}
    found: dict[str, dict[str, Any]] = {}
    for state in stored:
        found[state.camera] = {
            "name": state.camera,
            "address": None,
            "state": _STATES[state.online],
            "since": state.since and time_text(state.since),
            "last_event": time_text(state.last),
            "frames": None,
        }
    for report in watched:
        known = latest.get(report.name)
        found[report.name] = {
            "name": report.name,
            "address": report.address,
            "state": _STATES[report.online],
            "since": report.since and time_text(report.since),
            "last_event": known and time_text(known.last),
            "frames": {
                name: getattr(report, name) for name in ("received", "processed", "skipped", "passed")
            },
        }
    return [found[name] for name in sorted(found)]


_STATES: Final = {True: "online", False: "offline", None: "never"}
