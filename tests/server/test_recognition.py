"""Pictures over HTTP: the same verdicts as ``maskgate detect``, and the right word for what is none."""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate import MaskGate
from maskgate.cli import main
from maskgate.images import ImageLimits, encode_image
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_card

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def pictures(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of every format, turned by EXIF, transparent, grey, with several faces, with none."""
    folder = tmp_path_factory.mktemp("pictures")
    image = Pillow.fromarray(astronaut)
    turned = Pillow.Exif()
    turned[0x0112] = 6
    image.rotate(90, expand=True).save(folder / "turned.jpg", exif=turned, quality=95)
    image.convert("RGBA").save(folder / "clear.png")
    image.convert("L").save(folder / "grey.tif", compression="tiff_lzw")
    image.resize((300, 300)).save(folder / "small.webp", quality=80)
    image.crop((100, 20, 400, 300)).save(folder / "cut.bmp")
    row = np.concatenate([astronaut, astronaut[:, ::-1], np.roll(astronaut, 60, 1)], axis=1)
    Pillow.fromarray(row).save(folder / "three.jpg", quality=90)
    Pillow.new("RGB", (64, 48), "white").save(folder / "empty.png")
    return [*sorted(EXAMPLES.glob("*.jpg")), *sorted(folder.iterdir())]


def without_times(content: dict[str, Any]) -> dict[str, Any]:
    assert set(content["milliseconds"]) == {"decode", "detect", "align", "classify"}
    assert all(value >= 0 for value in content["milliseconds"].values())
    return {key: value for key, value in content.items() if key not in ("milliseconds", "path")}


@pytest.fixture(scope="module")
def expected(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What ``maskgate detect`` writes for them."""
    output = tmp_path_factory.mktemp("detect") / "faces.jsonl"
    assert main(["detect", *map(str, pictures), "--output", str(output)]) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["path"] for line in lines] == list(map(str, pictures))
    assert sum(len(line["faces"]) for line in lines) >= 10
    return [without_times(line) for line in lines]


def test_verdicts_are_those_of_the_command_line(
    plain: Any, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    with plain.client() as client:
        for path, wanted in zip(pictures, expected, strict=True):
            answer = client.post("/v1/detect", files={"image": (path.name, path.read_bytes())})
            assert answer.status_code == 200, answer.text
            assert list(answer.json()) == ["width", "height", "faces", "milliseconds", "error"]
            assert without_times(answer.json()) == wanted, path


def test_several_at_once_are_the_same(
    plain: Any, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    files = [("image", (path.name, path.read_bytes())) for path in pictures]
    with plain.client() as client:
        answer = client.post("/v1/detect/batch", files=files)
    assert [without_times(one) for one in answer.json()["pictures"]] == expected


def test_many_clients_get_what_is_theirs(
    plain: Any, pictures: list[Path], expected: list[dict[str, Any]]
) -> None:
    def ask(number: int) -> bool:
        path = pictures[number % len(pictures)]
        found = plain.post(path.read_bytes())
        return bool(without_times(found.json()) == expected[number % len(pictures)])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(32)))


