"""How long methods take: runs interleaved on the same pictures, so that what else the machine does falls on
all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from maskgate.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class SpeedSettings:
    """``[speed]`` of a comparison's recipe.

    Attributes:
        pictures: that are looked at, and as many given faces; drawn by lot.
        rounds: each of them by each method.
    """

    pictures: int = 40
    rounds: int = 5

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.rounds < 1:
            raise DataError("[speed] wants at least one picture and one round")


def median_milliseconds(
    methods: Mapping[str, Callable[[T], object]], items: Sequence[T], rounds: int, *,
    clock: Callable[[], float] = time.perf_counter, what: str = "speed",
) -> dict[str, float]:  # fmt: skip
    """Median time that each method takes for an item, over all items and rounds.

    The methods take turns at each item, each time another one first; what they do at the first item before
    the clock runs warms them up.

    Args:
        methods: by name; each does its work on an item.
        items: at least one.
        rounds: over all items, at least one.
        clock: seconds.
        what: is said beside the progress bar.
    """
    for work in methods.values():
        work(items[0])
    names = list(methods)
    times: dict[str, list[float]] = {name: [] for name in names}
    turns = [(r, i) for r in range(rounds) for i in range(len(items))]
    for r, i in tqdm(turns, desc=what, mininterval=5):
        shift = (r + i) % len(names)
        for name in names[shift:] + names[:shift]:
            began = clock()
            methods[name](items[i])
            times[name].append(1e3 * (clock() - began))
    return {name: float(np.median(values)) for name, values in times.items()}
