"""Paths for browsers to sign in and out: an EventSource cannot send a token, but it sends cookies."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from maskgate.server import schemas
from maskgate.server.access import COOKIE, Access, Identity, check_same_origin
from maskgate.server.bodies import read_json
from maskgate.server.problems import Problem, documented
from maskgate.server.service import service_of

router = APIRouter(prefix="/v1", tags=["session"])

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": schemas.SessionRequest.model_json_schema()}},
    }
}


@router.get("/session", response_model=schemas.Session, responses=documented(401), summary="Who is asking")
async def session(request: Request) -> JSONResponse:
    """The name and the roles of the token or session that the request has."""
    return JSONResponse(_describe(_access(request).identify(request)))


@router.post(
    "/session",
    response_model=schemas.Session,
    responses=documented(400, 401, 403, 408, 413, 415, 422),
    openapi_extra=_BODY,
    summary="Sign in with a token",
)
async def sign_in(request: Request) -> Response:
    """Answers with a cookie that stands for the token, until the browser signs out, some hours are over, or
    the service is started again."""
    check_same_origin(request, certainly=False)
    access = _access(request)
    seconds = service_of(request).settings.body_seconds
    given = await read_json(request, schemas.SessionRequest, seconds=seconds)
    if not access.tokens:
        return JSONResponse(_describe(access.identify(request)))
    token = access.tokens.find(given.token.strip())
    if token is None:
        raise Problem("unauthenticated", "the token is unknown", headers={"WWW-Authenticate": "Bearer"})
    answer = JSONResponse(_describe(Identity(token.name, token.roles, "session")))
    answer.set_cookie(
        COOKIE,
        access.sessions.start(token),
        max_age=round(access.sessions.seconds),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.delete("/session", status_code=204, responses=documented(403), summary="Sign out")
async def sign_out(request: Request) -> Response:
    """Ends the session of the cookie, if there is one."""
    check_same_origin(request, certainly=False)
    cookie = request.cookies.get(COOKIE)
    if cookie is not None:
        _access(request).sessions.end(cookie)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def _describe(identity: Identity) -> dict[str, object]:
    return {
        "name": identity.name,
        "roles": sorted(identity.roles),
        "authentication": identity.authentication,
    }
