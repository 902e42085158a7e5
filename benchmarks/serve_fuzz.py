"""Malformed requests: no failure, no leak, no hang.

    python benchmarks/serve_fuzz.py                  # 1,000 made from the OpenAPI document, 1,000 by hand
    python benchmarks/serve_fuzz.py --requests 5000

The first are schemathesis's: each path's parameters and bodies, wrong on purpose. Those by hand are what no
HTTP library sends: multipart bodies that are cut, lengths that are wrong, pictures that are bombs, headers
without end, chunks that are none, senders that are slow. The service runs as users start it. It may answer
anything that is documented. What counts as a complaint: a 5xx other than 503 with Retry-After, an error that
is no problem document, a path or a traceback in an answer, no answer within the time that the service
promises, and a service that does not look at pictures rightly afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import re
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STREAM = "/v1/events/stream"
LEAKS = re.compile(
    r"Traceback|File \"|site-packages|maskgate[/\\.]server|\.py\b|/(?:home|root|srv|tmp|usr|dev)/"
    r"|sqlalchemy|sqlite",
    re.IGNORECASE,
)
HOST = b"Host: 127.0.0.1\r\n"
DOCUMENTED = {200, 204, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 429, 503}


@dataclass
class Report:
    """What came of it: numbers of requests and of each status, and what is wrong."""

    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, name: str, status: int, headers: dict[str, str], body: bytes, seconds: float) -> None:
        """Notes an answer, and what is wrong with it; ``status`` 0: the connection was closed."""
        complaints = []
        text = body.decode("utf-8", "replace")
        kind = headers.get("content-type", "")
        if status and status not in DOCUMENTED:
            complaints.append(f"answered {status}")
        if status == 503 and "retry-after" not in headers:
            complaints.append("503 without Retry-After")
        if status >= 400:
            if kind != "application/problem+json":
                complaints.append(f"{status} is of type {kind!r}")
            else:
                document = json.loads(text)
                if document.get("status") != status or not {"type", "title", "detail"} <= set(document):
                    complaints.append(f"{status} is no whole problem document: {text[:200]}")
            if LEAKS.search(text):
                complaints.append(f"leaks: {text[:300]}")
        with self.lock:
            self.requests += 1
            self.statuses[str(status)] += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            self.complaints += [f"{name}: {complaint}" for complaint in complaints]

    def complain(self, sentence: str) -> None:
        """Notes what is wrong beside answers."""
        with self.lock:
            self.requests += 1
            self.complaints.append(sentence)


def from_document(url: str, *, count: int, seed: int, patience: float = 30.0) -> Report:
    """Sends what schemathesis makes of the service's OpenAPI document.

    Args:
        url: of the service.
        count: of requests at least, half of them wrong on purpose.
        seed: of the random numbers.
        patience: seconds within which an answer must come.
    """
    import hypothesis
    import requests
    import schemathesis
    from hypothesis import HealthCheck, Phase

    report = Report()
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=patience)) as connection:
        connection.request("GET", "/openapi.json")
        content = json.loads(connection.getresponse().read())
    content["paths"].pop(STREAM, None)  # it does not end; see by_hand
    schema = schemathesis.openapi.from_dict(content)
    session = requests.Session()
    session.trust_env = False

    def send(case: Any) -> None:
        name = f"{case.method} {case.formatted_path}"
        began = time.perf_counter()
        try:
            answer = case.call(base_url=url, timeout=patience, session=session)
        except requests.exceptions.Timeout:
            report.complain(f"{name}: no answer within {patience:g} seconds")
            return
        except (requests.exceptions.RequestException, ValueError):
            return  # what the client's own library does not send
        headers = {key.lower(): value[0] for key, value in answer.headers.items()}
        report.add(name, answer.status_code, headers, answer.content, time.perf_counter() - began)

    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    operations = [result.ok() for result in schema.get_all_operations()]
    made = [operation.as_strategy(generation_mode=mode) for operation in operations for mode in modes]
    examples = max(count // len(made), 3)
    with session:
        while report.requests < count:
            before = report.requests
            for strategy in made:  # some have few requests to offer, or none
                run = hypothesis.settings(
                    max_examples=examples,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )(hypothesis.seed(seed)(hypothesis.given(case=strategy)(send)))
                with contextlib.suppress(hypothesis.errors.Unsatisfiable, hypothesis.errors.InvalidArgument):
                    run()
            seed += 1
            if report.requests == before:
                break
    return report


class Hand:
    """Makes requests that no HTTP library sends.

    Args:
        jpeg: a picture.
        seed: of the random numbers.
    """

    def __init__(self, jpeg: bytes, seed: int) -> None:
        self._jpeg, self._random = jpeg, random.Random(seed)
        self._makers: tuple[Callable[[], bytes], ...] = (
            self.cut_anywhere,
            self.wrong_length,
            self.cut_body,
            self.flipped,
            self.bomb,
            self.many_parts,
            self.odd_boundary,
            self.odd_part_headers,
            self.chunked,
            self.odd_head,
            self.odd_query,
            self.odd_json,
            self.noise,
            self.odd_picture,
        )

    def __call__(self, number: int) -> tuple[str, list[bytes], float]:
        """Name, pieces, and seconds between them, of a request."""
        if number % 23 == 22:
            data = self.upload(self.body(self._jpeg))
            cut = self._random.randrange(20, len(data))
            return (
                "slow",
                [data[:cut], *(data[i : i + 1] for i in range(cut, min(cut + 30, len(data))))],
                0.05,
            )
        maker = self._makers[number % len(self._makers)]
        return maker.__name__, [maker()], 0.0

    def body(self, *pictures: bytes, name: bytes = b"image", boundary: bytes = b"bb") -> bytes:
        """A multipart body."""
        parts = b"".join(
            b"--"
            + boundary
            + b'\r\nContent-Disposition: form-data; name="'
            + name
            + b'"\r\n\r\n'
            + p
            + b"\r\n"
            for p in pictures
        )
        return parts + b"--" + boundary + b"--\r\n"

    def upload(
        self, body: bytes, *, length: int | None = None, kind: bytes = b"", extra: bytes = b""
    ) -> bytes:
        """A whole request."""
        path = self._random.choice([b"/v1/detect", b"/v1/detect/batch"])
        claimed = b"%d" % (len(body) if length is None else length)
        return (
            b"POST "
            + path
            + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
            + (kind or b"multipart/form-data; boundary=bb")
            + b"\r\nContent-Length: "
            + claimed
            + b"\r\n"
            + extra
            + b"\r\n"
            + body
        )

    def cut_anywhere(self) -> bytes:
        data = self.upload(self.body(self._jpeg))
        return data[: self._random.randrange(1, len(data))]

    def wrong_length(self) -> bytes:
        body = self.body(self._jpeg)
        return self.upload(
            body, length=self._random.choice([0, 1, len(body) // 2, len(body) - 1, len(body) + 9, 2**40])
        )

    def cut_body(self) -> bytes:
        body = self.body(self._jpeg, self._jpeg[:500])
        return self.upload(body[: self._random.randrange(1, len(body))])

    def flipped(self) -> bytes:
        data = bytearray(self._jpeg)
        for _ in range(self._random.randrange(1, 60)):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        return self.upload(self.body(bytes(data)))

    def bomb(self) -> bytes:
        side = self._random.choice([0, 1, 6_000, 32_768, 65_535, 2**31 - 1])
        header = struct.pack(">II5B", side, self._random.choice([1, 5_000, side]), 8, 2, 0, 0, 0)
        pixels = zlib.compress(bytes(self._random.choice([0, 10, 2**22])))
        png = b"\x89PNG\r\n\x1a\n"
        for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")):
            png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        return self.upload(self.body(png))

    def many_parts(self) -> bytes:
        return self.upload(self.body(*[b""] * self._random.choice([17, 500, 20_000])))

    def odd_boundary(self) -> bytes:
        boundary = self._random.choice(
            [b"", b'"', b'""', b"b" * 71, b"b" * 5000, b"\xff", b"a b", b"--", b"b;b=c"]
        )
        return self.upload(
            self.body(b"x", boundary=boundary), kind=b"multipart/form-data; boundary=" + boundary
        )

    def odd_part_headers(self) -> bytes:
        line = self._random.choice(
            [
                b"",
                b"X" * 100_000,
                b": x",
                b"Content-Disposition",
                b"Content-Disposition: form-data; name=" + b"\xff" * 9,
                b"a: b\r\n" * 1000,
                b'Content-Disposition: form-data; name="image"; filename="../../etc/passwd"',
                b"Content-Disposition: form-data; name*=utf-8''image",
                b"\0: \0",
                b'Content-Disposition: ;;;;name="image"',
            ]
        )
        return self.upload(b"--bb\r\n" + line + b"\r\n\r\n" + self._jpeg[:100] + b"\r\n--bb--\r\n")

    def chunked(self) -> bytes:
        chunks = self._random.choice(
            [
                b"5\r\n--bb\r\n",
                b"zz\r\n",
                b"-1\r\n",
                b"ffffffffffffffffff\r\nx",
                b"5;" + b"e" * 30_000 + b"\r\nhello\r\n0\r\n\r\n",
                b"2\r\nab\r\n0\r\nTrailer: x\r\n\r\n",
                b"0\r\n\r\n",
                b"1\nx\n0\n\n",
            ]
        )
        return (
            b"POST /v1/detect HTTP/1.1\r\n"
            + HOST
            + b"Content-Type: multipart/form-data; boundary=bb\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
        )

    def odd_head(self) -> bytes:
        return self._random.choice(
            [
                b"GET\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"\r\n" * 5000,
                b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
                b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
                b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
                b"HEAD /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"GET / HTTP/1.0\r\n\r\n",
                b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n"
                + HOST
                + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ]
        )

    def odd_query(self) -> bytes:
        path = self._random.choice(
            [b"/v1/events", b"/v1/statistics", STREAM.encode(), b"/v1/snapshots/", b"/v1/"]
        )
        alphabet = b"abc=&?%+;,:/\\'\"<>{}[]\x7f019.-_T Z".replace(b" ", b"%20")
        names = [b"since", b"until", b"camera", b"type", b"limit", b"after", b"label", b"violation", b"zone"]
        query = b"&".join(
            self._random.choice(names)
            + b"="
            + bytes(self._random.choices(alphabet, k=self._random.randrange(60)))
            for _ in range(self._random.randrange(6))
        )
        if path.endswith(b"/"):
            return b"GET " + path + query + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        odd = self._random.choice([b"", b"%00", b"%ff%fe", b"%ed%a0%80", b"2026-02-30T00:00:00Z", b"9" * 400])
        return b"GET " + path + b"?" + query + b"&since=" + odd + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def odd_json(self) -> bytes:
        body = self._random.choice(
            [
                b"",
                b"[" * 10_000,
                b'{"token": "\\ud800"}',
                b'{"token": 1e999}',
                b"\xff\xfe",
                b'{"token":' * 1000,
                b"null",
                b'{"token": "' + b"x" * 10_000 + b'"}',
                b'{"token": "a", "token": {}}',
                b"NaN",
            ]
        )
        return (
            b"POST /v1/session HTTP/1.1\r\n"
            + HOST
            + b"Content-Type: application/json\r\nContent-Length: "
            + (b"%d\r\n\r\n" % len(body) + body)
        )

    def noise(self) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 3000)) + b"\r\n\r\n"

    def odd_picture(self) -> bytes:
        start = self._random.choice(
            [
                b"\xff\xd8\xff",
                b"\x89PNG\r\n\x1a\n",
                b"RIFF\0\0\0\0WEBPVP8X",
                b"BM",
                b"II*\0",
                b"MM\0+",
                b"GIF89a",
                b"%PDF-",
                b"\0\0\0\x18ftypheic",
            ]
        )
        return self.upload(self.body(start + self._random.randbytes(self._random.randrange(4000))))


def by_hand(url: str, jpeg: bytes, *, count: int, seed: int, patience: float) -> Report:
    """Sends what :class:`Hand` makes.

    Args:
        url: of the service, on 127.0.0.1.
        jpeg: a picture.
        count: of requests.
        seed: of the random numbers.
        patience: seconds within which the service answers or closes, whatever it gets.
    """
    report, hand, port = Report(), Hand(jpeg, seed), urlsplit(url).port
    assert port is not None

    def send(request: tuple[str, list[bytes], float]) -> None:
        name, pieces, pause = request
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), patience) as connection:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
            is_head = pieces[0].startswith(b"HEAD ")
            answer = http.client.HTTPResponse(connection, method="HEAD" if is_head else "GET")
            try:
                answer.begin()
                if answer.getheader("content-type", "").startswith("text/event-stream"):
                    body = answer.readline()
                else:
                    body = answer.read()
            except TimeoutError:
                report.complain(f"{name}: no end within {patience:g} seconds: {pieces[0][:80]!r}")
                return
            except (OSError, http.client.HTTPException):
                report.add(name, 0, {}, b"", time.perf_counter() - began)
                return
        headers = {key.lower(): value for key, value in answer.getheaders()}
        if is_head and answer.status >= 400:  # it has no body
            body = json.dumps({"status": answer.status, "type": "", "title": "", "detail": ""}).encode()
        report.add(f"{name} {pieces[0][:60]!r}", answer.status, headers, body, time.perf_counter() - began)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(send, map(hand, range(count))))
    return report


def main() -> None:
    """Fuzzes, and prints JSON; exits with 1 where there is a complaint."""
    from serve import Service, body_of, made_pictures

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()
    service = Service(["--no-pages", "--timeout", "2"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            picture = made_pictures(Path(folder))[0]
            jpeg, body = picture.read_bytes(), body_of(picture)
        before, memory = faces(service.address, body), service.resident_mebibytes()
        made = from_document(service.address, count=arguments.requests, seed=arguments.seed)
        # headers that do not come are waited for 10 seconds, and the rest of a body for 2 more
        hand = by_hand(service.address, jpeg, count=arguments.requests, seed=arguments.seed, patience=16)
        if faces(service.address, body) != before:
            hand.complain("afterwards, a picture is judged otherwise")
        figures: dict[str, Any] = {
            name: {
                "requests": report.requests,
                "statuses": dict(sorted(report.statuses.items())),
                "slowest_seconds": round(report.slowest_seconds, 2),
                "complaints": report.complaints,
            }
            for name, report in (("from_document", made), ("by_hand", hand))
        }
        figures["mebibytes"] = {"before": round(memory, 1), "after": round(service.resident_mebibytes(), 1)}
    finally:
        service.stop()
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", "utf-8")
    sys.exit(bool(made.complaints or hand.complaints))


def faces(address: str, body: bytes) -> Any:
    """What the service finds in a picture."""
    from serve import BOUNDARY

    parts = urlsplit(address)
    with contextlib.closing(
        http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    ) as connection:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/v1/detect", body, headers)
        return json.loads(connection.getresponse().read())["faces"]


if __name__ == "__main__":
    main()
