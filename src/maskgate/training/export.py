"""Export of trained networks to ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from maskgate.files import write_atomic

OPSET = 17

Storage = Literal["float32", "float16", "int8"]
"""How a file keeps large tensors. ``int8`` has one scale an output channel."""


def export_onnx(
    net: nn.Module,
    example: Tensor,
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
    storage: Storage = "float32",
) -> None:
    """Writes ``net`` in evaluation mode to ``path``, atomically. The arguments are those of
    :func:`onnx_bytes`."""
    write_atomic(path, onnx_bytes(net, example, axes, storage))


def onnx_bytes(
    net: nn.Module, example: Tensor, axes: Mapping[str, Mapping[int, str]], storage: Storage = "float32"
) -> bytes:
    """``net`` in evaluation mode as an ONNX file.

    Args:
        example: an input of the right shape.
        axes: for each input and output, in order, the names of its free dimensions. The first is
            the input.
        storage: smaller files keep weights as float16 or int8, with a cast or a scaling that the
            runtime folds away when it loads: arithmetic stays float32.
    """
    names = list(axes)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the tracing exporter announces its successor, which leaves scatter nodes and longer graphs
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), (example,), buffer,  # type: ignore[arg-type]
            input_names=names[:1], output_names=names[1:],
            dynamic_axes={k: dict(v) for k, v in axes.items()}, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    model = onnx.load_from_string(buffer.getvalue())
    if storage == "float16":
        _store(model, _as_halves)
    elif storage == "int8":
        _store(model, _as_bytes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


_Stored = tuple[list[onnx.TensorProto], list[onnx.NodeProto]]


def _store(
    model: onnx.ModelProto, keep: Callable[[str, NDArray[np.float32]], _Stored], smallest: int = 256
) -> None:
    """Puts what ``keep`` makes of them in the place of float32 initialisers of ``smallest`` values."""
    graph = model.graph
    tensors: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest:
            tensors.append(tensor)
            continue
        stored, unpacking = keep(tensor.name, values)
        tensors += stored
        nodes += unpacking
    nodes += graph.node
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


def _as_halves(name: str, values: NDArray[np.float32]) -> _Stored:
    half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
    return [half], [onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT)]


def _as_bytes(name: str, values: NDArray[np.float32]) -> _Stored:
    flat = np.abs(values.reshape(len(values), -1)).max(1)
    scale = (np.maximum(flat, 1e-12) / 127).astype(np.float32)
    shape = (-1, *(1,) * (values.ndim - 1))
    whole = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
    # a cast and a product: the runtime folds these when it loads, but keeps a DequantizeLinear
    tensors = [
        numpy_helper.from_array(whole, f"{name}.whole"),
        numpy_helper.from_array(scale.reshape(shape), f"{name}.scale"),
    ]
    cast = onnx.helper.make_node("Cast", [f"{name}.whole"], [f"{name}.float"], to=onnx.TensorProto.FLOAT)
    return tensors, [cast, onnx.helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name])]
