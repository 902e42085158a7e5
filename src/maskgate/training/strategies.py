"""How much of a started network learns, and when (Yosinski et al. 2014; Howard and Ruder 2018)."""

from __future__ import annotations

from enum import StrEnum

from maskgate.nets.classifier import FaceClassifier


class Strategy(StrEnum):
    """``FINETUNE`` lets everything learn; ``FROZEN`` only the linear layer, the backbone being fixed
    features (the paper's other use of transfer, Sec. III-B); ``GRADUAL`` begins with the linear
    layer and unfreezes a group of the backbone after the other, the last one first."""

    FINETUNE = "finetune"
    FROZEN = "frozen"
    GRADUAL = "gradual"


GRADUAL_SHARE = 0.5
"""Share of a gradual run's epochs after which everything learns."""


def frozen_stages(strategy: Strategy, stages: int, epoch: int, epochs: int) -> int:
    """How many of a backbone's ``stages`` groups are frozen in ``epoch``, counted from 0."""
    if strategy is Strategy.FINETUNE:
        return 0
    if strategy is Strategy.FROZEN:
        return stages
    done = epoch / max(GRADUAL_SHARE * epochs, 1)
    return max(stages - int(done * stages), 0)


def apply_strategy(net: FaceClassifier, strategy: Strategy, epoch: int, epochs: int) -> None:
    """Freezes what ``strategy`` freezes in ``epoch``."""
    stages: tuple[tuple[str, ...], ...] = net.backbone.stages  # type: ignore[assignment]
    net.freeze(frozen_stages(strategy, len(stages), epoch, epochs))
