"""Server-sent events, as HTML's standard has them: lines of fields, a blank line ends an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 1_000_000


@dataclass(frozen=True)
class Message:
    """One event of the stream.

    Attributes:
        kind: the field ``event``; ``"message"`` where there is none.
        data: the lines of ``data``, joined.
        id: the last one given in the stream so far; empty where there was none.
        retry: milliseconds that the service wants to pass before a new connection; None: not said.
    """

    kind: str
    data: str
    id: str
    retry: int | None = None


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The events of a stream, given its lines without their ends. What is unfinished at its end is dropped.

    Raises ``ValueError`` for an event of over a million characters.
    """
    kind, data, id, retry = "", list[str](), "", None
    size = 0
    for line in lines:
        size += len(line)
        if size > _LONGEST:
            raise ValueError("an event of the stream has no end")
        if line == "":
            if data:
                yield Message(kind or "message", "\n".join(data), id, retry)
            kind, data, size = "", [], 0
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = int(value)
