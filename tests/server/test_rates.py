"""How often a client may ask, against a count of all that was let through."""

from __future__ import annotations

import contextlib
import random

import pytest

from maskgate.server.problems import Problem
from maskgate.server.rates import MOST_CLIENTS, Rates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("per_minute", [0.5, 1, 10, 600])
def test_no_window_has_more_than_the_rate_and_a_burst(per_minute: float) -> None:
    clock, r = Clock(), random.Random(round(per_minute))
    rates = Rates(per_minute, clock)
    let_in = []
    for _ in range(2000):
        clock.now += r.choice([0, 0.01, 60 / per_minute, 0.3 * 60 / per_minute])
        with contextlib.suppress(Problem):
            rates.take("a")
            let_in.append(clock.now)
    assert len(let_in) < 2000
    burst = max(per_minute, 1)
    for i, start in enumerate(let_in):
        for j in range(i, min(i + 50, len(let_in))):
            assert j - i + 1 <= burst + (let_in[j] - start) * per_minute / 60 + 1e-6


@pytest.mark.parametrize("per_minute", [0.5, 1, 10, 600])
def test_who_keeps_to_the_rate_is_never_refused(per_minute: float) -> None:
    clock = Clock()
    rates = Rates(per_minute, clock)
    for _ in range(500):
        rates.take("a")
        clock.now += 60 / per_minute + 1e-6


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    rates = Rates(7, clock)
    refused = 0
    for _ in range(40):
        try:
            rates.take("a")
        except Problem as problem:
            refused += 1
            clock.now += int(problem.headers["Retry-After"])
            rates.take("a")
    assert refused > 10


def test_clients_do_not_suffer_for_each_other() -> None:
    rates = Rates(1, Clock())
    rates.take("a")
    rates.take("b")
    with pytest.raises(Problem) as caught:
        rates.take("a")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "60"})


def test_without_a_rate_anything_goes() -> None:
    rates = Rates(None)
    for _ in range(1000):
        rates.take("a")


def test_memory_is_bounded() -> None:
    rates = Rates(1, Clock())
    for i in range(MOST_CLIENTS + 100):
        rates.take(str(i))
    assert len(rates._clients) == MOST_CLIENTS
