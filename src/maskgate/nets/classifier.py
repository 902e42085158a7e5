"""A linear layer over a backbone (paper, Sec. III-B, Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


class FaceClassifier(nn.Module):
    """Class scores of aligned faces.

    Args:
        backbone: see :class:`~maskgate.nets.backbones.Backbone`.
        classes: outputs of the linear layer.
        dropout: on the features, in [0, 1).

    Input ``(N, 3, S, S)`` float32, RGB from 0 to 255; output ``(N, classes)`` scores before the
    softmax.
    """

    def __init__(self, backbone: nn.Module, classes: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        channels: int = backbone.channels  # type: ignore[assignment]
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
        self._frozen: frozenset[str] = frozenset()
        # what the backbone itself never lets learn
        self._fixed = {p for p in backbone.parameters() if not p.requires_grad}

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.dropout(self.backbone(x)))
        return scores

    def freeze(self, stages: int) -> None:
        """Keeps the first ``stages`` groups of the backbone as they are, and lets all others learn.

        Normalisation inside a frozen group also keeps its statistics.
        """
        groups: Iterable[tuple[str, ...]] = self.backbone.stages  # type: ignore[assignment]
        self._frozen = frozenset(name for group in list(groups)[:stages] for name in group)
        for group in groups:
            for name in group:
                for parameter in self.backbone.get_submodule(name).parameters():
                    parameter.requires_grad_(name not in self._frozen and parameter not in self._fixed)
        self.train(self.training)

    def train(self, mode: bool = True) -> FaceClassifier:
        """As usual, except that frozen groups stay in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.backbone.get_submodule(name).eval()
        return self
