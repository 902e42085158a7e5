"""Networks whose arithmetic is int8: smaller, and faster where the processor multiplies bytes.

Weights have a scale a channel, activations one a tensor, from the range that they have on some pictures.
Weights use seven of their eight bits: older x86 processors add two products of bytes in sixteen bits, which
would overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from maskgate.files import write_atomic

QUANTISED = ("Conv", "Add", "Concat", "Relu", "Resize")
"""What is quantised; the rest stays float32."""


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Iterable[NDArray[np.float32]]) -> None:
        self.name = name
        self.left: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        one = next(self.left, None)
        return None if one is None else {self.name: one}


def quantise(
    file: Path, inputs: Iterable[NDArray[np.float32]], output: Path, keep: Callable[[str], bool]
) -> None:
    """Writes ``file``, an ONNX network in float32, with int8 arithmetic to ``output``, atomically.

    Args:
        inputs: what the network's only input may be, to take ranges from; a few dozen pictures.
        keep: says by a convolution's name that it stays float32: those that see the picture itself or give
            the answers lose most and cost least.
    """
    model = onnx.load(file)
    kept = [node.name for node in model.graph.node if node.op_type == "Conv" and keep(node.name)]
    reader = _Inputs(model.graph.input[0].name, inputs)
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises what is of no use here
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "model.onnx"
            quantize_static(
                model, made, reader, quant_format=QuantFormat.QDQ, op_types_to_quantize=list(QUANTISED),
                per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8, nodes_to_exclude=kept,
            )  # fmt: skip
            write_atomic(output, made.read_bytes())
    finally:
        logging.root.setLevel(level)
