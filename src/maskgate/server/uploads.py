"""Uploads: multipart bodies, measured while they stream in; nothing is ever written to a disk.

Each limit is enforced as soon as it is passed, not when the body has come: number of parts, bytes of a part
and of the body, time. A picture's format and size are read from its first bytes where these tell them, and
from the whole file before a pixel is decoded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from maskgate.errors import ImageError, ImageFormatError, ImageLimitError, ImageReadError
from maskgate.images.headers import read_header
from maskgate.images.limits import ImageLimits
from maskgate.server.engine import Encoded
from maskgate.server.problems import Problem

FIELD: Final = "image"
"""Name of the multipart field that holds a picture."""

_PEEK: Final = 64  # bytes after which PNG, WebP and BMP have told their size
_LONGEST_BOUNDARY: Final = 70  # RFC 2046, section 5.1.1
_RETRY_SECONDS: Final = 1
_PLAIN_ENCODINGS: Final = frozenset({"", "binary", "7bit", "8bit"})

# it warns of whatever strangers send
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class UploadLimits:
    """What one request may send.

    Attributes:
        picture: limits of each.
        most_pictures: how many.
        most_bytes: of the body.
        seconds: for the whole body.
    """

    picture: ImageLimits
    most_pictures: int
    most_bytes: int
    seconds: float


class Uploads:
    """Reads pictures out of requests. For the event loop's thread alone.

    Args:
        limits: of each request.
        most: requests that may send at the same time.
        most_bytes: that all of them may hold at the same time.
    """

    def __init__(self, limits: UploadLimits, *, most: int, most_bytes: int) -> None:
        self._limits = limits
        self._most, self._most_bytes = most, most_bytes
        self._now = self._bytes = 0

    @contextmanager
    def room(self) -> Iterator[Upload]:
        """Room for one request's pictures, until the end of the ``with`` statement.

        Raises :class:`~maskgate.server.problems.Problem` where there is none.
        """
        if self._now >= self._most:
            raise Problem("busy", "too many requests send pictures just now", retry_after=_RETRY_SECONDS)
        self._now += 1
        upload = Upload(self, self._limits)
        try:
            yield upload
        finally:
            self._now -= 1
            self._bytes -= upload.held

    def hold(self, count: int) -> None:
        """Counts bytes that came in. Raises :class:`~maskgate.server.problems.Problem` beyond the bound."""
        if self._bytes + count > self._most_bytes:
            raise Problem("busy", "too many pictures are being sent just now", retry_after=_RETRY_SECONDS)
        self._bytes += count


class Upload:
    """One request's pictures.

    Attributes:
        held: bytes of it in memory.
    """

    def __init__(self, owner: Uploads, limits: UploadLimits) -> None:
        self.held = 0
        self._owner, self._limits = owner, limits

    async def read(self, request: Request, *, single: bool) -> list[bytes | ImageError]:
        """The files of all fields ``image``, in their order, at least one.

        Args:
            request: its body has not been read.
            single: exactly one is wanted, and it is refused as soon as it shows what it is. Of several, one
                that cannot be used costs the others nothing: its error stands in its place.

        Raises :class:`~maskgate.server.problems.Problem`, and Starlette's ``ClientDisconnect``.
        """
        boundary = _boundary(request)
        self._check_stated_length(request)
        parts = _Parts(self._limits.picture, 1 if single else self._limits.most_pictures)
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        total = 0
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for chunk in request.stream():
                    total += len(chunk)
                    if total > self._limits.most_bytes:
                        raise self._too_large()
                    self._owner.hold(len(chunk))
                    self.held += len(chunk)
                    if chunk:
                        parser.write(chunk)
        except TimeoutError:
            raise Problem(
                "too-slow", f"the body did not come within {self._limits.seconds:g} seconds"
            ) from None
        except FormParserError:
            raise Problem("malformed", "the multipart body is malformed") from None
        if not parts.complete:
            raise Problem("malformed", "the multipart body ends before its last boundary")
        if not parts.pictures:
            raise _invalid(f"the field '{FIELD}' is missing; send a picture in it")
        return parts.pictures

    def _check_stated_length(self, request: Request) -> None:
        text = request.headers.get("content-length", "0")
        if text.isdecimal() and int(text) > self._limits.most_bytes:
            raise self._too_large()

    def _too_large(self) -> Problem:
        return Problem("too-large", f"a request may have at most {self._limits.most_bytes:,} bytes")


class _Parts:
    """What the parser tells of, part by part."""

    def __init__(self, limits: ImageLimits, most: int) -> None:
        self.pictures: list[bytes | ImageError] = []
        self.complete = False
        self._limits, self._most = limits, most
        self._begun = 0
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._length = 0
        self._peeked = False
        self._refused: ImageError | None = None

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._begun += 1
        if self._begun > self._most:
            if self._most == 1:
                raise _invalid("this path takes one picture; send several to /v1/detect/batch")
            raise Problem("too-many-pictures", f"a request may have at most {self._most} pictures")
        self._headers, self._chunks, self._length = {}, [], 0
        self._peeked, self._refused = False, None

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or options.get(b"name") != FIELD.encode():
            raise _invalid(f"a part of the body is not the field '{FIELD}'; send no other")
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding.decode("latin-1") not in _PLAIN_ENCODINGS:
            raise Problem("wrong-media-type", "send the picture as it is, without a transfer encoding")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._length += end - start
        if self._length > self._limits.max_bytes:
            raise Problem("picture-too-large", f"a picture may have at most {self._limits.max_bytes:,} bytes")
        if self._refused is not None:
            return
        self._chunks.append(data[start:end])
        if not self._peeked and self._length >= _PEEK:
            self._peeked = True
            self._peek(b"".join(self._chunks))

    def _peek(self, beginning: bytes) -> None:
        """Refuses a picture by its first bytes, where they tell enough."""
        try:
            if beginning[:2] not in (b"II", b"MM"):  # a TIFF tells its size anywhere
                examine(beginning, self._limits, self._called)
        except ImageReadError:
            return  # there is more to come
        except ImageError as error:
            if self._most == 1:
                raise picture_problem(error) from None
            self._refused, self._chunks = error, []

    @property
    def _called(self) -> str:
        return FIELD if self._most == 1 else f"{FIELD} {self._begun}"

    def _end(self) -> None:
        self.pictures.append(b"".join(self._chunks) if self._refused is None else self._refused)
        self._chunks = []

    def _finish(self) -> None:
        self.complete = True


def examine(data: bytes, limits: ImageLimits, name: str) -> Encoded:
    """A picture file whose header keeps to the limits, ready for the engine.

    Raises :class:`~maskgate.errors.ImageError`.
    """
    limits.check_bytes(len(data), name)
    header = read_header(data, name)
    limits.check_format(header.format, name)
    limits.check_size(header.width, header.height, name)
    return Encoded(data, header.width * header.height, name)


def picture_problem(error: ImageError) -> Problem:
    """What a picture that cannot be used is answered with."""
    if isinstance(error, ImageLimitError):
        return Problem("picture-too-large", str(error))
    if isinstance(error, ImageFormatError):
        return Problem("wrong-picture-format", str(error))
    return Problem("unreadable-picture", str(error))


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Problem("wrong-media-type", f"send multipart/form-data with the picture in the field '{FIELD}'")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("wrong-media-type", "send the body without a content encoding")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise Problem(
            "malformed", f"the content type states no boundary of 1 to {_LONGEST_BOUNDARY} characters"
        )
    return boundary


def _invalid(detail: str) -> Problem:
    return Problem("invalid", detail, errors=[(FIELD, detail)])
