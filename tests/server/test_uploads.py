"""Multipart bodies: read in pieces of any size, measured as they come."""

from __future__ import annotations

import asyncio
import email
import email.policy
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgate.errors import ImageError, ImageFormatError, ImageLimitError
from maskgate.images import ImageLimits
from maskgate.server.problems import Problem
from maskgate.server.uploads import UploadLimits, Uploads, examine

LIMITS = UploadLimits(ImageLimits(max_bytes=1000, max_pixels=10_000), 3, 5000, 5.0)
KIND = "multipart/form-data; boundary=b0undary"


def ask(pieces: Sequence[bytes], taken: list[int], headers: dict[str, str]) -> Request:
    """A request whose body comes in pieces; counts those that were taken."""

    async def receive() -> dict[str, Any]:
        number = len(taken)
        taken.append(number)
        await asyncio.sleep(0)
        return {"type": "http.request", "body": pieces[number], "more_body": number + 1 < len(pieces)}

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive
    )


def read(
    pieces: Sequence[bytes], *, single: bool = False, taken: list[int] | None = None,
    uploads: Uploads | None = None, **headers: str,
) -> list[bytes | ImageError]:  # fmt: skip
    given = {"content-type": KIND} | {name.replace("_", "-"): value for name, value in headers.items()}
    owner = uploads or Uploads(LIMITS, most=4, most_bytes=100_000)

    async def run() -> list[bytes | ImageError]:
        with owner.room() as upload:
            return await upload.read(ask(pieces, [] if taken is None else taken, given), single=single)

    found = asyncio.run(run())
    assert owner._bytes == owner._now == 0
    return found


def refused(pieces: Sequence[bytes], **options: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        read(pieces, **options)
    return caught.value


def by_standard_library(body: bytes) -> list[bytes]:
    """The parts' contents, as another parser sees them."""
    message = email.message_from_bytes(
        f"Content-Type: {KIND}\r\nMIME-Version: 1.0\r\n\r\n".encode() + body, policy=email.policy.HTTP
    )
    return [part.get_payload(decode=True) for part in message.iter_parts()]  # type: ignore[misc]


@settings(max_examples=150, deadline=None)
@given(
    pictures=st.lists(st.binary(max_size=300).map(lambda b: b"\xff\xd8" + b), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 1200), max_size=12),
)
def test_pieces_of_any_size_give_the_same_pictures(pictures: list[bytes], cuts: list[int]) -> None:
    parts = [
        b'--b0undary\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + picture
        for picture in pictures
    ]
    body = b"\r\n".join([*parts, b"--b0undary--\r\n"])
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(places)]
    assert read(pieces) == pictures


def test_another_parser_sees_the_same(multipart: Callable[..., bytes]) -> None:
    # text, as that parser reads lines; what is binary is in the test above
    pictures = [b"one", b"", b"two\r\n--b0undar\r\n\r\nthree", b"--b0undar"]
    body = multipart(*pictures[:3])
    assert read([body]) == by_standard_library(body) == pictures[:3]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": ""}, 415),
        ({"content_type": "image/jpeg"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "multipart/mixed; boundary=b0undary"}, 415),
        ({"content_type": "multipart/form-data"}, 400),
        ({"content_type": "multipart/form-data; boundary="}, 400),
        ({"content_type": "multipart/form-data; boundary=" + "b" * 71}, 400),
        ({"content_encoding": "gzip"}, 415),
        ({"content_length": "5001"}, 413),
    ],
)
def test_headers_are_enough_to_refuse(headers: dict[str, str], status: int) -> None:
    taken: list[int] = []
    assert refused([b"x"], taken=taken, **headers).status == status
    assert not taken  # nothing was read


