"""Residual networks with torchvision's tensor names (He et al. 2015, *Deep Residual Learning*)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

StridePlace = Literal["conv1", "conv2"]

LAYERS: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
}


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inp: int, width: int, stride: int, stride_in: StridePlace) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inp, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inp, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions and a shortcut.

    ``stride_in`` says which convolution carries the stride: torchvision's weights have it in
    ``conv2``; the original (and Keras-born) weights in ``conv1``.
    """

    expansion = 4

    def __init__(self, inp: int, width: int, stride: int, stride_in: StridePlace) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in == "conv1" else (1, stride)
        out = width * self.expansion
        self.conv1 = nn.Conv2d(inp, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(inp, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inp: int, out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inp == out:
        return None
    return nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """ResNet-18/34/50: features at strides 8, 16, 32 or class scores.

    Args:
        name: a key of :data:`LAYERS`.
        classes: outputs of the final linear layer; 0 leaves the head out.
        stride_in: place of the stride in bottleneck blocks.

    ``features(x)`` gives the maps of layer2, layer3 and layer4; ``forward`` gives ``(N, classes)``
    scores, or the three maps where there is no head.
    """

    def __init__(self, name: str = "resnet50", classes: int = 0, stride_in: StridePlace = "conv2") -> None:
        super().__init__()
        kind, depths = LAYERS[name]
        block: type[BasicBlock | Bottleneck] = BasicBlock if kind == "basic" else Bottleneck
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inp = 64
        for index, depth in enumerate(depths):
            width = 64 << index
            blocks: list[nn.Module] = []
            for i in range(depth):
                blocks.append(block(inp, width, 2 if index and i == 0 else 1, stride_in))
                inp = width * block.expansion
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        e = block.expansion
        self.channels = (128 * e, 256 * e, 512 * e)
        self.fc = nn.Linear(512 * e, classes) if classes else None

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        c3 = self.get_submodule("layer2")(self.get_submodule("layer1")(x))
        c4 = self.get_submodule("layer3")(c3)
        return c3, c4, self.get_submodule("layer4")(c4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        maps = self.features(x)
        if self.fc is None:
            return maps
        scores: Tensor = self.fc(maps[2].mean((2, 3)))
        return scores
