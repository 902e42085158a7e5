from __future__ import annotations

import itertools

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from maskgate.training.strategies import Strategy, frozen_stages


def test_gradual_by_hand() -> None:
    """Four groups over the first half of ten epochs: one more is freed after 1.25 epochs each."""
    frozen = [frozen_stages(Strategy.GRADUAL, 4, epoch, 10) for epoch in range(10)]
    assert frozen == [4, 4, 3, 2, 1, 0, 0, 0, 0, 0]


@given(st.integers(1, 9), st.integers(1, 40))
def test_strategies(stages: int, epochs: int) -> None:
    gradual = [frozen_stages(Strategy.GRADUAL, stages, e, epochs) for e in range(epochs)]
    assert gradual[0] == stages  # the linear layer alone comes first
    assert all(a >= b >= 0 for a, b in itertools.pairwise(gradual))
    if epochs > 2:
        assert gradual[-1] == 0
    for e in range(epochs):
        assert frozen_stages(Strategy.FINETUNE, stages, e, epochs) == 0
        assert frozen_stages(Strategy.FROZEN, stages, e, epochs) == stages
