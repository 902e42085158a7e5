"""MTCNN's published weights as a model: three networks in one file, and its card."""

from __future__ import annotations

from pathlib import Path

import torch

from maskgate.detection.mtcnn import INPUT, OUTPUT, OUTPUT_SIZE, PROPOSAL, REFINEMENT, REFINEMENT_SIZE
from maskgate.errors import DataError
from maskgate.models.bundles import bundle_bytes
from maskgate.models.cards import ModelCard
from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet
from maskgate.training.export import onnx_bytes
from maskgate.training.publish import Edition, write_model
from maskgate.training.starts import load_start

FILES = {PROPOSAL: "pnet.pt", REFINEMENT: "rnet.pt", OUTPUT: "onet.pt"}
"""Where each network's weights are, under the names that facenet-pytorch gave them."""

_BATCH = {0: "batch"}
_MAP = {0: "batch", 2: "rows", 3: "columns"}
_OUTPUTS = {
    PROPOSAL: {"offsets": _MAP, "scores": _MAP},
    REFINEMENT: {"offsets": _BATCH, "scores": _BATCH},
    OUTPUT: {"offsets": _BATCH, "scores": _BATCH, "landmarks": _BATCH},
}


def load_networks(folder: Path) -> tuple[ProposalNet, RefinementNet, OutputNet]:
    """The three networks with the weights in ``folder``, in evaluation mode.

    Raises :class:`~maskgate.errors.DataError` naming a file that is missing or of another network.
    """
    nets = ProposalNet(), RefinementNet(), OutputNet()
    for net, file in zip(nets, FILES.values(), strict=True):
        if not (folder / file).is_file():
            raise DataError(f"{folder / file} is missing; name the folder of {', '.join(FILES.values())}")
        load_start(net, folder / file)
        net.eval()
    return nets


def export_networks(folder: Path) -> dict[str, bytes]:
    """ONNX files of the networks in ``folder`` by part of the bundle; P-Net's takes any height and width.

    Raises what :func:`load_networks` does.
    """
    files = {}
    sides = {PROPOSAL: 30, REFINEMENT: REFINEMENT_SIZE, OUTPUT: OUTPUT_SIZE}
    for part, net in zip(FILES, load_networks(folder), strict=True):
        free = {0: "batch", 2: "height", 3: "width"} if part == PROPOSAL else _BATCH
        example = torch.zeros(2, 3, sides[part], sides[part])
        files[part] = onnx_bytes(net, example, {"input": free, **_OUTPUTS[part]})
    return files


def publish_mtcnn(weights: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.zip`` and ``<name>.json`` of the weights in ``weights`` into ``folder``.

    The card's settings are empty: those of :class:`~maskgate.detection.mtcnn.MtcnnSettings` hold, as
    published. Raises what :func:`load_networks` does.
    """
    return write_model(
        bundle_bytes(export_networks(weights)), folder, edition, ".zip", task="detection",
        architecture="mtcnn", classes=("face",), input=INPUT, settings={},
        training={"start": "mtcnn", "commit": edition.commit},
        figures=dict(edition.tests or {}),
    )  # fmt: skip
