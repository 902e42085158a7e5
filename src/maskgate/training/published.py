"""RetinaFace's published weights, for those who have them, as models of their own.

The files of Pytorch_Retinaface are PyTorch state dicts. They were trained on WIDER FACE, whose pictures
are for research that is not commercial, so that they do not ship with maskgate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.files import sha256_of
from maskgate.models.cards import InputSpec, ModelCard
from maskgate.models.own import folder_for
from maskgate.nets.retinaface import Backbone, ExportedRetinaFace, RetinaFace, load_published
from maskgate.training.export import onnx_bytes
from maskgate.training.labelling import EXPORT_AXES
from maskgate.training.publish import Edition, write_model
from maskgate.training.starts import read_state

Anchors = Sequence[Sequence[float]]

LICENCE = "non-commercial data: not shipped"
"""Of an imported model's card."""

ANCHORS: Anchors = ((16, 32), (64, 128), (256, 512))
"""Sides in pixels of Pytorch_Retinaface's anchors at strides 8, 16 and 32."""

_WIDTHS: dict[int, Backbone] = {64: "mobilenet0.25", 256: "resnet50"}
"""Which network it is, by the channels of its pyramid."""

_NAMES: dict[Backbone, str] = {
    "mobilenet0.25": "retinaface-mobilenet025-widerface",
    "resnet50": "retinaface-resnet50-widerface",
}
_TITLES: dict[Backbone, str] = {"mobilenet0.25": "MobileNetV1×0.25", "resnet50": "ResNet-50"}


@dataclass(frozen=True)
class Published:
    """A file of published weights: its usual name, size in bytes and sha256, and the network's activation."""

    file: str
    bytes: int
    sha256: str
    leaky: bool


PUBLISHED: tuple[Published, ...] = (
    # as Open Model Zoo's retinaface-resnet50-pytorch states it of the maker's own file
    Published(
        "Resnet50_Final.pth",
        109_497_761,
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        leaky=False,
    ),
    # as clibdev/Pytorch_Retinaface and several others state it, which have it from the maker
    Published(
        "mobilenet0.25_Final.pth",
        1_789_735,
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        leaky=True,
    ),
)
"""The two files of Pytorch_Retinaface."""


@dataclass(frozen=True)
class ImportOptions:
    """What the caller knows of the file.

    Attributes:
        name: of the model; a usual one where None.
        sha256: that the file must have, where it is none of :data:`PUBLISHED`.
        unchecked: take a file whatever its sha256.
        leaky: its MobileNet and pyramid have leaky ReLUs (slope 0.1), not plain ones; where None, as
            published.
        anchors: sides of its anchors at strides 8, 16 and 32.
    """

    name: str | None = None
    sha256: str | None = None
    unchecked: bool = False
    leaky: bool | None = None
    anchors: Anchors = ANCHORS


def import_published(file: Path, options: ImportOptions | None = None) -> ModelCard:
    """Makes one of the user's own models of a file of published weights.

    Raises :class:`~maskgate.errors.DataError` where the file is missing, none of the published ones and not
    vouched for, or of another network, and what :func:`~maskgate.models.own.folder_for` raises.
    """
    options = options or ImportOptions()
    digest, known = _check(file, options)
    state = read_state(file)
    backbone = _backbone(file, state)
    leaky = options.leaky
    if leaky is None:
        leaky = known.leaky if known else backbone == "mobilenet0.25"
    name = options.name or _NAMES[backbone]
    folder = folder_for(name)
    net = RetinaFace(backbone, leaky=leaky)
    try:
        load_published(net, state)
    except KeyError as error:
        raise DataError(f"{file} is no RetinaFace with {_TITLES[backbone]}: {error.args[0]}") from error
    settings = RetinaFaceSettings(anchors=tuple(tuple(level) for level in options.anchors))
    return write_model(
        onnx_bytes(ExportedRetinaFace(net), torch.zeros(1, 3, 64, 96), EXPORT_AXES),
        folder,
        Edition(
            name,
            version="1",
            description=f"RetinaFace with {_TITLES[backbone]}, imported from {file.name}.",
            licence=LICENCE,
        ),
        task="detection",
        architecture="retinaface",
        classes=("face",),
        input=InputSpec(None, None, "BGR", settings.mean),
        settings={"anchors": [list(level) for level in settings.anchors]},
        training={
            "start": file.name,
            "sha256": digest,
            "checked": known is not None or options.sha256 is not None,
            "activation": "leaky" if leaky else "relu",
        },
        figures={},
    )


def _check(file: Path, options: ImportOptions) -> tuple[str, Published | None]:
    """The file's sha256, and which published file it is, if it is one."""
    try:
        digest, size = sha256_of(file), file.stat().st_size
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    if options.sha256 is not None and options.sha256.lower() != digest:
        raise DataError(f"{file} has the sha256 {digest}, not {options.sha256}; fetch it again")
    known = next((p for p in PUBLISHED if p.sha256 == digest), None)
    if known is None and options.sha256 is None and not options.unchecked:
        cut = next((p for p in PUBLISHED if p.file == file.name and p.bytes > size), None)
        if cut is not None:
            raise DataError(f"{file} has {size} of the published {cut.bytes} bytes; fetch it again, whole")
        names = " and ".join(p.file for p in PUBLISHED)
        raise DataError(
            f"{file} has the sha256 {digest}, which is not that of the published {names}; where its maker "
            "states it, give it with --sha256, or take the file unchecked with --unchecked"
        )
    return digest, known


def _backbone(file: Path, state: dict[str, torch.Tensor]) -> Backbone:
    weight = state.get("fpn.output1.0.weight")
    width = None if weight is None or not weight.ndim else len(weight)
    if width not in _WIDTHS:
        raise DataError(
            f"{file} is no RetinaFace of Pytorch_Retinaface's: it has no pyramid of 64 or 256 channels"
        )
    return _WIDTHS[width]
