"""What a word of the command line or the rule file stands for: a video, a folder, a webcam, a stream."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from maskgate.errors import InputError
from maskgate.events import credentials

SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")
"""Of streams' addresses."""

Transport = Literal["tcp", "udp"]
"""What carries the pictures of an RTSP camera."""

LONGEST_NAME: Final = 100


class SourceKind(StrEnum):
    """The kinds of source, of which the first two have an end."""

    VIDEO = "video"
    FOLDER = "folder"
    WEBCAM = "webcam"
    STREAM = "stream"

    @property
    def live(self) -> bool:
        """Whether frames come as time passes, and not as fast as they are read."""
        return self in (SourceKind.WEBCAM, SourceKind.STREAM)


@dataclass(frozen=True)
class Source:
    """Where frames come from. Its ``str`` and ``repr`` show no password.

    Attributes:
        name: of the camera in events; unique among those watched together.
        kind: what it is.
        shown: what messages call it; of a stream scheme, host and port only, because cameras take
            passwords before the host, in the query and even in the path.
        address: path, device or whole URL. Hand it to FFmpeg and to nothing else.
        rate: most frames a second that are looked at, of a live source; pictures a second, of a folder.
        transport: of RTSP.
    """

    name: str
    kind: SourceKind
    shown: str
    address: str = field(repr=False)
    rate: float
    transport: Transport = "tcp"

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= LONGEST_NAME and self.name.isprintable()):
            raise InputError(
                f"a camera is named {self.name!r}; give 1 to {LONGEST_NAME} characters that can be printed"
            )
        if not 0.01 <= self.rate <= 1000:
            raise InputError(f"rate of {self.name} is {self.rate}; give frames a second from 0.01 to 1000")
        if self.transport not in get_args(Transport):
            raise InputError(f"transport of {self.name} is {self.transport!r}; give 'tcp' or 'udp'")

    def __str__(self) -> str:
        return self.shown


LIVE_RATE: Final = 10.0
"""Frames a second of a live source that are looked at, where nothing else is said: faces do not change
faster, and four cameras leave two processor cores some room."""

PICTURE_RATE: Final = 25.0
"""Pictures a second that a folder is taken to hold: as cut from a video."""


def parse_source(
    text: str, name: str | None = None, *, rate: float | None = None, transport: Transport = "tcp"
) -> Source:
    """The source that ``text`` names.

    Args:
        text: a path, the number of a webcam, or the address of a stream.
        name: of the camera; None: a file's name, a stream's host, ``webcam-N``.
        rate: see :class:`Source`; None: :data:`LIVE_RATE` or :data:`PICTURE_RATE`.
        transport: of RTSP.

    Raises :class:`~maskgate.errors.InputError` where it can be none of these; whether there is such a
    file or camera is seen when it is opened.
    """
    kind, shown, address, given = _identify(text)
    usual = LIVE_RATE if kind.live else PICTURE_RATE
    return Source(name or given, kind, shown, address, usual if rate is None else rate, transport)


def name_apart(sources: Iterable[Source]) -> list[Source]:
    """The sources, each with a name of its own: the second of a name gets ``-2`` and so on."""
    used: set[str] = set()
    apart = []
    for source in sources:
        name, number = source.name, 1
        while name in used:
            number += 1
            name = f"{source.name}-{number}"
        used.add(name)
        apart.append(replace(source, name=name))
    return apart


def _identify(text: str) -> tuple[SourceKind, str, str, str]:
    """Kind, what may be shown, address and default name."""
    if not text or "\0" in text:
        raise InputError("a source is empty; give a video, a folder, the number of a webcam or an address")
    if text.isdecimal() and text.isascii():
        number = str(int(text))
        return SourceKind.WEBCAM, f"webcam {number}", f"/dev/video{number}", f"webcam-{number}"
    scheme, separator, _ = text.partition("://")
    if separator and scheme.isascii() and scheme.replace("+", "").isalnum():
        return _stream(text, scheme.lower())
    path = Path(text)
    name = _printable(path.resolve().name or text)
    if path.is_dir():
        return SourceKind.FOLDER, _printable(text), text, name
    if _is_device(path):
        return SourceKind.WEBCAM, _printable(text), text, name
    return SourceKind.VIDEO, _printable(text), text, name


def _stream(text: str, scheme: str) -> tuple[SourceKind, str, str, str]:
    if scheme not in SCHEMES:
        raise InputError(f"{scheme}:// is no address of a stream; give one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(text)
        host = parts.hostname
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        host = None
    if not host or any(letter.isspace() or not letter.isprintable() for letter in text):
        # the address may hold a password, so it is not repeated
        raise InputError(
            f"an address that starts with {scheme}:// has no usable host or port; write it like "
            f"{scheme}://USER:PASSWORD@HOST:PORT/PATH, with special letters as %XX"
        )
    place = credentials.shown(text).partition("://")[2]
    return SourceKind.STREAM, f"{scheme}://{place}", text, place


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _printable(text: str) -> str:
    """``text`` with escapes for what is no letter, cut to what events take as a name."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return shown if len(shown) <= LONGEST_NAME else f"…{shown[1 - LONGEST_NAME :]}"
