from __future__ import annotations

import pytest

from maskgate.errors import DataError
from maskgate.studies.speed import SpeedSettings, median_milliseconds


def test_medians_of_turns() -> None:
    """The clock goes on by what each method costs for an item; every method comes first equally often."""
    now, order = 0.0, []

    def work(name: str, costs: dict[str, float]) -> object:
        def run(item: str) -> None:
            nonlocal now
            order.append((item, name))
            now += costs[item]

        return run

    methods = {"slow": work("slow", {"a": 0.1, "b": 0.3}), "fast": work("fast", {"a": 0.01, "b": 0.02})}
    medians = median_milliseconds(methods, ["a", "b"], 2, clock=lambda: now)  # type: ignore[arg-type]
    assert medians == {"slow": pytest.approx(200), "fast": pytest.approx(15)}
    assert order[:2] == [("a", "slow"), ("a", "fast")]  # to warm up
    turns = [tuple(order[i : i + 2]) for i in range(2, len(order), 2)]
    assert [{name for _, name in turn} for turn in turns] == [{"slow", "fast"}] * 4
    assert [turn[0] for turn in turns] == [("a", "slow"), ("b", "fast"), ("a", "fast"), ("b", "slow")]


def test_no_pictures_or_rounds() -> None:
    with pytest.raises(DataError, match="at least one"):
        SpeedSettings(pictures=0)
