"""The light residual network whose weights dlib published for face recognition (CC0).

29 convolutions without batch normalisation: each convolution is followed by a per-channel scale
and shift. Tensor names follow the safetensors file that holds those weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (channels, halves the map) of the 14 residual blocks
BLOCKS: tuple[tuple[int, bool], ...] = (
    *((32, False),) * 3,
    (64, True), *((64, False),) * 3,
    (128, True), *((128, False),) * 2,
    (256, True), *((256, False),) * 2,
    (256, True),
)  # fmt: skip
MEAN = (122.782, 117.001, 104.298)
SCALE = 1 / 256


class Affine(nn.Module):
    """Per-channel scale and shift: a folded batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class FaceBlock(nn.Module):
    """conv 3×3, affine, ReLU, conv 3×3, affine, plus the shortcut.

    Where the block halves the map, its first convolution has stride 2 and no padding, the shortcut
    is a 2×2 average, and both are zero-padded to the larger size and channel count.
    """

    def __init__(self, inp: int, out: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(inp, out, 3, 2 if down else 1, 0 if down else 1)
        self.aff1 = Affine(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.aff2 = Affine(out)
        self.grow = out - inp

    def forward(self, x: Tensor) -> Tensor:
        y = self.aff2(self.conv2(torch.relu(self.aff1(self.conv1(x)))))
        if self.down:
            x = F.avg_pool2d(x, 2, 2)
            h, w = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
            x = F.pad(x, (0, w - x.shape[3], 0, h - x.shape[2], 0, self.grow))
            y = F.pad(y, (0, w - y.shape[3], 0, h - y.shape[2]))
        return torch.relu(x + y)


class FaceResNet(nn.Module):
    """Features of an aligned face.

    Args:
        blocks: residual blocks, the first so many of :data:`BLOCKS`.
        embedding: with the original's last layer, which makes a 128-d embedding of the features of
            all 14 blocks.

    Input ``(N, 3, S, S)`` float32, RGB from 0 to 255 (normalised inside); output
    ``(N, channels)``. The original takes S = 150. S must be at least 103 with all of
    :data:`BLOCKS` and 55 without the last one: a block that halves the map needs three pixels of
    it.
    """

    def __init__(self, blocks: Sequence[tuple[int, bool]] = BLOCKS, embedding: bool = False) -> None:
        super().__init__()
        # one dimension: as the only buffer, one of four in channels-last order cannot be broadcast to
        # the other processes of a training
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.conv1 = nn.Conv2d(3, 32, 7, 2)
        self.aff1 = Affine(32)
        inp, layers = 32, []
        for out, down in blocks:
            layers.append(FaceBlock(inp, out, down))
            inp = out
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(inp, 128, bias=False) if embedding else None
        self.channels = 128 if embedding else inp
        downs = [i for i, (_, down) in enumerate(blocks) if down]
        edges = [0, *downs, len(blocks)]
        spans = [[f"blocks.{i}" for i in range(a, b)] for a, b in itertools.pairwise(edges)]
        self.stages = (("conv1", "aff1"), *map(tuple, spans))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.get_buffer("mean")[:, None, None]
        x = torch.relu(self.aff1(self.conv1((x - mean) * SCALE)))
        x = F.max_pool2d(x, 3, 2)
        pooled: Tensor = self.blocks(x).mean((2, 3))
        return pooled if self.fc is None else torch.as_tensor(self.fc(pooled))
