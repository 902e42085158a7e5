from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.nets.mobilenet import MobileNetV1, activation, conv_bn, separable  # noqa: E402


@pytest.mark.parametrize("size", [(64, 96), (65, 33), (32, 32)])
def test_maps_at_three_strides(size: tuple[int, int]) -> None:
    net = MobileNetV1(8).eval()
    maps = net(torch.zeros(2, 3, *size))
    for features, channels, stride in zip(maps, (64, 128, 256), (8, 16, 32), strict=True):
        assert features.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_parameters_by_hand() -> None:
    """Of a quarter's width: convolutions without bias, two numbers a channel for each normalisation."""
    wanted = 3 * 8 * 9 + 2 * 8
    channels = [8, 16, 32, 32, 64, 64] + [128] * 6 + [256] * 2
    for inp, out in pairwise(channels):
        wanted += 9 * inp + 2 * inp + inp * out + 2 * out
    assert sum(p.numel() for p in MobileNetV1(8).parameters()) == wanted


def test_depthwise_part_does_not_mix_channels() -> None:
    torch.manual_seed(0)
    block = separable(4, 6, 1, 0.0)
    x = torch.randn(1, 4, 7, 7)
    y = block[0](x)
    x[:, 2] += 1
    assert (block[0](x) != y).any((0, 2, 3)).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("slope", "wanted"), [(0.0, 0.0), (0.1, -0.2)])
def test_activation(slope: float, wanted: float) -> None:
    assert activation(slope)(torch.tensor([-2.0, 3.0])).tolist() == pytest.approx([wanted, 3])


def test_convolution_keeps_the_size() -> None:
    for kernel in (1, 3):
        layers = conv_bn(3, 5, kernel=kernel)
        assert layers(torch.zeros(1, 3, 9, 11)).shape == (1, 5, 9, 11)
        assert isinstance(layers[1], nn.BatchNorm2d)
        assert layers[0].bias is None
