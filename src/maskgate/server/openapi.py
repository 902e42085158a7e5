"""The OpenAPI document. ``python -m maskgate.server.openapi FILE`` writes it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from maskgate.files import write_atomic
from maskgate.server.access import COOKIE
from maskgate.server.compatibility import breaking_changes
from maskgate.server.problems import MEDIA_TYPE

API_VERSION: Final = "1.0"
"""Of the paths below ``/v1``; the first number rises when clients break."""

_DESCRIPTION: Final = (
    "Finds faces in pictures and says whether each one wears a medical mask, wears it wrongly, or wears "
    "none. Errors are problem documents (RFC 9457). Fields may be added to answers: ignore those that you do "
    "not know."
)
_OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


def document(application: FastAPI) -> dict[str, Any]:
    """The document of ``application``: what FastAPI makes of it, with its errors and ways to sign in."""
    content: dict[str, Any] = get_openapi(
        title="maskgate",
        version=API_VERSION,
        description=_DESCRIPTION,
        routes=application.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = content.setdefault("components", {})
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
    for name in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(name, None)
    for path, methods in content["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                _complete(operation, needs_token=path not in _OPEN_PATHS)
    return content


def to_text(content: dict[str, Any]) -> str:
    """The document as it is kept in a file."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _complete(operation: dict[str, Any], *, needs_token: bool) -> None:
    if needs_token:
        # without tokens the service asks for none
        operation["security"] = [{"token": []}, {"session": []}, {}]
    for status, response in operation["responses"].items():
        if status.startswith(("4", "5")):
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}


def breaks_without_saying(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What breaks clients of the old document, unless the first number of the new one's version has risen."""
    if _major(new) > _major(old):
        return []
    return breaking_changes(old, new)


def _major(content: dict[str, Any]) -> int:
    return int(content["info"]["version"].split(".")[0])


def main() -> None:
    """Writes the document of the application, without its pages, which are not for programs. One that breaks
    clients of the document that is there is refused, unless the first number of API_VERSION has risen."""
    from maskgate.server.application import create_application
    from maskgate.server.settings import ServerSettings

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path, help="such as docs/openapi.json")
    path: Path = parser.parse_args().file
    new = document(create_application(ServerSettings(pages=False)))
    broken = breaks_without_saying(json.loads(path.read_text("utf-8")), new) if path.exists() else []
    if broken:
        parser.exit(1, "\n".join(["this breaks clients; raise API_VERSION, or take it back:", *broken, ""]))
    write_atomic(path, to_text(new).encode())


if __name__ == "__main__":
    main()
