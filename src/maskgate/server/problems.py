"""Errors as RFC 9457 problem documents: what was wrong and what to do, and nothing of the inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from maskgate.server.schemas import ProblemDocument

MEDIA_TYPE: Final = "application/problem+json"

_KINDS: Final[dict[str, tuple[int, str]]] = {
    "malformed": (400, "The request is malformed"),
    "unauthenticated": (401, "A token is needed"),
    "not-allowed": (403, "The token does not allow this"),
    "cross-site": (403, "The request comes from another site's page"),
    "not-found": (404, "There is nothing here"),
    "wrong-method": (405, "The path has no such method"),
    "too-slow": (408, "The request came too slowly"),
    "too-large": (413, "The request is too large"),
    "picture-too-large": (413, "The picture is too large"),
    "too-many-pictures": (413, "There are too many pictures in the request"),
    "wrong-media-type": (415, "The body is of a type that is not accepted"),
    "wrong-picture-format": (415, "The picture is of a format that is not accepted"),
    "wrong-host": (421, "The service does not answer to this name"),
    "invalid": (422, "A part of the request is missing or wrong"),
    "unreadable-picture": (422, "The picture cannot be read"),
    "too-many-requests": (429, "The client asks too often"),
    "internal": (500, "The service has failed"),
    "busy": (503, "The service is busy"),
    "not-ready": (503, "The service cannot do its work"),
    "stopping": (503, "The service is being stopped"),
    "store-away": (503, "The events cannot be read"),
    "timeout": (503, "The answer took too long"),
}
"""Kind of problem → status and title."""


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An error to be answered.

    Args:
        kind: one of those above; it becomes the ``type``.
        detail: a sentence for the client.
        errors: fields and what is wrong with each.
        retry_after: seconds after which asking again makes sense.
        headers: of the answer.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors = kind, detail, tuple(errors)
        self.status, self.title = _KINDS[kind]
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def document(self) -> dict[str, Any]:
        """The problem as plain values."""
        content: dict[str, Any] = {
            "type": f"urn:maskgate:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = [{"field": field, "detail": detail} for field, detail in self.errors]
        return content

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.document(), self.status, self.headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a path may answer with, for the OpenAPI document."""
    return {
        status: {"model": ProblemDocument, "description": HTTPStatus(status).phrase} for status in statuses
    }


def internal_problem() -> Problem:
    """For what nobody has foreseen."""
    return Problem("internal", "something went wrong here; it has been logged")


def add_handlers(application: FastAPI) -> None:
    """Has every error of ``application`` answered with a problem document."""

    async def problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response()

    async def of_framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return _from_framework(request, error).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _from_validation(error).response()

    application.add_exception_handler(Problem, problem)
    application.add_exception_handler(HTTPException, of_framework)
    application.add_exception_handler(RequestValidationError, invalid)


def _from_framework(request: Request, error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem("not-found", "no path of the service is called so; see /openapi.json", headers=headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow") or headers.get("allow", "")
        return Problem("wrong-method", f"this path takes {allowed or 'another method'}", headers=headers)
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Problem("wrong-media-type", "send another type of body", headers=headers)
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return internal_problem()
    return Problem("malformed", "the request cannot be understood", headers=headers)


def _from_validation(error: RequestValidationError) -> Problem:
    # what was given is not repeated: it may be a token
    errors = []
    for one in error.errors():
        where, *way = (str(part) for part in one["loc"])
        if one["type"] == "json_invalid":
            return Problem("malformed", "the body is not JSON")
        errors.append((".".join(way) or where, str(one["msg"])))
    fields = ", ".join(dict.fromkeys(field for field, _ in errors))
    return Problem("invalid", f"wrong or missing: {fields}", errors=errors)
