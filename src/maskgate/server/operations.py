"""Paths for those who run the service: health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from maskgate.server import schemas
from maskgate.server.access import Reader
from maskgate.server.metrics import CONTENT_TYPE
from maskgate.server.problems import Problem, documented
from maskgate.server.service import service_of

router = APIRouter(tags=["operations"])


@router.get("/health/live", response_model=schemas.Health, summary="Whether the process answers")
async def live() -> JSONResponse:
    """Asks for no token."""
    return JSONResponse({"status": "ok", "checks": {}})


@router.get(
    "/health/ready",
    response_model=schemas.Health,
    responses=documented(503),
    summary="Whether it can do its work",
)
async def ready(request: Request) -> JSONResponse:
    """The models are loaded and look at pictures; the store answers; cameras are watched, where they are to
    be. Asks for no token."""
    service = service_of(request)
    checks = {"engine": service.engine.running and not service.stopping.is_set()}
    if service.archive is not None:
        try:
            await service.archive.ask(lambda store: store.arrival())
            checks["store"] = True
        except Problem:
            checks["store"] = False
    if service.watch is not None:
        checks["watch"] = service.watch.running
    if not all(checks.values()):
        failing = ", ".join(name for name, good in checks.items() if not good)
        raise Problem("not-ready", f"not ready: {failing}", retry_after=5)
    return JSONResponse({"status": "ok", "checks": dict.fromkeys(checks, "ok")})


@router.get(
    "/metrics",
    response_class=Response,
    responses=documented(401, 403)
    | {200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Prometheus metrics",
)
async def metrics(request: Request, _: Reader) -> Response:
    """In the text format; Prometheus sends the token as ``authorization.credentials_file``."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)
