"""Feature extractors by name: everything that a classifier or an embedding can be built on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from maskgate.errors import InputError
from maskgate.nets.face_resnet import BLOCKS, FaceResNet
from maskgate.nets.iresnet import LAYERS as IRESNETS
from maskgate.nets.iresnet import IResNet
from maskgate.nets.mobilenet import MobileNetV1
from maskgate.nets.resnet import LAYERS as RESNETS
from maskgate.nets.resnet import ResNet, StridePlace

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Backbone(Protocol):
    """A module from ``(N, 3, S, S)`` float32 RGB in 0 to 255 to ``(N, channels)`` features.

    Attributes:
        channels: length of the features.
        stages: names of the submodules from the input to the output, in groups that are unfrozen
            together.
    """

    channels: int
    stages: tuple[tuple[str, ...], ...]


class _ImageNetNormalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        mean, deviation = (
            torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (IMAGENET_MEAN, IMAGENET_DEVIATION)
        )
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        normalised: Tensor = (x - self.get_buffer("mean")) / self.get_buffer("deviation")
        return normalised


class ResNetFeatures(_ImageNetNormalised):
    """A ResNet (torchvision's tensor names), whole or cut after an earlier layer, pooled.

    ``layers`` from 1 to 4 are kept: after layer2 or layer3 it is a light network that still has an
    ImageNet start.
    """

    def __init__(self, name: str, layers: int = 4, stride_in: StridePlace = "conv2") -> None:
        super().__init__()
        net = ResNet(name, stride_in=stride_in)
        self.conv1, self.bn1, self.maxpool = net.conv1, net.bn1, net.maxpool
        self.names = tuple(f"layer{i + 1}" for i in range(layers))
        for layer in self.names:
            setattr(self, layer, net.get_submodule(layer))
        self.channels = net.channels[-1] >> (4 - layers)
        self.stages = (("conv1", "bn1"), *((layer,) for layer in self.names))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(self.normalise(x)))))
        for layer in self.names:
            x = self.get_submodule(layer)(x)
        return x.mean((2, 3))


class MobileNetFeatures(_ImageNetNormalised):
    """MobileNetV1×0.25, pooled: 256 features."""

    def __init__(self) -> None:
        super().__init__()
        net = MobileNetV1()
        self.stage1, self.stage2, self.stage3 = net.stage1, net.stage2, net.stage3
        self.channels = net.channels[-1]
        self.stages = (("stage1",), ("stage2",), ("stage3",))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stage3(self.stage2(self.stage1(self.normalise(x))))
        return y.mean((2, 3))


def _factories() -> dict[str, Callable[[int, StridePlace], nn.Module]]:
    table: dict[str, Callable[[int, StridePlace], nn.Module]] = {}
    for depth in range(3, len(BLOCKS) + 1):
        table[f"face-resnet{depth}"] = lambda size, stride, n=depth: FaceResNet(BLOCKS[:n])  # type: ignore[misc]
    for name in RESNETS:
        table[name] = lambda size, stride, n=name: ResNetFeatures(n, 4, stride)  # type: ignore[misc]
        for cut in (2, 3):
            table[f"{name}-layer{cut}"] = lambda size, stride, n=name, c=cut: ResNetFeatures(n, c, stride)  # type: ignore[misc]
    for name in IRESNETS:
        table[name] = lambda size, stride, n=name: IResNet(n, size)  # type: ignore[misc]
    table["mobilenet025"] = lambda size, stride: MobileNetFeatures()
    return table


_FACTORIES = _factories()
ARCHITECTURES = tuple(_FACTORIES)
"""All names that :func:`create_backbone` knows."""


def create_backbone(architecture: str, size: int = 112, stride_in: StridePlace = "conv2") -> nn.Module:
    """A fresh :class:`Backbone` with random weights.

    Args:
        architecture: one of :data:`ARCHITECTURES`; ``face-resnet11`` has the first eleven blocks.
        size: side of the input; only the ``iresnet`` networks are made for one size.
        stride_in: for ResNet-50, which convolution of a block carries the stride: it goes with the
            weights.

    Raises :class:`~maskgate.errors.InputError` on an unknown name.
    """
    if architecture not in _FACTORIES:
        raise InputError(f"there is no architecture {architecture!r}; known are {', '.join(ARCHITECTURES)}")
    return _FACTORIES[architecture](size, stride_in)
