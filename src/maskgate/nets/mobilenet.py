"""MobileNetV1 with a width multiplier, as RetinaFace's small backbone.

Tensor names follow Pytorch_Retinaface's ``body`` so that published state dicts load unchanged.
"""

from __future__ import annotations

from torch import Tensor, nn


def activation(slope: float) -> nn.Module:
    """Leaky ReLU with ``slope`` in [0, 1), or plain ReLU where it is 0."""
    return nn.LeakyReLU(slope, inplace=True) if slope > 0 else nn.ReLU(inplace=True)


def conv_bn(inp: int, out: int, stride: int = 1, slope: float = 0.0, kernel: int = 3) -> nn.Sequential:
    """Convolution (padding ``kernel // 2``), batch normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(inp, out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        activation(slope),
    )


def conv_bn_linear(inp: int, out: int) -> nn.Sequential:
    """3×3 convolution and batch normalisation without an activation."""
    return nn.Sequential(nn.Conv2d(inp, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))


def separable(inp: int, out: int, stride: int, slope: float) -> nn.Sequential:
    """Depthwise 3×3 followed by pointwise 1×1, each with batch normalisation and activation."""
    return nn.Sequential(
        nn.Conv2d(inp, inp, 3, stride, 1, groups=inp, bias=False),
        nn.BatchNorm2d(inp),
        activation(slope),
        nn.Conv2d(inp, out, 1, 1, 0, bias=False),
        nn.BatchNorm2d(out),
        activation(slope),
    )


class MobileNetV1(nn.Module):
    """MobileNetV1 features at strides 8, 16 and 32.

    Args:
        base: channels of the first convolution (8 for width 0.25, 32 for width 1).
        slope: negative slope of the activations; the published detectors use 0.1 (leaky) or 0.

    Input ``(N, 3, H, W)`` float; output three maps with ``8, 16 and 32 × base`` channels.
    """

    def __init__(self, base: int = 8, slope: float = 0.0) -> None:
        super().__init__()
        b = base
        self.channels = (8 * b, 16 * b, 32 * b)
        self.stage1 = nn.Sequential(
            conv_bn(3, b, 2, slope),
            separable(b, 2 * b, 1, slope),
            separable(2 * b, 4 * b, 2, slope),
            separable(4 * b, 4 * b, 1, slope),
            separable(4 * b, 8 * b, 2, slope),
            separable(8 * b, 8 * b, 1, slope),
        )
        self.stage2 = nn.Sequential(
            separable(8 * b, 16 * b, 2, slope),
            *(separable(16 * b, 16 * b, 1, slope) for _ in range(5)),
        )
        self.stage3 = nn.Sequential(
            separable(16 * b, 32 * b, 2, slope),
            separable(32 * b, 32 * b, 1, slope),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return c3, c4, self.stage3(c4)
