"""Values that must be seen by nobody but the receiver: they never show in a log, an error or a repr."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_HIDDEN = "(hidden)"
_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True)
class Secret:
    """A password, a token or a key. Only :meth:`reveal` gives it away."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself; hand it to the receiver and to nothing else."""
        return self._value

    def __str__(self) -> str:
        return _HIDDEN

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"


@dataclass(frozen=True)
class Address:
    """A URL whose user, password, path or query may be secret: it shows as scheme, host and port."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The whole URL."""
        return self._value

    def __str__(self) -> str:
        return shown(self._value)

    def __repr__(self) -> str:
        return f"Address({shown(self._value)})"


def shown(url: str) -> str:
    """What of ``url`` may be seen: ``https://door.example:8443``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _HIDDEN
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def from_environment(name: str) -> str:
    """The value of an environment variable. Raises ``LookupError`` with a sentence where there is none."""
    value = os.environ.get(name, "")
    if not value:
        raise LookupError(
            f"the environment variable {name} is not set; set it, or give the value another way"
        )
    return value


def from_file(path: Path) -> str:
    """The first line of a file, as systemd's and Docker's secrets are given.

    Raises ``LookupError`` with a sentence where there is none.
    """
    try:
        with path.open("rb") as file:
            line = file.read(_LARGEST_FILE).decode("utf-8").split("\n")[0].strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise LookupError(f"the file {path} cannot be read: {why}") from None
    if not line:
        raise LookupError(f"the first line of the file {path} is empty")
    return line
