"""Paths that look at pictures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from maskgate.errors import ImageError, ModelError
from maskgate.models.cards import Task
from maskgate.models.registry import find_card, find_plugin
from maskgate.pipeline import MaskGate
from maskgate.serialisation import error_to_json, verdicts_to_json
from maskgate.server import schemas
from maskgate.server.access import Identity, Recogniser
from maskgate.server.engine import Encoded, EngineClosedError, EngineFullError
from maskgate.server.problems import Problem, documented, internal_problem
from maskgate.server.service import Service, service_of
from maskgate.server.uploads import FIELD, Upload, examine, picture_problem
from maskgate.types import Verdicts

router = APIRouter(prefix="/v1", tags=["recognition"])

_RETRY_SECONDS: Final = 1
_UPLOAD_ERRORS: Final = documented(400, 401, 403, 408, 413, 415, 422, 429, 503)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a multipart body, which is read piece by piece and not by FastAPI."""
    content = {"type": "object", "required": [FIELD], "properties": {FIELD: schema}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": content}}}}


_FILE: Final = {"type": "string", "format": "binary", "description": "a JPEG, PNG, WebP, BMP or TIFF file"}
_FILES: Final = {"type": "array", "items": _FILE, "minItems": 1}


@router.post(
    "/detect",
    response_model=schemas.Picture,
    responses=_UPLOAD_ERRORS,
    openapi_extra=_body(_FILE),
    summary="Find the faces in a picture and decide for each",
)
async def detect(request: Request, identity: Recogniser) -> JSONResponse:
    """Answers with what ``maskgate detect`` prints for the same file, without its path."""
    service = service_of(request)
    with service.uploads.room() as upload:
        (found,) = await _recognise(request, identity, service, upload, single=True)
    if isinstance(found, ImageError):
        raise picture_problem(found)
    return JSONResponse(verdicts_to_json(found))


@router.post(
    "/detect/batch",
    response_model=schemas.Pictures,
    responses=_UPLOAD_ERRORS,
    openapi_extra=_body(_FILES),
    summary="The same for several pictures",
)
async def detect_batch(request: Request, identity: Recogniser) -> JSONResponse:
    """Repeat the field for each picture. One that cannot be read has an ``error``; the others go on."""
    service = service_of(request)
    with service.uploads.room() as upload:
        found = await _recognise(request, identity, service, upload, single=False)
    return JSONResponse({"pictures": [_object(one) for one in found]})


@router.get(
    "/models",
    response_model=schemas.Models,
    responses=documented(401, 403),
    summary="The networks in use",
)
async def models(request: Request, _: Recogniser) -> JSONResponse:
    """Names, versions, hashes and licences."""
    return JSONResponse(request.app.state.models)


def describe_models(gate: MaskGate) -> dict[str, Any]:
    """What ``/v1/models`` answers."""
    return {
        "detector": _describe(gate.detector.name, "detection"),
        "classifier": None if gate.classifier is None else _describe(gate.classifier.name, "classification"),
        "threshold": round(float(gate.threshold), 4),
    }


def _describe(name: str, task: Task) -> dict[str, Any]:
    known: dict[str, Any] = dict.fromkeys(("version", "architecture", "sha256", "licence", "description"))
    try:
        if find_plugin(name, task) is None:
            card = find_card(name, task)
            known = {key: getattr(card, key) for key in known}
    except ModelError:  # a part given as an object, which has no card
        pass
    return {"name": name} | known


async def _recognise(
    request: Request, identity: Identity, service: Service, upload: Upload, *, single: bool
) -> list[Verdicts | ImageError]:
    """Receives pictures and has them looked at, and counts what becomes of them."""
    service.rates.take(identity.name or (request.client.host if request.client else ""))
    try:
        began = time.perf_counter()
        pictures = await upload.read(request, single=single)
        service.metrics.stage("receive", time.perf_counter() - began)
        found = await _look(request, service, pictures, single=single)
    except Problem as problem:
        service.metrics.refused(problem.kind)
        raise
    for one in found:
        if isinstance(one, ImageError):
            service.metrics.refused(picture_problem(one).kind)
        else:
            service.metrics.recognised(one)
    return found


async def _look(
    request: Request, service: Service, pictures: Sequence[bytes | ImageError], *, single: bool
) -> list[Verdicts | ImageError]:
    """Verdicts on each picture, or why there are none."""
    found: list[Verdicts | ImageError | None] = [None] * len(pictures)
    usable: dict[int, Encoded] = {}
    for i, picture in enumerate(pictures):
        if isinstance(picture, ImageError):
            found[i] = picture
            continue
        try:
            usable[i] = examine(picture, service.settings.picture, FIELD if single else f"{FIELD} {i + 1}")
        except ImageError as error:
            found[i] = error
    if usable:
        try:
            futures = service.engine.submit(list(usable.values()))
        except EngineFullError:
            raise Problem("busy", "too many pictures wait already", retry_after=_RETRY_SECONDS) from None
        except EngineClosedError:
            raise _stopping() from None
        outcomes = await _outcomes(request, futures, service.settings.verdict_seconds)
        for i, outcome in zip(usable, outcomes, strict=True):
            found[i] = outcome
    return [one for one in found if one is not None]


async def _outcomes(
    request: Request, futures: Sequence[Future[Verdicts]], seconds: float
) -> list[Verdicts | ImageError]:
    """What has become of pictures; nobody looks at them any more where the client goes away."""
    waiting = asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((waiting, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            if gone.done():
                raise ClientDisconnect
            detail = f"no verdict came within {seconds:g} seconds"
            raise Problem("timeout", detail, retry_after=_RETRY_SECONDS)
    finally:
        gone.cancel()
        waiting.cancel()  # does nothing to what is done
    return [_outcome(one) for one in waiting.result()]


def _outcome(one: Verdicts | BaseException) -> Verdicts | ImageError:
    if isinstance(one, Verdicts | ImageError):
        return one
    if isinstance(one, asyncio.CancelledError):
        raise _stopping()
    raise internal_problem()  # the engine has logged it


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _stopping() -> Problem:
    return Problem("stopping", "the service is being stopped", retry_after=5)


def _object(found: Verdicts | ImageError) -> dict[str, Any]:
    return error_to_json(str(found)) if isinstance(found, ImageError) else verdicts_to_json(found)
