"""Three small networks in sequence that find masked faces, after Bu et al. 2017.

"A cascade framework for masked face detection" has three convolutional networks, Mask-1, Mask-2 and
Mask-3: each looks at the windows that the one before lets through, larger each time, and the first one
is fully convolutional, so that it sees all windows of a picture at once. Its authors trained them on
faces in general first and then on a set of masked faces of their own, which is not public. The tables
of layers were not at hand; the networks here are our choice within that plan:

- windows of 12, 24 and 48 pixels, as the cascades that the plan goes back to (Li et al. 2015, Zhang et
  al. 2016), whose networks these resemble in depth and width;
- batch normalisation and ReLU after each convolution, no padding anywhere: a window's answer depends on
  its own pixels alone, and the first network over a picture equals the first network over its windows;
- each network answers with one score, of a masked face, and four offsets from its window's edges to
  those of the face.

All take pixel values from 0 to 255 as RGB and bring them to about -1 to 1 themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

DROPOUT = 0.25
"""Before the last layer of Mask-2 and Mask-3."""


class Stage(nn.Module):
    """What the three have in common.

    Input ``(N, 3, H, W)`` float32 pixel values. Output: scores before the sigmoid, ``(N,)``, or
    ``(N, h, w)`` of Mask-1; and offsets in sides of the window, ``(N, 4)`` or ``(N, h, w, 4)``.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        answers: Tensor = self.body((x - 127.5) / 128)
        if answers.ndim == 4:
            answers = answers.permute(0, 2, 3, 1)
        return answers[..., 0], answers[..., 1:]


class Mask1(Stage):
    """The proposal stage, fully convolutional: h = (H - 12) // 2 + 1 rows of windows, w likewise."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(
                *_convolution(3, 12), nn.MaxPool2d(2), *_convolution(12, 16), *_convolution(16, 32),
                nn.Conv2d(32, 5, 1),
            )
        )  # fmt: skip


class Mask2(Stage):
    """The refinement stage, over windows of 24 pixels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(
                *_convolution(3, 28), nn.MaxPool2d(2), *_convolution(28, 48), nn.MaxPool2d(3, 2),
                *_convolution(48, 64, 2), *_head(64 * 9, 128),
            )
        )  # fmt: skip


class Mask3(Stage):
    """The final stage, over windows of 48 pixels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(
                *_convolution(3, 32), nn.MaxPool2d(2), *_convolution(32, 64), nn.MaxPool2d(3, 2),
                *_convolution(64, 64), nn.MaxPool2d(2), *_convolution(64, 128, 2), *_head(128 * 9, 256),
            )
        )  # fmt: skip


STAGES: tuple[Callable[[], Stage], ...] = (Mask1, Mask2, Mask3)
"""In order."""


class ExportedStage(nn.Module):
    """The graph that ships: ``(N, H, W, 3)`` uint8 RGB to scores in [0, 1] and offsets."""

    def __init__(self, net: Stage) -> None:
        super().__init__()
        self.net = net

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = self.net(windows.permute(0, 3, 1, 2).float())
        return torch.sigmoid(scores), offsets


def _convolution(inputs: int, outputs: int, kernel: int = 3) -> Sequence[nn.Module]:
    return (
        nn.Conv2d(inputs, outputs, kernel, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    )  # fmt: skip


def _head(inputs: int, width: int) -> Sequence[nn.Module]:
    return (
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Dropout(DROPOUT),
        nn.Linear(width, 5),
    )  # fmt: skip
