"""The application: its parts made once, its paths, its beginning and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI

from maskgate.pipeline import MaskGate
from maskgate.server import history, operations, overview, problems, recognition, signing_in
from maskgate.server.access import Access
from maskgate.server.archive import Archive
from maskgate.server.engine import Engine
from maskgate.server.feed import Feed
from maskgate.server.guard import Guard
from maskgate.server.metrics import Metrics
from maskgate.server.openapi import document
from maskgate.server.rates import Rates
from maskgate.server.recognition import describe_models
from maskgate.server.service import Service
from maskgate.server.sessions import Sessions
from maskgate.server.settings import ServerSettings
from maskgate.server.stopping import Stopping
from maskgate.server.uploads import UploadLimits, Uploads
from maskgate.server.watch import Watch

_HELD_BODIES: Final = 4
"""Bodies of the largest size that may be in memory at the same time."""


def create_application(
    settings: ServerSettings, *, gate: MaskGate | None = None, watch: Watch | None = None
) -> FastAPI:
    """The service as an ASGI application.

    Its threads start with its lifespan; the state holds ``service``, ``access`` and ``models``.

    Args:
        settings: of the service.
        gate: looks at pictures; the default models where None. Nothing else should use it.
        watch: cameras to watch in this process; started and stopped with the application.

    Raises :class:`~maskgate.errors.ModelError` where a model cannot be loaded.
    """
    service = _create_service(settings, MaskGate() if gate is None else gate, watch)
    application = FastAPI(
        title="maskgate",
        lifespan=_lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,
    )
    application.state.service = service
    application.state.access = Access(settings.tokens, Sessions(3600 * settings.session_hours))
    application.state.models = describe_models(service.engine.gate)
    problems.add_handlers(application)
    for part in (recognition, history, overview, signing_in, operations):
        application.include_router(part.router)
    application.add_middleware(
        Guard, hosts=settings.answered_hosts, metrics=service.metrics, docs=application.docs_url
    )
    _describe(application)
    if settings.pages:
        from maskgate.server.pages import add_pages

        add_pages(application)
    return application


def _create_service(settings: ServerSettings, gate: MaskGate, watch: Watch | None) -> Service:
    metrics = Metrics()
    engine = Engine(
        gate, limits=settings.picture, most_waiting=settings.most_waiting, most_batched=settings.most_batched,
        metrics=metrics, lookers=settings.lookers,
    )  # fmt: skip
    metrics.read_queue(engine.lengths)
    if watch is not None:
        metrics.read_watch(watch)
    limits = UploadLimits(
        settings.picture, settings.most_pictures, settings.most_body_bytes, settings.body_seconds
    )
    archive = None if settings.store is None else Archive(settings.store, settings.verdict_seconds)
    return Service(
        settings=settings,
        engine=engine,
        uploads=Uploads(limits, most=settings.most_uploads, most_bytes=_HELD_BODIES * limits.most_bytes),
        rates=Rates(settings.requests_per_minute),
        metrics=metrics,
        archive=archive,
        feed=None if archive is None else Feed(archive),
        watch=watch,
        stopping=Stopping(),
    )


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    service: Service = application.state.service
    service.engine.start()
    if service.watch is not None:
        service.watch.start(service.engine.judge)
    try:
        yield
    finally:
        stop_streams(application)
        if service.watch is not None:
            await asyncio.to_thread(service.watch.stop)
        await asyncio.to_thread(service.engine.close, service.settings.drain_seconds)
        if service.archive is not None:
            service.archive.close()


def stop_streams(application: FastAPI) -> None:
    """Ends what would go on for ever, so that the service can be stopped; in the event loop's thread."""
    service: Service = application.state.service
    service.stopping.set()
    if service.feed is not None:
        service.feed.close()


def _describe(application: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            application.openapi_schema = document(application)
        return application.openapi_schema

    application.openapi = openapi  # type: ignore[method-assign]
