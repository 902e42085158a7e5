"""RetinaFace (Deng et al. 2019): backbone, feature pyramid, SSH context modules, three heads.

Tensor names follow Pytorch_Retinaface, so its ``Resnet50_Final.pth`` and
``mobilenet0.25_Final.pth`` and the many weights derived from them load with
:func:`load_published`. The two circulating activation variants (leaky ReLU with slope 0.1 where
the pyramid has 64 channels or fewer, plain ReLU throughout) differ in no tensor; the caller says
which one a file was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskgate.nets.mobilenet import MobileNetV1, conv_bn, conv_bn_linear
from maskgate.nets.resnet import ResNet, StridePlace

Backbone = Literal["mobilenet0.25", "resnet50"]

Widths = tuple[int, int, int]

WIDTHS: dict[str, Widths] = {"mobilenet0.25": (64, 32, 16), "resnet50": (256, 128, 64)}
"""Published numbers of channels: pyramid, context modules' 3×3 part, and each of their other two."""


class FeaturePyramid(nn.Module):
    """Top-down pyramid over three maps; merges at strides 16 and 8."""

    def __init__(self, inputs: tuple[int, int, int], width: int, slope: float) -> None:
        super().__init__()
        self.output1 = conv_bn(inputs[0], width, 1, slope, kernel=1)
        self.output2 = conv_bn(inputs[1], width, 1, slope, kernel=1)
        self.output3 = conv_bn(inputs[2], width, 1, slope, kernel=1)
        self.merge1 = conv_bn(width, width, 1, slope)
        self.merge2 = conv_bn(width, width, 1, slope)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        p3, p4, p5 = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        p4 = self.merge2(p4 + F.interpolate(p5, size=p4.shape[2:], mode="nearest"))
        p3 = self.merge1(p3 + F.interpolate(p4, size=p3.shape[2:], mode="nearest"))
        return p3, p4, p5


class ContextModule(nn.Module):
    """SSH context (Najibi et al. 2017): 3×3, 5×5 and 7×7 receptive fields side by side.

    Output channels: ``near`` of the first, ``wide`` of each of the others.
    """

    def __init__(self, inp: int, near: int, wide: int, slope: float) -> None:
        super().__init__()
        self.conv3X3 = conv_bn_linear(inp, near)
        self.conv5X5_1 = conv_bn(inp, wide, 1, slope)
        self.conv5X5_2 = conv_bn_linear(wide, wide)
        self.conv7X7_2 = conv_bn(wide, wide, 1, slope)
        self.conv7x7_3 = conv_bn_linear(wide, wide)

    def forward(self, x: Tensor) -> Tensor:
        half = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(half), self.conv7x7_3(self.conv7X7_2(half))]
        return torch.relu(torch.cat(parts, 1))


class Head(nn.Module):
    """A 1×1 convolution whose channels are ``anchors × width``, given back as ``(N, A, width)``."""

    def __init__(self, inp: int, width: int, anchors: int) -> None:
        super().__init__()
        self.width = width
        self.conv1x1 = nn.Conv2d(inp, anchors * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return y.reshape(y.shape[0], -1, self.width)


class RetinaFace(nn.Module):
    """The detector's network.

    Args:
        backbone: ``"mobilenet0.25"`` or ``"resnet50"``.
        leaky: published MobileNet weights exist in both variants; ResNet-50's pyramid has
            256 channels and always uses plain ReLU.
        stride_in: place of the stride in ResNet-50's bottlenecks.
        labels: classes that a face may have, 0 for a detector of faces alone.
        widths: channels as in :data:`WIDTHS`, where None the published ones.

    Input ``(N, 3, H, W)`` float32, BGR minus (104, 117, 123). Output ``(loc (N, A, 4),
    scores (N, A, 2), landmarks (N, A, 10))`` with scores before the softmax; anchors in the order
    of :func:`maskgate.detection.anchors.make_anchors`. With ``labels`` a fourth output ``(N, A, labels)``,
    before the softmax too: an anchor is background, or a face of one of the labels, with the probability
    P(face) P(label | face). So factored, a face of which nobody knows the label teaches the scores and
    leaves the labels alone, and the weights of a detector of faces keep their meaning.
    """

    anchors_per_cell = 2

    def __init__(
        self,
        backbone: Backbone = "mobilenet0.25",
        *,
        leaky: bool = False,
        stride_in: StridePlace = "conv2",
        labels: int = 0,
        widths: Widths | None = None,
    ) -> None:
        super().__init__()
        self.labels = labels
        self.body: MobileNetV1 | ResNet
        if backbone not in WIDTHS:
            raise ValueError(f"unknown backbone {backbone!r}")
        self.widths = width, near, wide = widths or WIDTHS[backbone]
        slope = 0.1 if leaky and backbone == "mobilenet0.25" else 0.0
        if backbone == "mobilenet0.25":
            self.body = MobileNetV1(8, slope)
        else:
            self.body = ResNet("resnet50", stride_in=stride_in)
        self.fpn = FeaturePyramid(self.body.channels, width, slope)
        self.ssh1, self.ssh2, self.ssh3 = (ContextModule(width, near, wide, slope) for _ in range(3))
        seen = near + 2 * wide
        n = self.anchors_per_cell
        self.ClassHead = nn.ModuleList(Head(seen, 2, n) for _ in range(3))
        self.BboxHead = nn.ModuleList(Head(seen, 4, n) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(Head(seen, 10, n) for _ in range(3))
        self.LabelHead = nn.ModuleList(Head(seen, labels, n) for _ in range(3 if labels else 0))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pyramid = self.fpn(self.body(x))
        maps = [ssh(p) for ssh, p in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]
        return tuple(
            torch.cat([head(m) for head, m in zip(heads, maps, strict=True)], 1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead, self.LabelHead)
            if len(heads)
        )


class ExportedRetinaFace(nn.Module):
    """The graph that ships: as the network, with scores after the softmax.

    Input and outputs have the layout of the commonly published ONNX files: ``input`` (N, 3, H, W);
    ``loc``, ``conf`` (softmax), ``landmarks``. A network with labels gives ``labels`` too, the softmax of
    its scores over ``temperature``.
    """

    def __init__(self, net: RetinaFace, temperature: float = 1.0) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        loc, scores, landmarks, *labels = self.net(x)
        judged = [(own / self.temperature).softmax(-1) for own in labels]
        return (loc, scores.softmax(-1), landmarks, *judged)


def load_published(net: RetinaFace, state: Mapping[str, Tensor], *, new: tuple[str, ...] = ()) -> None:
    """Loads a state dict with Pytorch_Retinaface's names into ``net``.

    A ``module.`` prefix (DataParallel) and an ImageNet head (``body.fc``) are dropped. What begins with
    one of ``new`` may be missing and then stays as it is. Raises ``KeyError`` naming the first tensors that
    are missing or have the wrong shape.
    """
    clean = {k.removeprefix("module."): v for k, v in state.items()}
    clean = {k: v for k, v in clean.items() if not k.startswith("body.fc.")}
    own = net.state_dict()
    needed = [k for k in own if not k.endswith("num_batches_tracked") and not k.startswith(new)]
    missing = [k for k in needed if k not in clean]
    wrong = [k for k in own if k in clean and clean[k].shape != own[k].shape]
    if missing or wrong:
        raise KeyError(f"state dict does not fit RetinaFace: {(missing + wrong)[:4]}")
    net.load_state_dict({k: clean.get(k, v) for k, v in own.items()})


__all__ = ["WIDTHS", "Backbone", "ExportedRetinaFace", "RetinaFace", "Widths", "load_published"]
