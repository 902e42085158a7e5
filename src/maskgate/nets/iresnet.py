"""The residual network of InsightFace's face recognition, with its tensor names.

Improved residual units (Deng et al. 2019, *ArcFace*, Sec. 3.1; Han et al. 2017): batch normalisation
first and last, PReLU between, no activation after the sum, and the full map before the linear layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LAYERS: dict[str, tuple[int, int, int, int]] = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
}
EPSILON = 1e-5


class ImprovedBlock(nn.Module):
    """BN, conv 3×3, BN, PReLU, conv 3×3 (with the stride), BN, plus the shortcut."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inp, eps=EPSILON)
        self.conv1 = nn.Conv2d(inp, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out, eps=EPSILON)
        self.prelu = nn.PReLU(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out, eps=EPSILON)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inp != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out, eps=EPSILON)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        total: Tensor = y + (x if self.downsample is None else self.downsample(x))
        return total


class IResNet(nn.Module):
    """A 512-d face embedding, as InsightFace's ``backbone.pth`` makes it.

    Args:
        name: a key of :data:`LAYERS`.
        size: side of the input in pixels; published weights are for 112.
        dropout: before the linear layer, in [0, 1).

    Input ``(N, 3, size, size)`` float32, RGB from 0 to 255 (normalised inside to -1 to 1); output
    ``(N, 512)``.
    """

    def __init__(self, name: str = "iresnet50", size: int = 112, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=EPSILON)
        self.prelu = nn.PReLU(64)
        inp = 64
        for index, depth in enumerate(LAYERS[name]):
            out = 64 << index
            blocks = [ImprovedBlock(inp if i == 0 else out, out, 2 if i == 0 else 1) for i in range(depth)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
            inp = out
        self.bn2 = nn.BatchNorm2d(512, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        side = (size + 15) // 16
        self.fc = nn.Linear(512 * side * side, 512)
        self.features = nn.BatchNorm1d(512, eps=EPSILON)
        nn.init.constant_(self.features.weight, 1.0)
        self.features.weight.requires_grad_(False)  # as published: it would only scale the norm
        self.channels = 512
        self.stages = (
            ("conv1", "bn1", "prelu"), ("layer1",), ("layer2",), ("layer3",), ("layer4",),
            ("bn2", "fc", "features"),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1((x - 127.5) / 127.5)))
        for index in range(1, 5):
            x = self.get_submodule(f"layer{index}")(x)
        flat = torch.flatten(self.dropout(self.bn2(x)), 1)
        embedding: Tensor = self.features(self.fc(flat))
        return embedding
