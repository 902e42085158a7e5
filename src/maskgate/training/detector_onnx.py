"""A detector's weights back from an exported file, to go on training where only that is left.

The export folds each batch normalisation into the convolution before it. Here it is taken out again: with
the statistics of what the convolution gives on some pictures, the normalisation gets the scale and shift
that together change nothing. So the network answers as the file does, and trains as one whose
normalisations have seen those pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from maskgate.errors import DataError

_SIDE = 64


Convolution = tuple[Tensor, Tensor]
"""Weight ``(O, I, h, w)`` and bias ``(O,)``, float32."""


def read_convolutions(file: Path) -> list[Convolution]:
    """The convolutions of an exported file, in the order in which they run; their weights may be stored as
    float16 or int8.

    Raises :class:`~maskgate.errors.DataError` where it is no ONNX file, or its arithmetic is quantised.
    """
    try:
        graph = onnx.load(file).graph
    except Exception as error:  # protobuf's own errors share no base with others
        raise DataError(f"{file} cannot be read as ONNX: {str(error).splitlines()[0]}") from error
    arrays = _arrays(graph)
    found = []
    for node in graph.node:
        if node.op_type == "Conv":
            parts = [arrays.get(key) for key in node.input[1:]]
            if not parts or any(part is None for part in parts):
                raise DataError(f"{file} has quantised arithmetic in {node.name}; give a file without")
            weight, *rest = (torch.from_numpy(np.array(part, np.float32)) for part in parts)
            found.append((weight, rest[0] if rest else torch.zeros(len(weight))))
    return found


def load_convolutions(net: nn.Module, convolutions: Sequence[Convolution], file: Path) -> None:
    """Fills ``net`` with those of an exported ``file`` of the same network; every batch normalisation becomes
    an added bias: see :func:`restore_norms`.

    Raises :class:`~maskgate.errors.DataError` where they are of another network.
    """
    layers = _layers(net)
    if len(convolutions) != len(layers):
        raise DataError(
            f"{file} has {len(convolutions)} convolutions, the network {len(layers)}; it is another one"
        )
    for (weight, bias), (name, layer, norm) in zip(convolutions, layers, strict=True):
        if weight.shape != layer.weight.shape:
            raise DataError(
                f"{file} has {name} as {tuple(weight.shape)}, not {tuple(layer.weight.shape)}; "
                "it is of another network"
            )
        with torch.no_grad():
            layer.weight.copy_(weight)
            if norm is None:
                assert layer.bias is not None
                layer.bias.copy_(bias)
            else:
                _set_norm(norm, torch.zeros_like(bias), torch.ones_like(bias) - norm.eps, bias)


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

    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(note) for m in norms]
    net.eval()
    with torch.inference_mode():
        for batch in batches:
            net(batch)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for norm, (count, total, squares) in sums.items():
            mean = total / count
            variance = (squares / count - mean**2).clamp(min=1e-4)
            scale, shift = _as_affine(norm)
            # y = scale x + shift = (x - mean) / deviation * (scale deviation) + (shift + scale mean)
            _set_norm(
                norm, mean.float(), variance.float(), (shift + scale * mean).float(),
                (scale * (variance + norm.eps).sqrt()).float(),
            )  # fmt: skip


def _as_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - scale * mean.double()


def _set_norm(
    norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, bias: Tensor, weight: Tensor | None = None
) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.bias.copy_(bias)
    norm.weight.copy_(torch.ones_like(bias) if weight is None else weight)


def _layers(net: nn.Module) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Convolutions in the order in which they run, each with the normalisation behind it."""
    names = {module: name for name, module in net.named_modules()}
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda m, *_: order.append(m))
        for module in names
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    training = net.training
    net.eval()
    with torch.inference_mode():
        net(torch.zeros(1, 3, _SIDE, _SIDE))
    net.train(training)
    for hook in hooks:
        hook.remove()
    layers: list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]] = []
    for module, after in zip(order, [*order[1:], None], strict=True):
        if isinstance(module, nn.Conv2d):
            norm = after if isinstance(after, nn.BatchNorm2d) else None
            layers.append((names[module], module, norm))
    return layers


def _arrays(graph: Any) -> dict[str, NDArray[Any]]:
    """Tensors by name: initialisers, and what a cast or a product makes of stored ones."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in arrays:  # equal tensors are kept once
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = arrays[node.input[0]] * arrays[node.input[1]]
    return arrays
