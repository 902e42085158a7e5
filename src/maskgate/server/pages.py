"""The pages: one to try it, one to leave open on a desk, and one to sign in.

Everything on them comes from this server, no script or style stands in the page itself, and the browser is
told to allow nothing else.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from maskgate.images.limits import EXTENSIONS
from maskgate.server.access import Access, Identity
from maskgate.server.problems import Problem
from maskgate.server.service import service_of

_HERE: Final = Path(__file__).resolve().parent
_STATIC: Final = _HERE / "static"

_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # no script may make markup or scripts out of text
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OF_PAGES: Final = _ALWAYS | {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",  # frame-ancestors, for browsers that do not know it
    # the same address shows a page or the way to sign in
    "Cache-Control": "no-store",
}

# what the system says of file names differs from machine to machine, and browsers go by it
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


class _Static(StaticFiles):
    """Files whose address changes with their content, so that browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_ALWAYS | {"Cache-Control": "public, max-age=31536000, immutable"})
        media_type = _MEDIA_TYPES.get(PurePosixPath(path).suffix)
        if media_type is not None and response.status_code == 200:
            response.headers["Content-Type"] = media_type
        return response


class _Pages:
    """Renders the pages of one application."""

    def __init__(self, static: str) -> None:
        self._static = static
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def try_it(self, request: Request) -> Response:
        """The page to try it."""
        limits = service_of(request).settings.picture
        endings = sorted(ending for ending, format in EXTENSIONS.items() if format in limits.formats)
        return self._for_known(request, "try", largest=_size_text(limits.max_bytes), accept=",".join(endings))

    async def dashboard(self, request: Request) -> Response:
        """The page to leave open."""
        return self._for_known(request, "dashboard", heartbeat=service_of(request).settings.heartbeat_seconds)

    async def sign_in(self, request: Request) -> Response:
        """The way in, for those who are not known yet."""
        wanted = _inner_path(request.query_params.get("next", "/"))
        if _identity(request) is not None:
            return RedirectResponse(wanted, 303, _OF_PAGES)
        return self._render("sign_in", signing_in=True, signed_in=False, next=wanted)

    def _for_known(self, request: Request, page: str, **values: Any) -> Response:
        identity = _identity(request)
        if identity is None:
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(here, safe='/')}", 303, _OF_PAGES)
        signed_in = identity.authentication == "session"
        return self._render(page, signing_in=False, signed_in=signed_in, **values)

    def _render(self, page: str, **values: Any) -> HTMLResponse:
        template = self._templates.get_template(f"{page}.html")
        text = template.render(page=page, static=self._static, version=version("maskgate"), **values)
        return HTMLResponse(text, headers=_OF_PAGES)


def add_pages(application: FastAPI) -> None:
    """Adds ``/``, ``/dashboard``, ``/sign-in`` and what they load to ``application``."""
    address = f"/static/{_version_of_files()}"
    pages = _Pages(address)
    application.router.routes += [
        Route("/", pages.try_it),
        Route("/dashboard", pages.dashboard),
        Route("/sign-in", pages.sign_in),
        Mount(address, _Static(directory=_STATIC)),
    ]


def _identity(request: Request) -> Identity | None:
    """Who asks; None where that is not known."""
    access: Access = request.app.state.access
    try:
        return access.identify(request)
    except Problem:
        return None


def _inner_path(text: str) -> str:
    """``text`` where it is a path of this server, else ``/``: nobody is led elsewhere after signing in."""
    inner = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if inner and text.isascii() and text.isprintable() else "/"


def _version_of_files() -> str:
    digest = hashlib.sha256()
    for path in sorted(_STATIC.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_STATIC).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def _size_text(count: int) -> str:
    """``16 MB``, of 2**20 bytes each."""
    return f"{count / 2**20:.3g} MB" if count >= 2**20 else f"{max(1, count // 2**10)} KB"
