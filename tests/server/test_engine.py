"""The engine: what waits is looked at together, nothing grows, nobody suffers for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from maskgate import Faces, MaskGate
from maskgate.errors import ImageReadError
from maskgate.images import ImageLimits, decode_image, encode_image
from maskgate.serialisation import verdicts_to_json
from maskgate.server.engine import Encoded, Engine, EngineClosedError, EngineFullError
from maskgate.server.metrics import Metrics

LIMITS = ImageLimits(max_pixels=10_000_000)


def encoded(width: int = 8, height: int = 6) -> Encoded:
    image = np.zeros((height, width, 3), np.uint8)
    return Encoded(bytes(encode_image(image, "PNG")), width * height)


@pytest.fixture
def open_engine() -> Iterator[Callable[..., Engine]]:
    opened: list[Engine] = []

    def open_one(
        gate: MaskGate, *, waiting: int = 64, batched: int = 8, limits: ImageLimits = LIMITS
    ) -> Engine:
        opened.append(
            Engine(gate, limits=limits, most_waiting=waiting, most_batched=batched, metrics=Metrics())
        )
        opened[-1].start()
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close(5)


def plain(verdicts: Any) -> dict[str, Any]:
    content = verdicts_to_json(verdicts)
    del content["milliseconds"]
    return content


def test_verdicts_are_those_of_the_pipeline(
    gate: MaskGate, open_engine: Callable[..., Engine], astronaut: np.ndarray
) -> None:
    images = [astronaut, astronaut[:, ::-1], astronaut[40:400, 60:500], astronaut[::2, ::2]]
    files = [bytes(encode_image(np.ascontiguousarray(image), "PNG")) for image in images]
    expected = [plain(gate(decode_image(data))) for data in files]
    assert sum(len(e["faces"]) for e in expected) >= 3
    engine = open_engine(gate)
    futures = engine.submit([Encoded(data, 512 * 512) for data in files] * 5)
    found = [future.result(60) for future in futures]
    assert [plain(one) for one in found] == expected * 5
    assert all(one.milliseconds.decode > 0 and one.milliseconds.detect > 0 for one in found)
    assert [plain(one) for one in engine.judge(images)] == expected


def test_what_waits_is_looked_at_together(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine], eventually: Callable[..., Any]
) -> None:
    engine = open_engine(held_gate, batched=8)
    first = engine.submit([encoded()])
    assert held.entered.wait(5)  # alone, and at once
    others = engine.submit([encoded() for _ in range(11)])
    assert eventually(lambda: len(engine._ready) == 11)
    assert engine.lengths() == (11, 1)
    held.release.set()
    for future in [*first, *others]:
        assert len(future.result(10)) == 0
    assert held.batches == [1, 8, 3]
    assert eventually(lambda: engine.lengths() == (0, 0))


def test_all_of_a_request_or_nothing_is_taken(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine], eventually: Callable[..., Any]
) -> None:
    engine = open_engine(held_gate, waiting=5)
    engine.submit([encoded() for _ in range(3)])
    with pytest.raises(EngineFullError):
        engine.submit([encoded() for _ in range(3)])
    assert sum(engine.lengths()) == 3
    engine.submit([encoded() for _ in range(2)])
    with pytest.raises(EngineFullError):
        engine.submit([encoded()])
    # whoever watches cameras is not turned away
    watcher = threading.Thread(target=engine.judge, args=([np.zeros((6, 8, 3), np.uint8)],))
    watcher.start()
    held.release.set()
    watcher.join(10)
    assert not watcher.is_alive()
    assert eventually(lambda: sum(engine.lengths()) == 0)
    engine.submit([encoded() for _ in range(5)])


def test_decoded_pictures_that_wait_keep_to_a_bound(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine], eventually: Callable[..., Any]
) -> None:
    engine = open_engine(held_gate, limits=ImageLimits(max_pixels=1000))  # at most 2000 wait
    small = [encoded(30, 20) for _ in range(8)]  # 600 each
    engine.submit(small)
    assert held.entered.wait(5)
    time.sleep(0.3)
    assert engine._pixels == 1800
    assert len(engine._files) == 5
    held.release.set()
    assert eventually(lambda: sum(engine.lengths()) == 0)
    assert engine._pixels == 0


def test_cancelled_pictures_are_not_looked_at(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine], eventually: Callable[..., Any]
) -> None:
    engine = open_engine(held_gate)
    engine.submit([encoded()])
    assert held.entered.wait(5)
    gone, kept = engine.submit([encoded()]), engine.submit([encoded()])
    assert eventually(lambda: len(engine._ready) == 2)
    assert gone[0].cancel()
    held.release.set()
    kept[0].result(10)
    assert held.batches == [1, 1]
    assert eventually(lambda: sum(engine.lengths()) == 0)


def test_a_broken_picture_costs_the_others_nothing(
    gate: MaskGate, open_engine: Callable[..., Engine], jpeg: bytes
) -> None:
    engine = open_engine(gate)
    broken = Encoded(jpeg[:200] + b"\0" * 500, 512 * 512, "image 2")
    before, bad, after = engine.submit([Encoded(jpeg, 512 * 512), broken, Encoded(jpeg, 512 * 512)])
    assert len(before.result(30)) == len(after.result(30)) == 1
    with pytest.raises(ImageReadError, match="image 2"):
        bad.result(30)


class Fussy:
    """A detector that fails where a picture is grey 7."""

    name = "fussy"

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        if any(image[0, 0, 0] == 7 for image in images):
            raise RuntimeError("it is grey 7")
        time.sleep(0.02)
        return [Faces.empty()] * len(images)


def test_a_picture_that_the_pipeline_fails_on_costs_the_others_nothing(
    gate: MaskGate, open_engine: Callable[..., Engine], caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(MaskGate(Fussy(), gate.classifier))
    greys = [0, 1, 7, 2, 3, 7, 4]
    files = [bytes(encode_image(np.full((6, 8, 3), grey, np.uint8), "PNG")) for grey in greys]
    futures = engine.submit([Encoded(data, 48) for data in files])
    for grey, future in zip(greys, futures, strict=True):
        if grey == 7:
            assert isinstance(future.exception(10), RuntimeError)
        else:
            assert len(future.result(10)) == 0
    assert engine.running
    assert "grey 7" in caplog.text


def test_closing_ends_what_waits_first(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine]
) -> None:
    engine = open_engine(held_gate, batched=1)
    futures = engine.submit([encoded() for _ in range(4)])
    closing = threading.Thread(target=engine.close, args=(10,))
    closing.start()
    time.sleep(0.1)
    with pytest.raises(EngineClosedError):
        engine.submit([encoded()])
    with pytest.raises(EngineClosedError):
        engine.judge([np.zeros((6, 8, 3), np.uint8)])
    held.release.set()
    closing.join(10)
    assert [len(future.result(0)) for future in futures] == [0] * 4
    assert not engine.running
    assert not any(thread.is_alive() for thread in engine._threads)


def test_closing_does_not_wait_for_ever(
    held: Any, held_gate: MaskGate, open_engine: Callable[..., Engine]
) -> None:
    engine = open_engine(held_gate, batched=1)
    futures = engine.submit([encoded(), encoded()])
    assert held.entered.wait(5)
    began = time.monotonic()
    engine.close(0.2)
    assert time.monotonic() - began < 2
    # one is looked at, the other never will be
    assert sorted((future.cancelled(), future.done()) for future in futures) == [(False, False), (True, True)]
    held.release.set()
    assert [len(future.result(10)) for future in futures if not future.cancelled()] == [0]
