from __future__ import annotations

import itertools

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from maskgate.nets.backbones import create_backbone
from maskgate.nets.classifier import FaceClassifier
from maskgate.training.strategies import Strategy, apply_strategy, frozen_stages


def test_gradual_by_hand() -> None:
    """Four groups over the first half of ten epochs: one more is freed after 1.25 epochs each."""
    frozen = [frozen_stages(Strategy.GRADUAL, 4, epoch, 10) for epoch in range(10)]
    assert frozen == [4, 4, 3, 2, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("stages", "epochs", "frozen"),
    [
        (5, 1, [5]),
        (3, 2, [3, 0]),
        (2, 8, [2, 2, 1, 1, 0, 0, 0, 0]),
        (6, 4, [6, 3, 0, 0]),  # fewer epochs than groups: several at a time
    ],
)
def test_other_gradual_runs(stages: int, epochs: int, frozen: list[int]) -> None:
    assert [frozen_stages(Strategy.GRADUAL, stages, e, epochs) for e in range(epochs)] == frozen


def test_what_learns_in_a_network() -> None:
    net = FaceClassifier(create_backbone("mobilenet025"))
    seen = []
    for epoch in range(6):
        apply_strategy(net, Strategy.GRADUAL, epoch, 6)
        parts = {
            n.removeprefix("backbone.").split(".")[0] for n, p in net.named_parameters() if p.requires_grad
        }
        seen.append(sorted(parts))
    everything = ["fc", "stage1", "stage2", "stage3"]
    assert seen == [["fc"], ["fc", "stage3"], ["fc", "stage2", "stage3"], *[everything] * 3]
    apply_strategy(net, Strategy.FROZEN, 5, 6)
    assert [n for n, p in net.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    apply_strategy(net, Strategy.FINETUNE, 0, 6)
    assert all(p.requires_grad for p in net.parameters())


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
