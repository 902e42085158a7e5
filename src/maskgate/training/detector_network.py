"""The network that a detector's recipe names, filled from its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskgate.errors import DataError
from maskgate.nets.backbones import IMAGENET_DEVIATION
from maskgate.nets.mobilenet import MobileNetV1
from maskgate.nets.retinaface import WIDTHS, RetinaFace, Widths, load_published
from maskgate.training.detector_pruning import prune
from maskgate.training.export import Storage
from maskgate.training.exported_start import (
    Convolution,
    load_convolutions,
    read_convolutions,
    restore_norms,
)
from maskgate.training.recipe import build
from maskgate.training.starts import EXPORTED, Start, find_start, load_start, read_state

NEW_PARTS = ("fpn.", "ssh", "BboxHead.", "ClassHead.", "LandmarkHead.")
"""What a backbone's weights do not have: it may learn at a rate of its own (``head_rate``)."""


@dataclass(frozen=True)
class DetectorNetwork:
    """The fields of a recipe that name the network.

    Attributes:
        start: ``scratch``, a name of the recipe's ``[starts]``, or a file: a detector's state dict or
            exported file, or a backbone's state dict, whose ImageNet normalisation is taken into account.
        backbone: ``mobilenet0.25`` or ``resnet50``.
        widths: channels of the pyramid, of a context module's 3×3 part and of each of its others; the
            published ones where left out. A detector to start from may have more: it is pruned.
        frozen: parts that do not learn, by the beginning of their tensors' names.
        storage: of the weights in ``model.onnx``.
        arithmetic: of ``model.onnx``: ``float32``, or ``int8``, which is faster on most processors;
            ``model.float32.onnx`` then lies beside it.
    """

    start: str
    backbone: str = "mobilenet0.25"
    widths: tuple[int, ...] = ()
    frozen: tuple[str, ...] = ()
    storage: Storage = "float32"
    arithmetic: Literal["float32", "int8"] = "float32"

    def __post_init__(self) -> None:
        if self.backbone not in WIDTHS:
            known = ", ".join(WIDTHS)
            raise DataError(f"there is no backbone {self.backbone!r} of a detector; known are {known}")
        if self.widths and (len(self.widths) != 3 or min(self.widths) < 1):
            raise DataError(f"widths are {self.widths}; give three numbers of channels")

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> DetectorNetwork:
        """From a recipe's table. Raises :class:`~maskgate.errors.DataError` naming the field."""
        names = cls.__dataclass_fields__
        return build(cls, {k: recipe[k] for k in names if k in recipe}, "the detector's recipe")


def create_network(
    network: DetectorNetwork, starts: Mapping[str, Any], weights: Sequence[Path], seed: int,
    inputs: Callable[[], Sequence[Tensor]],
) -> RetinaFace:  # fmt: skip
    """The network of a recipe.

    Args:
        starts: the recipe's ``[starts]``.
        weights: folders that the start is looked for in.
        seed: of what is random.
        inputs: makes batches ``(N, 3, H, W)`` of training pictures; asked where the start is an exported
            file (:mod:`~maskgate.training.exported_start`).

    Raises :class:`~maskgate.errors.DataError` where there is no such start, or it is of another network.
    """
    start, file = find_start(network.start, starts, weights, network.backbone)
    torch.manual_seed(seed)
    widths = _widths(network)
    net = _net(network, start, widths)
    if file is None:
        return net
    if file.suffix == EXPORTED:
        convolutions = read_convolutions(file)
        whole = _net(network, start, _exported_widths(convolutions, net) or widths)
        load_convolutions(whole, convolutions, file)
        restore_norms(whole, inputs())
        net.load_state_dict(prune(whole.state_dict(), widths))
        return net
    state = read_state(file)
    if not any(name.startswith("BboxHead.") for name in state):
        load_start(net.body, file)
        _take_our_input(net.body)
        return net
    try:
        load_published(net, prune(state, widths))
    except KeyError as error:
        raise DataError(f"{file} is no start for {network.backbone}: {error.args[0]}") from error
    return net


def _exported_widths(convolutions: Sequence[Convolution], net: RetinaFace) -> Widths | None:
    """The channels of an exported detector with the backbone of ``net``; None where it has no pyramid."""
    first = sum(isinstance(m, nn.Conv2d) for m in net.body.modules())
    if len(convolutions) < first + 7:
        return None
    # three laterals, two merges, then the first context module's 5×5 and 3×3 parts
    pyramid, wide, near = (len(convolutions[first + k].bias) for k in (0, 5, 6))
    return pyramid, near, wide


def _widths(network: DetectorNetwork) -> Widths:
    if not network.widths:
        return WIDTHS[network.backbone]
    pyramid, near, wide = network.widths
    return pyramid, near, wide


def _net(network: DetectorNetwork, start: Start, widths: Widths) -> RetinaFace:
    if network.backbone == "resnet50":
        return RetinaFace("resnet50", stride_in=start.stride_in, widths=widths)
    return RetinaFace("mobilenet0.25", widths=widths)


def _take_our_input(body: nn.Module) -> None:
    """Lets a backbone's first convolution, trained on RGB from 0 to 1 less the mean over the deviation, take
    BGR from 0 to 255 less the mean: the means are equal to half a grey value, which is left."""
    first = body.get_submodule("stage1.0.0" if isinstance(body, MobileNetV1) else "conv1")
    assert isinstance(first, nn.Conv2d)
    deviation = 255 * torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1)
    with torch.no_grad():
        turned: Tensor = (first.weight / deviation).flip(1)
        first.weight.copy_(turned)
