"""Delivery: order, repeats after errors, waits, and what a receiver in trouble costs the others."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import DeliveryError
from maskgate.events import Event
from maskgate.events.backoff import Backoff
from maskgate.events.credentials import Address
from maskgate.events.outbox import Outbox
from maskgate.events.settings import WebhookSettings
from maskgate.events.sinks.webhook import Webhook
from maskgate.events.worker import Worker

Make = Callable[..., Event]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


@pytest.fixture
def work(outbox: Outbox) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(sink: Any, longest_wait: float = 0.05) -> Worker:
        started.append(Worker(sink, outbox, longest_wait))
        started[-1].start()
        return started[-1]

    yield start
    for worker in started:
        worker.drain()
        assert worker.join(5)


def webhook(receiver: Any, **fields: Any) -> Webhook:
    given = {"name": "x", "url": Address(receiver.url), "timeout_seconds": 0.5}
    return Webhook(WebhookSettings(**(given | fields)))


def got(receiver: Any) -> list[str]:
    return [json.loads(body)["id"] for _, _, body in receiver.requests]


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(1, 10, random.Random(3))
    spans = [1, 2, 4, 8, 10, 10]
    for _ in range(2):
        assert all(span / 2 <= backoff.next() <= span for span in spans)
        backoff.reset()
    assert len({Backoff(1, 10).next() for _ in range(20)}) == 20, "all senders would come back at once"
    for _ in range(5000):
        assert backoff.next() <= 10


def test_events_are_repeated_until_they_are_taken(
    outbox: Outbox, work: Any, receiver: Any, track_event: Make, eventually: Any
) -> None:
    events = [track_event() for _ in range(4)]
    receiver.answers = [200, 500, "hang", 302, 401, 200]
    outbox.append([(event, ["x"]) for event in events])
    worker = work(webhook(receiver))
    eventually(lambda: not outbox.backlogs())
    a, b, c, d = (event.id for event in events)
    assert got(receiver) == [a, b, b, b, b, b, c, d]
    assert worker.trouble is None


def test_a_receiver_that_was_dead_gets_everything_in_order(
    outbox: Outbox, work: Any, receivers: Any, free_port: Any, track_event: Make, eventually: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "maskgate")
    port = free_port()
    sink = Webhook(WebhookSettings("x", url=Address(f"http://127.0.0.1:{port}/"), timeout_seconds=0.5))
    worker = work(sink)
    events = [track_event() for _ in range(10)]
    for event in events:
        outbox.append([(event, ["x"])])
        worker.wake()
        time.sleep(0.03)
    eventually(lambda: worker.trouble)
    assert outbox.backlogs()["x"].waiting == 10
    receiver = receivers(port)
    eventually(lambda: not outbox.backlogs())
    assert got(receiver) == [event.id for event in events]
    said = [record.message for record in caplog.records]
    assert sum("cannot connect; its events wait" in m for m in said) == 1, "once, not at every try"
    assert any("deliveries work again" in m for m in said)


def test_a_refused_event_blocks_nobody(
    outbox: Outbox, work: Any, receiver: Any, track_event: Make, eventually: Any
) -> None:
    a, b = track_event(), track_event()
    receiver.answers = [422, 422, 422, 200]
    outbox.append([(a, ["x"]), (b, ["x"])])
    work(webhook(receiver))
    eventually(lambda: got(receiver) == [a.id] * 3 + [b.id])
    eventually(lambda: outbox.backlogs()["x"].waiting == 0)
    assert outbox.backlogs()["x"].refused == 1
    assert outbox.retry_refused("x") == 1
    eventually(lambda: not outbox.backlogs())


def test_who_asks_to_wait_is_left_alone(
    outbox: Outbox, work: Any, receiver: Any, track_event: Make, eventually: Any
) -> None:
    receiver.answers = [(503, {"retry-after": "1"}), 200]
    outbox.append([(track_event(), ["x"])])
    start = time.monotonic()
    work(webhook(receiver), longest_wait=0.01)
    eventually(lambda: not outbox.backlogs())
    assert time.monotonic() - start >= 1


class Stubborn:
    """A sink of somebody else's making, with errors of its own."""

    name, batch = "x", 2

    def __init__(self, errors: Sequence[Exception]) -> None:
        self.errors, self.got, self.opened = list(errors), [], 0  # type: ignore[var-annotated]

    def open(self) -> None:
        self.opened += 1

    def deliver(self, events: Sequence[Event]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.got += events

    def tend(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_unexpected_error_is_no_end_and_shows_no_words(
    outbox: Outbox, work: Any, track_event: Make, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Stubborn([RuntimeError("password=hunter22")] * 2 + [DeliveryError("not yet")])
    events = [track_event() for _ in range(3)]
    outbox.append([(event, ["x"]) for event in events])
    work(sink)
    eventually(lambda: sink.got == events)
    assert "RuntimeError in deliver" in caplog.text
    assert "hunter22" not in caplog.text


def test_a_single_failure_is_not_worth_a_line(
    outbox: Outbox, work: Any, track_event: Make, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "maskgate")
    sink = Stubborn([DeliveryError("once")])
    outbox.append([(track_event(), ["x"])])
    work(sink)
    eventually(lambda: not outbox.backlogs())
    assert caplog.records == []


def test_reopening_opens_again(outbox: Outbox, work: Any, track_event: Make, eventually: Any) -> None:
    sink = Stubborn([])
    worker = work(sink)
    eventually(lambda: sink.opened == 1)
    worker.reopen()
    eventually(lambda: sink.opened == 2)


def test_the_end_does_not_wait_for_the_next_try(
    outbox: Outbox, track_event: Make, eventually: Any, work: Any
) -> None:
    sink = Stubborn([DeliveryError("no")] * 2)
    outbox.append([(track_event(), ["x"])])
    worker = Worker(sink, outbox, 1000)
    worker._backoff = Backoff(1000, 1000)
    worker.start()
    eventually(lambda: worker.trouble)
    worker.drain()
    assert worker.join(8)
    assert (sink.errors, sink.got) == ([], [])  # it has tried once more
    assert outbox.backlogs()["x"].attempts == 2


def test_a_hung_receiver_does_not_hold_the_end(
    outbox: Outbox, receiver: Any, track_event: Make, eventually: Any
) -> None:
    receiver.answers = ["hang"]
    outbox.append([(track_event(), ["x"])])
    worker = Worker(webhook(receiver, timeout_seconds=20), outbox, 1)
    worker.start()
    eventually(lambda: receiver.requests)
    start = time.monotonic()
    worker.drain()
    assert not worker.join(0.2)
    assert time.monotonic() - start < 5
    receiver.released.set()
    eventually(lambda: worker.join(0.1))
    assert outbox.backlogs()["x"].waiting == 1
