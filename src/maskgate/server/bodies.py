"""Small JSON bodies, measured while they come in."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from maskgate.server.problems import Problem

MOST_BYTES: Final = 16_384

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request, model: type[M], *, seconds: float) -> M:
    """The body as ``model`` has it.

    Args:
        request: its body has not been read.
        model: of the body.
        seconds: within which it must have come.

    Raises :class:`~maskgate.server.problems.Problem`, which repeats nothing of the body.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem("wrong-media-type", "send the body as application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise Problem("too-large", f"the body may have at most {MOST_BYTES:,} bytes")
    except TimeoutError:
        raise Problem("too-slow", f"the body did not come within {seconds:g} seconds") from None
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        errors = []
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            if one["type"] == "json_invalid":
                raise Problem("malformed", "the body is not JSON") from None
            errors.append((".".join(map(str, one["loc"])) or "body", one["msg"]))
        fields = ", ".join(dict.fromkeys(field for field, _ in errors))
        raise Problem("invalid", f"wrong or missing: {fields}", errors=errors) from None
