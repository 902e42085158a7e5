"""The sender's clock tied to ours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from maskgate.streams.clocks import StreamClock


def test_steps_are_the_senders_whatever_the_network_does() -> None:
    clock = StreamClock()
    delays = 0.02 + np.random.default_rng(0).exponential(0.1, 200)
    stamps = 5000 + np.arange(200) / 25
    times = [clock.time_of(s, 1e9 + s - 5000 + d) for s, d in zip(stamps, delays, strict=True)]
    # once a picture has come without much delay, all further ones are where they belong
    assert np.diff(times)[100:] == pytest.approx(0.04, abs=0.002)
    assert times[-1] - 1e9 == pytest.approx(199 / 25 + 0.02, abs=0.01)


@pytest.mark.parametrize("jump", [-1000.0, 1000.0, 7.0, -7.0])
def test_stamps_that_jump(jump: float) -> None:
    clock = StreamClock()
    times = [clock.time_of(i / 10 + (jump if i >= 50 else 0), 1e9 + i / 10) for i in range(100)]
    assert all(b > a for a, b in pairwise(times))
    assert times[-1] == pytest.approx(1e9 + 9.9, abs=0.1)


def test_a_sender_that_counts_too_slowly_is_never_far_behind() -> None:
    clock = StreamClock()
    for i in range(1000):
        assert 1e9 + i / 10 - 3.1 <= clock.time_of(i / 25, 1e9 + i / 10) <= 1e9 + i / 10


def test_without_stamps_it_is_our_time() -> None:
    assert StreamClock().time_of(None, 1e9 + 5) == 1e9 + 5


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_clocks_that_drift_apart_over_a_day(drift: float) -> None:
    clock = StreamClock()
    random = np.random.default_rng(0)
    last = None
    for second in range(86_400):
        now = 1e9 + second + float(random.exponential(0.05))
        taken = clock.time_of(second * (1 - drift), now)
        assert 0 <= now - taken < 1
        assert last is None or 0.8 < taken - last < 1.2, "no step is longer than those of the sender"
        last = taken
