"""Inception-ResNet-v1 (Szegedy et al. 2016), as FaceNet embeds faces with it (Schroff et al. 2015).

Tensor names follow facenet-pytorch. Published weights have 128 or 512 numbers an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3
"""Of all batch normalisations."""

SIZE = 160
"""Side in pixels of the faces that the published weights learnt from."""

_SCALE = ".scale"

Kernel = int | tuple[int, int]


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inp: int, out: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Paths over the same map, side by side: ``branch0``, ``branch1`` …, joined by channels."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(branches)
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)

    def joined(self, x: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self.count)], 1)


class Reduction(Branches):
    """Halves the map: the branches' last layers have a stride of 2."""

    def forward(self, x: Tensor) -> Tensor:
        return self.joined(x)


class InceptionBlock(Branches):
    """Branches, a 1×1 convolution back to the input's channels, scaled and added to the input.

    Args:
        width: channels of the input.
        inner: channels of the branches together.
        scale: of what is added.
        active: ends with a ReLU.
    """

    def __init__(
        self, width: int, inner: int, branches: Sequence[nn.Module], scale: float, active: bool = True
    ) -> None:
        super().__init__(branches)
        self.conv2d = nn.Conv2d(inner, width, 1)
        self.scale = scale
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        total = self.conv2d(self.joined(x)) * self.scale + x
        return torch.relu(total) if self.active else total


def _block_a() -> InceptionBlock:
    return InceptionBlock(256, 96, [
        ConvUnit(256, 32, 1),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, 1, 1)),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, 1, 1), ConvUnit(32, 32, 3, 1, 1)),
    ], 0.17)  # fmt: skip


def _block_b() -> InceptionBlock:
    return InceptionBlock(896, 256, [
        ConvUnit(896, 128, 1),
        nn.Sequential(
            ConvUnit(896, 128, 1),
            ConvUnit(128, 128, (1, 7), 1, (0, 3)),
            ConvUnit(128, 128, (7, 1), 1, (3, 0)),
        ),
    ], 0.1)  # fmt: skip


def _block_c(scale: float = 0.2, active: bool = True) -> InceptionBlock:
    return InceptionBlock(1792, 384, [
        ConvUnit(1792, 192, 1),
        nn.Sequential(
            ConvUnit(1792, 192, 1),
            ConvUnit(192, 192, (1, 3), 1, (0, 1)),
            ConvUnit(192, 192, (3, 1), 1, (1, 0)),
        ),
    ], scale, active)  # fmt: skip


class InceptionResNetV1(nn.Module):
    """FaceNet's network: faces to unit vectors.

    Args:
        embedding: numbers of a vector.

    Input ``(N, 3, S, S)`` float32 RGB, whitened (:func:`whiten`), S at least 75; output
    ``(N, embedding)`` of length 1.
    """

    def __init__(self, embedding: int = 128) -> None:
        super().__init__()
        self.conv2d_1a = ConvUnit(3, 32, 3, 2)
        self.conv2d_2a = ConvUnit(32, 32, 3)
        self.conv2d_2b = ConvUnit(32, 64, 3, 1, 1)
        self.conv2d_3b = ConvUnit(64, 80, 1)
        self.conv2d_4a = ConvUnit(80, 192, 3)
        self.conv2d_4b = ConvUnit(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block_a() for _ in range(5)))
        self.mixed_6a = Reduction([
            ConvUnit(256, 384, 3, 2),
            nn.Sequential(ConvUnit(256, 192, 1), ConvUnit(192, 192, 3, 1, 1), ConvUnit(192, 256, 3, 2)),
            nn.MaxPool2d(3, 2),
        ])  # fmt: skip
        self.repeat_2 = nn.Sequential(*(_block_b() for _ in range(10)))
        self.mixed_7a = Reduction([
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 384, 3, 2)),
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, 2)),
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, 1, 1), ConvUnit(256, 256, 3, 2)),
            nn.MaxPool2d(3, 2),
        ])  # fmt: skip
        self.repeat_3 = nn.Sequential(*(_block_c() for _ in range(5)))
        self.block8 = _block_c(1.0, active=False)
        self.last_linear = nn.Linear(1792, embedding, bias=False)
        self.last_bn = nn.BatchNorm1d(embedding, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_3b(F.max_pool2d(x, 3, 2))
        x = self.conv2d_4b(self.conv2d_4a(x))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        x = self.last_bn(self.last_linear(x.mean((2, 3))))
        return F.normalize(x, dim=1)


def whiten(x: Tensor) -> Tensor:
    """Each picture of ``(N, 3, H, W)`` minus its mean, over its deviation, all channels together.

    The deviation counts as at least one over the root of the number of values: a plain picture is no
    noise to be amplified (Sandberg's FaceNet has it so).
    """
    centred = x - x.mean((1, 2, 3), keepdim=True)
    deviation = (centred**2).mean((1, 2, 3), keepdim=True).sqrt()
    least = (x.shape[1] * x.shape[2] * x.shape[3]) ** -0.5
    return centred / deviation.clamp(min=least)


class ExportedFaceNet(nn.Module):
    """The graph that runs: ``(N, S, S, 3)`` uint8 RGB to ``(N, embedding)`` unit vectors."""

    def __init__(self, net: InceptionResNetV1) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        embedding: Tensor = self.net(whiten(crops.permute(0, 3, 1, 2).float()))
        return embedding


def unpacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with those that are kept as int8 as float32: each output channel times its factor in
    ``<name>.scale``."""
    plain: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in state:
            continue
        factor = state.get(name + _SCALE)
        if factor is not None:
            value = value.float() * factor.float().reshape(-1, *(1,) * (value.ndim - 1))
        plain[name] = value
    return plain


def load_published(state: Mapping[str, Tensor]) -> InceptionResNetV1:
    """The network of a state dict, in evaluation mode; its tensors may be int8, see :func:`unpacked`.

    A class head (``logits``) is dropped. Raises ``KeyError`` naming the first tensors that are missing
    or have the wrong shape.
    """
    plain = unpacked(state)
    last = plain.get("last_linear.weight")
    net = InceptionResNetV1(128 if last is None else len(last))
    own = net.state_dict()
    missing = [k for k in own if k not in plain and not k.endswith("num_batches_tracked")]
    wrong = [k for k in own if k in plain and plain[k].shape != own[k].shape]
    if missing or wrong:
        raise KeyError(f"state dict does not fit Inception-ResNet-v1: {(missing + wrong)[:4]}")
    net.load_state_dict({k: plain.get(k, v) for k, v in own.items()})
    return net.eval()
