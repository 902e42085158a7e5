"""Export of trained networks to ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from maskgate.training.runs import write_atomic

OPSET = 17


def export_onnx(
    net: nn.Module,
    example: Tensor,
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
    half_weights: bool = False,
) -> None:
    """Writes ``net`` in evaluation mode to ``path``, atomically.

    Args:
        example: an input of the right shape.
        axes: for each input and output, in order, the names of its free dimensions. The first is
            the input.
        half_weights: keep convolution weights as float16 in the file, with a cast that the runtime
            folds away when it loads: half the size, arithmetic as before.
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
    if half_weights:
        _halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString())


def _halve_weights(model: onnx.ModelProto, smallest: int = 256) -> None:
    """Stores float32 initialisers of ``smallest`` or more values as float16 behind a Cast."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