def png(width: int, height: int) -> bytes:
    """A whole PNG that claims a size, with hardly any pixels in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


NO_PICTURES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 422, "unreadable-picture"),
    "text": (b"hello", 422, "unreadable-picture"),
    "a GIF": (b"GIF89a" + bytes(20), 415, "wrong-picture-format"),
    "a HEIC": (b"\0\0\0\x18ftypheic" + bytes(90), 415, "wrong-picture-format"),
    "a video": (b"\0\0\0\x18ftypisom" + bytes(90), 415, "wrong-picture-format"),
    "a bomb": (png(25_000, 25_000), 413, "picture-too-large"),
    "too many pixels": (png(8_000, 5_001), 413, "picture-too-large"),
    "too long": (png(32_768, 1), 413, "picture-too-large"),
    "no pixels": (png(0, 10), 422, "unreadable-picture"),
    "half the pixels": (png(4_000, 4_000), 422, "unreadable-picture"),
    "a cut JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(200), 422, "unreadable-picture"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_told(plain: Any, problem: Callable[..., Any], name: str) -> None:
    data, status, kind = NO_PICTURES[name]
    document = problem(plain.post(data), status, kind)
    assert document["detail"].startswith("image ")


def test_one_that_is_none_costs_the_others_nothing(plain: Any, jpeg: bytes) -> None:
    files = [("image", jpeg), *(("image", data) for data, _, _ in NO_PICTURES.values()), ("image", jpeg)]
    with plain.client() as client:
        answer = client.post("/v1/detect/batch", files=files)
    first, *wrong, last = answer.json()["pictures"]
    assert without_times(first) == without_times(last)
    for i, one in enumerate(wrong, 2):
        assert one.pop("error").startswith(f"image {i} ")
        assert one == {"width": None, "height": None, "faces": [], "milliseconds": None}


def test_limits_can_be_set(serving: Callable[..., Any], problem: Callable[..., Any]) -> None:
    limits = ImageLimits(max_bytes=1000, max_pixels=1000, formats=frozenset({"PNG"}))
    with serving(picture=limits, most_body_bytes=4000, most_pictures=2) as running:
        problem(running.post(png(20, 20) + bytes(2000)), 413, "picture-too-large")
        problem(running.post(png(40, 40)), 413, "picture-too-large")
        tiny = bytes(encode_image(np.zeros((8, 8, 3), np.uint8), "JPEG"))
        assert len(tiny) < 1000
        problem(running.post(tiny), 415, "wrong-picture-format")
        problem(running.post(bytes(5000)), 413, "too-large")
        with running.client() as client:
            files = [("image", b"x")] * 3
            problem(client.post("/v1/detect/batch", files=files), 413, "too-many-pictures")
            problem(client.post("/v1/detect", files=files[:2]), 422, "invalid")
            problem(client.post("/v1/detect/batch", files={"other": b"x"}), 422, "invalid")
            for body in (b"--b--\r\n", b""):
                headers = {"Content-Type": "multipart/form-data; boundary=b"}
                answer = client.post("/v1/detect", content=body, headers=headers)
                assert answer.status_code in (400, 422)


def test_no_address_is_fetched_and_no_file_is_read(plain: Any, problem: Callable[..., Any]) -> None:
    with plain.client() as client:
        for text in (
            b"http://127.0.0.1:1/a.jpg",
            b"file:///etc/passwd",
            b"/etc/passwd",
            str(EXAMPLES).encode(),
        ):
            problem(client.post("/v1/detect", files={"image": text}), 422, "unreadable-picture")
            problem(client.post("/v1/detect", json={"image": text.decode()}), 415, "wrong-media-type")
            problem(client.post("/v1/detect", data={"image": text.decode()}), 415, "wrong-media-type")


def test_who_comes_when_all_is_full_is_told_when_to_come_again(
    serving: Callable[..., Any], held: Any, held_gate: MaskGate, jpeg: bytes, problem: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:  # fmt: skip
    with serving(own=held_gate, most_waiting=2, most_pictures=2) as running, ThreadPoolExecutor(2) as threads:
        engine = running.application.state.service.engine
        waiting = [threads.submit(running.post, jpeg) for _ in range(2)]
        assert eventually(lambda: sum(engine.lengths()) == 2)
        answer = running.post(jpeg)
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        with running.client() as client:
            assert client.get("/health/live", timeout=2).status_code == 200  # the event loop is free
        held.release.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert running.post(jpeg).status_code == 200


def test_uploads_at_the_same_time_are_bounded(
    serving: Callable[..., Any], problem: Callable[..., Any], jpeg: bytes, http_request: Callable[..., bytes],
    multipart: Callable[..., bytes], eventually: Callable[..., Any],
) -> None:  # fmt: skip
    with serving(most_uploads=1) as running:
        whole = http_request(multipart(jpeg))
        with running.connect() as slow:
            slow.sendall(whole[:1000])
            uploads = running.application.state.service.uploads
            assert eventually(lambda: uploads._now == 1)
            problem(running.post(jpeg), 503, "busy")
        assert eventually(lambda: uploads._now == 0)
        assert running.post(jpeg).status_code == 200


def test_a_verdict_that_does_not_come_is_not_waited_for(
    serving: Callable[..., Any], held: Any, held_gate: MaskGate, jpeg: bytes, problem: Callable[..., Any]
) -> None:
    with serving(own=held_gate, verdict_seconds=0.2) as running:
        answer = running.post(jpeg)
        held.release.set()
    problem(answer, 503, "timeout")
    assert "0.2 seconds" in answer.json()["detail"]


def test_nobody_looks_at_the_picture_of_who_has_gone(
    serving: Callable[..., Any], held: Any, held_gate: MaskGate, jpeg: bytes,
    http_request: Callable[..., bytes], multipart: Callable[..., bytes], eventually: Callable[..., Any],
) -> None:  # fmt: skip
    with serving(own=held_gate) as running:
        engine = running.application.state.service.engine
        first = threading.Thread(target=running.post, args=(jpeg,))
        first.start()
        assert held.entered.wait(5)
        with running.connect() as connection:
            connection.sendall(http_request(multipart(jpeg)))
            assert eventually(lambda: len(engine._ready) == 1)
        assert eventually(lambda: engine._ready[0].future.cancelled())
        held.release.set()
        first.join(10)
        assert eventually(lambda: sum(engine.lengths()) == 0)
        assert held.batches == [1]


def test_clients_that_ask_too_often_are_slowed_down(
    serving: Callable[..., Any], tokens: Any, jpeg: bytes, problem: Callable[..., Any]
) -> None:
    with serving(requests_per_minute=2, tokens=tokens.book) as running:
        one, other = tokens.header("recognise"), tokens.header("admin")
        assert [running.post(jpeg, headers=one).status_code for _ in range(2)] == [200, 200]
        answer = running.post(jpeg, headers=one)
        problem(answer, 429, "too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert running.post(jpeg, headers=other).status_code == 200
        with running.client() as client:
            assert client.get("/v1/models", headers=one).status_code == 200


def test_half_a_body_is_given_up(
    serving: Callable[..., Any],
    http_request: Callable[..., bytes],
    multipart: Callable[..., bytes],
    jpeg: bytes,
) -> None:
    with serving(body_seconds=0.4) as running:
        body = multipart(jpeg)
        began = time.monotonic()
        answer = running.exchange(http_request(body)[:5000])
        assert (answer.status, answer.kind) == (408, "too-slow")
        answer = running.exchange(http_request(body[:5000], length=len(body)))
        assert answer.status == 408
        # a length that is too short cuts the body
        answer = running.exchange(http_request(body, length=5000))
        assert (answer.status, answer.kind) == (400, "malformed")
        # drops do not buy time
        whole = http_request(body)
        answer = running.exchange(whole[:300], *(whole[i : i + 1] for i in range(300, 340)), pause=0.03)
        assert answer.status == 408
        assert time.monotonic() - began < 5


def test_a_client_that_waits_to_be_asked_sends_nothing_in_vain(
    plain: Any, http_request: Callable[..., bytes]
) -> None:
    head = http_request(b"", length=100 * 2**20, extra="Expect: 100-continue\r\n")
    answer = plain.exchange(head)
    assert (answer.status, answer.kind) == (413, "too-large")


def test_models_are_named_with_hash_and_licence(plain: Any) -> None:
    with plain.client() as client:
        found = client.get("/v1/models").json()
    for key, name, task in (
        ("detector", DEFAULT_DETECTOR, "detection"),
        ("classifier", DEFAULT_CLASSIFIER, "classification"),
    ):
        card = find_card(name, task)  # type: ignore[arg-type]
        assert found[key]["name"] == card.name
        assert found[key]["sha256"] == card.sha256
        assert found[key]["licence"] == card.licence
    assert 0 < found["threshold"] < 1


def test_a_part_without_a_card_is_named(serving: Callable[..., Any], held_gate: MaskGate) -> None:
    with serving(own=held_gate) as running, running.client() as client:
        found = client.get("/v1/models").json()["detector"]
    assert found == {"name": "held"} | dict.fromkeys(
        ("version", "architecture", "sha256", "licence", "description")
    )
