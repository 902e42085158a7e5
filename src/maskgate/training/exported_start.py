"""Starting weights out of an ONNX file that a training of ours has exported.

Export folds each batch normalisation into the convolution before it, so that a network cannot go on
learning from the file as it stands. Here every normalisation is set up anew, from the statistics that
pictures give behind its convolution, so that the network computes what the file does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from maskgate.errors import DataError
from maskgate.nets.resnet import StridePlace

_Folded = tuple[onnx.NodeProto, NDArray[np.float32], NDArray[np.float32]]
_Pair = tuple[nn.Conv2d, nn.BatchNorm2d | None]


def stride_of_export(file: Path) -> StridePlace:
    """Which convolution of its bottlenecks has the stride in an exported network.

    Raises :class:`~maskgate.errors.DataError` where the file cannot be read.
    """
    strided = [node for node, _, _ in _convolutions(file)[1:] if max(_attribute(node, "strides")) > 1]
    return "conv2" if any(max(_attribute(node, "kernel_shape")) > 1 for node in strided) else "conv1"


def load_exported(backbone: nn.Module, file: Path, batches: Sequence[Tensor]) -> int:
    """Fills ``backbone`` from the convolutions of ``file``, in the order in which they are computed.

    Args:
        backbone: of the file's architecture. Afterwards it gives the same features as the file's
            network does, apart from rounding, when it is in evaluation mode, and it is ready to learn.
        batches: ``(N, 3, S, S)`` float32 inputs like those to learn from, a few hundred pictures
            together: the means and deviations of its normalisations come from them.

    Returns the number of convolutions. Raises :class:`~maskgate.errors.DataError` where the file's network
    is another one, or has normalisations that export could not fold.
    """
    folded = _convolutions(file)
    backbone.eval()
    pairs = _pairs(backbone, batches[0][:1])
    if len(pairs) != len(folded):
        raise DataError(f"{file} has {len(folded)} convolutions, not {len(pairs)}; it is of another network")
    for (convolution, normalisation), (node, weight, bias) in zip(pairs, folded, strict=True):
        if weight.shape != tuple(convolution.weight.shape) or _attribute(node, "strides") != list(
            convolution.stride
        ):
            raise DataError(f"{file} has another convolution at {node.name}; it is of another network")
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(weight))
            if normalisation is None and convolution.bias is not None:
                convolution.bias.copy_(torch.from_numpy(bias))
            elif normalisation is None and bias.any():
                raise DataError(f"{file} has a bias at {node.name}, where the network has none")
    _set_normalisations(backbone, pairs, [bias for _, _, bias in folded], batches)
    return len(pairs)


def _set_normalisations(
    backbone: nn.Module,
    pairs: Sequence[_Pair],
    biases: Sequence[NDArray[np.float32]],
    batches: Sequence[Tensor],
) -> None:
    """Gives each normalisation the statistics of its input, and the factors that undo them."""
    known = [
        (c, b, torch.from_numpy(bias)) for (c, b), bias in zip(pairs, biases, strict=True) if b is not None
    ]
    sums = {c: torch.zeros(2, len(bias), dtype=torch.float64) for c, _, bias in known}
    counts = dict.fromkeys(sums, 0)
    for _, normalisation, bias in known:  # the identity and the folded bias
        with torch.no_grad():
            normalisation.running_mean.zero_()  # type: ignore[union-attr]
            normalisation.running_var.fill_(1 - normalisation.eps)  # type: ignore[union-attr]
            normalisation.weight.fill_(1)
            normalisation.bias.copy_(bias)

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        values = output.double().transpose(0, 1).flatten(1)
        sums[module] += torch.stack([values.sum(1), values.square().sum(1)])  # type: ignore[index]
        counts[module] += values.shape[1]  # type: ignore[index]

    handles = [c.register_forward_hook(add) for c, _, _ in known]
    with torch.no_grad():
        for batch in batches:
            backbone(batch)
        for handle in handles:
            handle.remove()
        for convolution, normalisation, bias in known:
            mean, square = sums[convolution] / counts[convolution]
            variance = (square - mean.square()).clamp(min=0)
            normalisation.running_mean.copy_(mean)  # type: ignore[union-attr]
            normalisation.running_var.copy_(variance)  # type: ignore[union-attr]
            normalisation.weight.copy_((variance + normalisation.eps).sqrt())
            normalisation.bias.copy_(bias + mean)


def _pairs(backbone: nn.Module, example: Tensor) -> list[_Pair]:
    """Convolutions in the order of computation, each with the normalisation that takes its output."""
    order: list[nn.Conv2d] = []
    outputs: list[Tensor] = []  # kept, so that no address is given twice
    behind: dict[int, nn.BatchNorm2d] = {}

    def see_output(module: nn.Module, _: object, output: Tensor) -> None:
        order.append(module)  # type: ignore[arg-type]
        outputs.append(output)

    def see_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        behind[id(inputs[0])] = module  # type: ignore[assignment]

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(see_output).remove)
            elif isinstance(module, nn.BatchNorm2d):
                hooks.callback(module.register_forward_pre_hook(see_input).remove)
        backbone(example)
    return [(c, behind.get(id(output))) for c, output in zip(order, outputs, strict=True)]


def _convolutions(file: Path) -> list[_Folded]:
    try:
        graph = onnx.load(file).graph
    except Exception as error:  # protobuf's own kinds differ between its versions
        raise DataError(f"{file} cannot be read as ONNX: {error}") from error
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            raise DataError(f"{file} has normalisations that are not folded; start from a run folder instead")
        if node.op_type in ("Cast", "Mul") and all(name in values for name in node.input):
            tensors = [values[name].astype(np.float32) for name in node.input]
            values[node.output[0]] = tensors[0] if len(tensors) == 1 else tensors[0] * tensors[1]
        elif node.op_type == "Conv":
            weight, *bias = (values[name].astype(np.float32) for name in node.input[1:])
            found.append((node, weight, bias[0] if bias else np.zeros(len(weight), np.float32)))
    if not found:
        raise DataError(f"{file} holds no convolution")
    return found


def _attribute(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [1, 1])


def input_batches(pictures: Iterator[Tensor], size: int = 64) -> list[Tensor]:
    """Uint8 pictures ``(3, S, S)`` as float32 batches of ``size``; a smaller rest is left out."""
    batches, waiting = [], []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            batches.append(torch.stack(waiting).float())
            waiting = []
    return batches