FORM = b'--b0undary\r\nContent-Disposition: form-data; name="image"'
END = b"\r\n\r\nz\r\n--b0undary--\r\n"
BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "malformed"),
    "no boundary": (b"hello", "malformed"),
    "another boundary": (b"--other\r\n\r\n", "malformed"),
    "cut in a header": (FORM[:-4], "malformed"),
    "cut in a picture": (FORM + b"\r\n\r\n\xff\xd8", "malformed"),
    "no part": (b"--b0undary--\r\n", "invalid"),
    "no disposition": (b"--b0undary\r\nX: y" + END, "invalid"),
    "no headers": (b"--b0undary" + END, "invalid"),
    "another field": (FORM.replace(b"image", b"picture") + END, "invalid"),
    "a name with a zero": (FORM.replace(b"image", b"image\0") + END, "invalid"),
    "an attachment": (FORM.replace(b"form-data", b"attachment") + END, "invalid"),
    "base64": (FORM + b"\r\nContent-Transfer-Encoding: base64" + END, "wrong-media-type"),
    "a long header": (b"--b0undary\r\nX: " + b"y" * 4900 + END, "malformed"),
    "many headers": (b"--b0undary" + b"\r\nX: y" * 50 + END, "malformed"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_wrong_are_told(name: str) -> None:
    body, kind = BODIES[name]
    assert refused([body]).kind == kind
    assert refused([bytes([b]) for b in body] or [b""]).kind == kind


def test_what_comes_after_the_end_is_thrown_away(multipart: Callable[..., bytes]) -> None:
    assert read([multipart(b"\xff\xd8"), b"epilogue" * 100]) == [b"\xff\xd8"]


def test_a_single_picture_is_one(multipart: Callable[..., bytes]) -> None:
    problem = refused([multipart(b"a", b"b")], single=True)
    assert (problem.status, problem.kind) == (422, "invalid")
    assert "/v1/detect/batch" in problem.detail


@pytest.mark.parametrize(
    ("limit", "kind"), [("bytes", "picture-too-large"), ("parts", "too-many-pictures"), ("body", "too-large")]
)
def test_limits_stop_the_reading(limit: str, kind: str, multipart: Callable[..., bytes]) -> None:
    """Whatever follows is not taken any more: no byte beyond the piece that is one too many."""
    endless = b"x" * 100
    begin = {
        "bytes": multipart(b"\xff\xd8", end=False)[:-2],
        "parts": multipart(b"a", b"b", b"c", b"d", end=False),
        "body": multipart(b"a"),
    }[limit]
    taken: list[int] = []
    assert refused([begin, *[endless] * 1000], taken=taken).kind == kind
    assert len(taken) <= {"bytes": 11, "parts": 1, "body": 51}[limit]


def png(width: int, height: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + bytes(700)
    )


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIii", 900, 0, 0, 54, 40, width, height) + bytes(800)


EARLY: dict[str, tuple[bytes, int, type[ImageError]]] = {
    "a bomb": (png(30_000, 30_000), 413, ImageLimitError),
    "a GIF": (b"GIF89a" + bytes(800), 415, ImageFormatError),
    "a PDF": (b"%PDF-1.7" + bytes(800), 415, ImageFormatError),
    "a BMP bomb": (bmp(20_000, -20_000), 413, ImageLimitError),
}


@pytest.mark.parametrize("name", EARLY)
def test_pictures_are_refused_by_their_first_bytes(name: str, multipart: Callable[..., bytes]) -> None:
    data, status, kind = EARLY[name]
    head = multipart(data[:100], end=False)[:-2]
    taken: list[int] = []
    assert refused([head, *[b"x"] * 500], taken=taken, single=True).status == status
    assert len(taken) == 1
    # among others it costs them nothing, and is not kept
    found = read([multipart(b"\xff\xd8", data, b"\xff\xd9")])
    assert (found[0], found[2]) == (b"\xff\xd8", b"\xff\xd9")
    assert type(found[1]) is kind
    assert "image 2" in str(found[1])


def test_a_body_must_come_in_time(multipart: Callable[..., bytes]) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for letter in multipart(b"a" * 200):
            await asyncio.sleep(0.02)
            yield bytes([letter])

    async def run() -> None:
        pieces = slowly()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", KIND.encode())]}
        limits = UploadLimits(LIMITS.picture, 3, 5000, 0.1)
        with Uploads(limits, most=1, most_bytes=5000).room() as upload:
            await upload.read(Request(scope, receive), single=True)

    with pytest.raises(Problem) as caught:
        asyncio.run(run())
    assert (caught.value.status, caught.value.kind) == (408, "too-slow")


def test_all_requests_together_hold_so_much(multipart: Callable[..., bytes]) -> None:
    owner = Uploads(LIMITS, most=2, most_bytes=1500)
    body = multipart(b"\xff\xd8" + bytes(800))
    with owner.room() as first:
        owner.hold(800)
        first.held += 800
        problem = refused_within(owner, body)
        assert (problem.status, problem.headers) == (503, {"Retry-After": "1"})
        with owner.room():
            problem = refused_within(owner, body)
            assert problem.status == 503
    assert read([body], uploads=owner) == [b"\xff\xd8" + bytes(800)]


def refused_within(owner: Uploads, body: bytes) -> Problem:
    async def run() -> None:
        with owner.room() as upload:
            await upload.read(ask([body], [], {"content-type": KIND}), single=True)

    with pytest.raises(Problem) as caught:
        asyncio.run(run())
    return caught.value


def test_a_header_is_examined_before_pixels_are_decoded(jpeg: bytes) -> None:
    found = examine(jpeg, ImageLimits(), "image")
    assert (found.pixels, found.data, found.name) == (512 * 512, jpeg, "image")
    with pytest.raises(ImageLimitError, match="512×512 pixels"):
        examine(jpeg, ImageLimits(max_pixels=512 * 512 - 1), "image")
    with pytest.raises(ImageFormatError):
        examine(jpeg, ImageLimits(formats=frozenset({"PNG"})), "image")
