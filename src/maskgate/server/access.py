"""Who asks, and may they: tokens in the Authorization header, sessions in a cookie, no pages but ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from maskgate.server.problems import Problem
from maskgate.server.sessions import Sessions
from maskgate.server.tokens import ALL_ROLES, Role, TokenBook

COOKIE: Final = "maskgate_session"

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Attributes:
        name: of the token; empty where the service asks for none.
        roles: what they may do; ``admin`` allows all.
        authentication: how that is known.
        cookie: the session's value; None where there is none.
    """

    name: str
    roles: frozenset[Role]
    authentication: Literal["token", "session", "none"]
    cookie: str | None = None

    def may(self, role: Role) -> bool:
        """Whether the role, or ``admin``, is among theirs."""
        return role in self.roles or Role.ADMIN in self.roles


class Access:
    """Tells who asks.

    Args:
        tokens: without any, everybody is let in.
        sessions: of browsers.
    """

    def __init__(self, tokens: TokenBook, sessions: Sessions) -> None:
        self.tokens, self.sessions = tokens, sessions

    def identify(self, request: HTTPConnection) -> Identity:
        """Who asks. Raises :class:`~maskgate.server.problems.Problem` where that is not known, and where
        another site's page has a browser ask in somebody's name."""
        identity = self._identify(request)
        # what a browser adds by itself, be it a cookie or its place on this machine, proves no intention
        if identity.authentication != "token" and request.scope["method"] not in _SAFE:
            check_same_origin(request, certainly=identity.authentication == "session")
        return identity

    def still_valid(self, identity: Identity) -> bool:
        """Whether a session that was valid has not ended since."""
        return identity.cookie is None or self.sessions.find(identity.cookie) is not None

    def _identify(self, request: HTTPConnection) -> Identity:
        if not self.tokens:
            return Identity("", ALL_ROLES, "none")
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, text = header.partition(" ")
            token = self.tokens.find(text.strip()) if scheme.lower() == "bearer" else None
            if token is None:
                raise _unauthenticated("the token is unknown, or not sent as 'Bearer TOKEN'", "invalid_token")
            return Identity(token.name, token.roles, "token")
        cookie = request.cookies.get(COOKIE)
        token = None if cookie is None else self.sessions.find(cookie)
        if token is None:
            raise _unauthenticated("send the header 'Authorization: Bearer TOKEN', or sign in on the page")
        return Identity(token.name, token.roles, "session", cookie)


def check_same_origin(request: HTTPConnection, *, certainly: bool) -> None:
    """Raises :class:`~maskgate.server.problems.Problem` for what a page of another site asks.

    Args:
        request: of a browser, which says where it comes from, or of another program, which may not.
        certainly: whether one that does not say it is refused too.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        good = site in ("same-origin", "none")
    elif origin is not None:
        good = _is_origin_of(origin, request.headers.get("host", ""))
    else:
        good = not certainly
    if not good:
        raise Problem("cross-site", "ask from the service's own pages, or with a token in the header")


def require(role: Role) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency that lets in who may."""

    async def check(request: Request) -> Identity:
        access: Access = request.app.state.access
        identity = access.identify(request)
        if not identity.may(role):
            raise Problem("not-allowed", f"this needs a token with the role '{role}'")
        return identity

    return check


Recogniser = Annotated[Identity, Depends(require(Role.RECOGNISE))]
Reader = Annotated[Identity, Depends(require(Role.READ))]
Administrator = Annotated[Identity, Depends(require(Role.ADMIN))]


def _unauthenticated(detail: str, error: str | None = None) -> Problem:
    challenge = 'Bearer realm="maskgate"' + (f', error="{error}"' if error else "")
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def _is_origin_of(origin: str, host: str) -> bool:
    """Whether an Origin's host and port are those of a Host header, which has no scheme."""
    try:
        parts = urlsplit(origin)
        called = urlsplit(f"{parts.scheme}://{host}")
        usual = _PORTS.get(parts.scheme)
        mine, theirs = called.port or usual, parts.port or usual
    except ValueError:
        return False
    return usual is not None and (called.hostname, mine) == (parts.hostname, theirs)
