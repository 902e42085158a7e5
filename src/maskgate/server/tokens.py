"""Tokens: who may ask, and for what. Only their hashes are kept.

A token is 32 random bytes, so its SHA-256 gives nothing away and need not be slow (unlike a password's).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from maskgate.errors import SettingsError
from maskgate.files import write_atomic

TOKEN_VARIABLE: Final = "MASKGATE_TOKEN"
"""Environment variable that may hold a token of all roles."""

TOKENS_VARIABLE: Final = "MASKGATE_TOKENS"
"""Environment variable that may hold what a file of tokens does; ``;`` ends a line too."""

SHORTEST: Final = 32
"""Characters of a token that somebody made up."""

_PREFIX: Final = "mg_"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN: Final = re.compile(rf"[A-Za-z0-9._~+/-]{{{SHORTEST},256}}=*")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_FILE: Final = 1_000_000


class Role(StrEnum):
    """What a token allows."""

    RECOGNISE = "recognise"
    READ = "read"
    ADMIN = "admin"


ALL_ROLES: Final = frozenset(Role)


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        name: whose it is, for logs.
        roles: what it allows; ``admin`` allows all.
        digest: SHA-256 of its text, 32 bytes.
    """

    name: str
    roles: frozenset[Role]
    digest: bytes = field(repr=False)

    @property
    def line(self) -> str:
        """The token in a file of tokens, with a line feed."""
        return f"{self.name} {','.join(sorted(self.roles))} sha256:{self.digest.hex()}\n"


@dataclass(frozen=True)
class TokenBook:
    """All tokens; false where there are none."""

    tokens: tuple[Token, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def find(self, text: str) -> Token | None:
        """The token of that text, or None; the time taken tells nothing about the hashes."""
        digest = digest_of(text)
        found = None
        for token in self.tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def digest_of(text: str) -> bytes:
    """SHA-256 of a token's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def new_token(name: str, roles: Iterable[Role]) -> tuple[str, Token]:
    """A token's text, which is nowhere else, and what is kept of it.

    Raises :class:`~maskgate.errors.SettingsError` for a name with other characters than letters, digits,
    ``.``, ``_`` and ``-``, and without any role.
    """
    given = frozenset(roles)
    if not _NAME.fullmatch(name) or not given:
        raise SettingsError(
            f"a token is to be named {name!r} with {len(given)} roles; name it with up to 64 letters, "
            "digits, '.', '_' and '-', and give it at least one role"
        )
    text = _PREFIX + secrets.token_urlsafe(32)
    return text, Token(name, given, digest_of(text))


def add_token(path: Path, token: Token) -> None:
    """Adds a token to a file of tokens, which is made for its owner alone where it is missing.

    Raises :class:`~maskgate.errors.SettingsError` where the file has one of that name, or is wrong.
    """
    text = _read(path) if path.exists() else ""
    if any(other.name == token.name for other in parse_tokens(text, str(path)).tokens):
        raise SettingsError(
            f"{path} has a token named {token.name!r} already; choose another name, or remove its line"
        )
    separator = "" if not text or text.endswith("\n") else "\n"
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    write_atomic(path, f"{text}{separator}{token.line}".encode(), mode=mode)


def read_tokens(path: Path | None, environment: Mapping[str, str]) -> TokenBook:
    """The tokens of a file and of the environment.

    Args:
        path: None: no file.
        environment: such as ``os.environ``.

    Raises :class:`~maskgate.errors.SettingsError`, naming file and line but no token.
    """
    tokens: list[Token] = []
    if path is not None:
        tokens += parse_tokens(_read(path), str(path)).tokens
    listed = environment.get(TOKENS_VARIABLE, "").replace(";", "\n")
    tokens += parse_tokens(listed, f"the environment variable {TOKENS_VARIABLE}").tokens
    single = environment.get(TOKEN_VARIABLE, "").strip()
    if single:
        if not _TOKEN.fullmatch(single):
            raise SettingsError(
                f"the environment variable {TOKEN_VARIABLE} holds no token: at least {SHORTEST} letters, "
                "digits, '-', '.', '_', '~', '+' and '/', such as those of: openssl rand -hex 32"
            )
        tokens.append(Token("environment", frozenset({Role.ADMIN}), digest_of(single)))
    return TokenBook(tuple(tokens))


def parse_tokens(text: str, origin: str) -> TokenBook:
    """The tokens of a file's text: a line each of name, roles with commas, ``sha256:`` and 64 hex digits.

    Empty lines and those that start with ``#`` are left out. Raises
    :class:`~maskgate.errors.SettingsError`, naming ``origin`` and the line.
    """
    tokens: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{origin}, line {number}"
        wanted = "NAME ROLES sha256:HEX, as 'maskgate tokens add' writes it"
        if len(words) != 3 or not _NAME.fullmatch(words[0]) or not _HASH.fullmatch(words[2]):
            raise SettingsError(f"{where}: wanted: {wanted}")
        try:
            roles = frozenset(Role(role) for role in words[1].split(","))
        except ValueError:
            known = ", ".join(Role)
            raise SettingsError(f"{where}: a role is unknown; known are {known}") from None
        if any(token.name == words[0] for token in tokens):
            raise SettingsError(f"{where}: there is a token named {words[0]!r} above; give it another name")
        tokens.append(Token(words[0], roles, bytes.fromhex(words[2].removeprefix("sha256:"))))
    return TokenBook(tuple(tokens))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise SettingsError(f"{path} has over {_LARGEST_FILE:,} bytes; that is no file of tokens")
        return data.decode("utf-8")
    except OSError as error:
        raise SettingsError(f"the file of tokens {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; that is no file of tokens") from None
