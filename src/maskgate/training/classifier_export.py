"""A trained classifier as the ONNX graph that ships."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from maskgate.training.export import Storage, export_onnx


class ExportedClassifier(nn.Module):
    """The graph that ships: ``(N, S, S, 3)`` uint8 RGB to ``(N, 3)`` probabilities, calibrated."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, crops: Tensor) -> Tensor:
        scores: Tensor = self.net(crops.permute(0, 3, 1, 2).float())
        return (scores / self.temperature).softmax(1)


def export_classifier(
    net: nn.Module, temperature: float, size: int, path: Path, storage: Storage = "float16"
) -> None:
    """Writes the calibrated classifier as ONNX, for any batch size.

    ``storage`` is what its large tensors are kept as in the file, see
    :func:`~maskgate.training.export.export_onnx`; arithmetic is float32 whichever it is.
    """
    own = copy.deepcopy(net).cpu().eval()
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    axes = {"crops": {0: "batch"}, "probabilities": {0: "batch"}}
    export_onnx(ExportedClassifier(own, temperature), example, path, axes, storage)
