"""Starting weights out of an ONNX file that a training of ours has exported.

Export folds each batch normalisation into the convolution before it, so that a network cannot go on
learning from the file as it stands. Here every normalisation is set up anew, from the statistics that
pictures give behind its convolution, with the scale and shift that together change nothing: the network
computes what the file does, and learns as one whose normalisations have seen those pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from maskgate.errors import DataError
from maskgate.nets.resnet import StridePlace

_SIDE = 64
_LEAST_VARIANCE = 1e-4
"""Of channels that hardly change: they are not to be blown up."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """One of an exported file.

    Attributes:
        name: of its node.
        weight: ``(O, I, h, w)`` float32.
        bias: ``(O,)`` float32, 0 where there is none.
        stride: of rows and columns.
    """

    name: str
    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]


def read_convolutions(file: Path) -> list[Convolution]:
    """The convolutions of an exported file, in the order in which they run; their weights may be stored as
    float16 or int8.

    Raises :class:`~maskgate.errors.DataError` where it is no ONNX file, holds none, has arithmetic that is
    quantised, or normalisations that export could not fold.
    """
    try:
        graph = onnx.load(file).graph
    except Exception as error:  # protobuf's own errors share no base with others
        raise DataError(f"{file} cannot be read as ONNX: {str(error).splitlines()[0]}") from error
    arrays = _arrays(graph)
    found = []
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            raise DataError(f"{file} has normalisations that are not folded; start from a run folder instead")
        if node.op_type != "Conv":
            continue
        parts = [arrays.get(key) for key in node.input[1:]]
        if not parts or any(part is None for part in parts):
            raise DataError(f"{file} has quantised arithmetic in {node.name}; give a file without")
        weight, *rest = (torch.from_numpy(np.array(part, np.float32)) for part in parts)
        stride = next((tuple(a.ints) for a in node.attribute if a.name == "strides"), (1, 1))
        found.append(Convolution(node.name, weight, rest[0] if rest else torch.zeros(len(weight)), stride))
    if not found:
        raise DataError(f"{file} holds no convolution")
    return found


def stride_of_export(file: Path) -> StridePlace:
    """Which convolution of its bottlenecks has the stride in an exported network.

    Raises :class:`~maskgate.errors.DataError` as :func:`read_convolutions` does.
    """
    strided = [c for c in read_convolutions(file)[1:] if max(c.stride) > 1]
    return "conv2" if any(max(c.weight.shape[2:]) > 1 for c in strided) else "conv1"


def load_exported(net: nn.Module, file: Path, batches: Sequence[Tensor]) -> None:
    """Fills ``net`` from the convolutions of a ``file`` of its architecture: in evaluation mode it gives the
    same features, apart from rounding, and it is ready to learn.

    Args:
        batches: ``(N, 3, H, W)`` float32 inputs like those to learn from, a few hundred pictures together.

    Raises :class:`~maskgate.errors.DataError` as :func:`read_convolutions` and :func:`load_convolutions` do.
    """
    load_convolutions(net, read_convolutions(file), file)
    restore_norms(net, batches)


def load_convolutions(net: nn.Module, convolutions: Sequence[Convolution], file: Path) -> None:
    """Fills ``net`` with those of an exported ``file`` of the same network; every batch normalisation becomes
    an added bias: see :func:`restore_norms`.

    Raises :class:`~maskgate.errors.DataError` where they are of another network.
    """
    layers = _layers(net)
    if len(convolutions) != len(layers):
        raise DataError(
            f"{file} has {len(convolutions)} convolutions, not {len(layers)}; it is of another network"
        )
    for given, (name, layer, norm) in zip(convolutions, layers, strict=True):
        if given.weight.shape != layer.weight.shape or given.stride != layer.stride:
            raise DataError(
                f"{file} has {name} as {tuple(given.weight.shape)} with stride {given.stride}, not "
                f"{tuple(layer.weight.shape)} with {layer.stride}; it is of another network"
            )
        with torch.no_grad():
            layer.weight.copy_(given.weight)
            if norm is not None:
                ones = torch.ones_like(given.bias)
                _set_norm(norm, torch.zeros_like(ones), ones - norm.eps, given.bias, ones)
            elif layer.bias is not None:
                layer.bias.copy_(given.bias)
            elif given.bias.any():
                raise DataError(f"{file} has a bias at {name}, where the network has none")


def fold_norms(net: nn.Module) -> list[Convolution]:
    """The convolutions of ``net`` in evaluation mode as export writes them: in the order in which they run,
    each with the normalisation behind it folded in."""
    folded = []
    for name, layer, norm in _layers(net):
        weight = layer.weight.detach().double()
        bias = torch.zeros(len(weight)).double() if layer.bias is None else layer.bias.detach().double()
        if norm is not None:
            scale, shift = _as_affine(norm)
            weight, bias = weight * scale.detach().view(-1, 1, 1, 1), (bias * scale + shift).detach()
        folded.append(Convolution(name, weight.float(), bias.float(), layer.stride))
    return folded


def restore_norms(net: nn.Module, batches: Sequence[Tensor]) -> None:
    """Gives every batch normalisation the mean and variance of its inputs over ``batches``, ``(N, 3, H, W)``
    each, and a scale and shift that undo them: the network in evaluation mode answers as before."""
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        x = inputs[0].double()
        count = torch.tensor(float(x.numel() / x.shape[1]))
        one = [count, x.sum((0, 2, 3)), x.pow(2).sum((0, 2, 3))]
        sums[norm] = [a + b for a, b in zip(sums[norm], one, strict=True)] if norm in sums else one

    net.eval()
    with contextlib.ExitStack() as hooks, torch.inference_mode():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                hooks.callback(module.register_forward_pre_hook(note).remove)
        for batch in batches:
            net(batch)
    with torch.no_grad():
        for norm, (count, total, squares) in sums.items():
            mean = total / count
            variance = (squares / count - mean**2).clamp(min=_LEAST_VARIANCE)
            scale, shift = _as_affine(norm)
            # y = scale x + shift = (x - mean) / deviation * (scale deviation) + (shift + scale mean)
            deviation = (variance + norm.eps).sqrt()
            _set_norm(norm, mean, variance, shift + scale * mean, scale * deviation)


def _as_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - scale * mean.double()


def _set_norm(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, bias: Tensor, weight: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.bias.copy_(bias)
    norm.weight.copy_(weight)


def _layers(net: nn.Module) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Convolutions in the order in which they run, each with the normalisation that takes its output."""
    order: list[tuple[str, nn.Conv2d]] = []
    outputs: list[Tensor] = []  # kept, so that no address is given twice
    behind: dict[int, nn.BatchNorm2d] = {}
    names = {module: name for name, module in net.named_modules()}

    def see_output(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        order.append((names[module], module))
        outputs.append(output)

    def see_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        behind[id(inputs[0])] = module

    training = net.training
    net.eval()
    with contextlib.ExitStack() as hooks, torch.inference_mode():
        for module in names:
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(see_output).remove)
            elif isinstance(module, nn.BatchNorm2d):
                hooks.callback(module.register_forward_pre_hook(see_input).remove)
        net(torch.zeros(1, 3, _SIDE, _SIDE))
    net.train(training)
    return [(*one, behind.get(id(output))) for one, output in zip(order, outputs, strict=True)]


def _arrays(graph: Any) -> dict[str, NDArray[Any]]:
    """Tensors by name: initialisers, and what a cast or a product makes of stored ones."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in arrays:  # equal tensors are kept once
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = arrays[node.input[0]] * arrays[node.input[1]]
    return arrays


def input_batches(pictures: Iterator[Tensor], size: int = 64) -> list[Tensor]:
    """Uint8 pictures ``(3, S, S)`` as float32 batches of ``size``; a smaller rest is left out."""
    batches, waiting = [], []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            batches.append(torch.stack(waiting).float())
            waiting = []
    return batches
