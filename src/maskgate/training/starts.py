"""Starting weights: read from the files that their makers publish, and put into our backbones."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from maskgate.errors import DataError, ModelNotFoundError
from maskgate.models.registry import find_card
from maskgate.nets.resnet import StridePlace
from maskgate.training.exported_start import stride_of_export
from maskgate.training.keras_resnet import read_keras_resnet50
from maskgate.training.recipe import build

SCRATCH = "scratch"
"""The start that is none: random weights."""

EXPORTED = ".onnx"
"""Ending of files for :func:`~maskgate.training.exported_start.load_exported`."""

_WRAPPERS = ("state_dict", "net_state_dict", "model")
_PREFIXES = ("module.", "backbone.")


@dataclass(frozen=True)
class Start:
    """A start that a recipe names.

    Attributes:
        file: below one of the weights folders; ``{architecture}`` stands for the network's name.
        description: what it is, for reports.
        stride: which convolution of a bottleneck carries the stride in these weights: ``conv2``
            (torchvision) or ``conv1``.
        non_commercial: it may be studied, but not be part of what ships.
    """

    file: str
    description: str = ""
    stride: str = "conv2"
    non_commercial: bool = False

    def __post_init__(self) -> None:
        if self.stride not in ("conv1", "conv2"):
            raise DataError(f"the start {self.file} has the stride {self.stride!r}; use 'conv1' or 'conv2'")

    @property
    def stride_in(self) -> StridePlace:
        """``stride``, as the networks take it."""
        return "conv1" if self.stride == "conv1" else "conv2"


def find_start(
    name: str, table: Mapping[str, Mapping[str, object]], weights: Sequence[Path], architecture: str
) -> tuple[Start, Path | None]:
    """What ``name`` means: ``scratch``, a name in the recipe's ``[starts]``, a file, or a classifier
    that is installed, the one that ships among them.

    Args:
        table: the recipe's ``[starts]``.
        weights: folders to look in, the first that has it.
        architecture: of the network, to fill into the file's name.

    A file in a run folder has its stride where that run's start had it, an exported one where its graph
    has it. The path is None for ``scratch``. Raises :class:`~maskgate.errors.DataError` where there is no
    such start or file.
    """
    if name == SCRATCH:
        return Start("", "random weights"), None
    start = (
        build(Start, table[name], f"[starts.{name}]") if name in table else Start(name, f"the file {name}")
    )
    wanted = start.file.replace("{architecture}", architecture)
    for path in (Path(wanted), *(folder / wanted for folder in weights)):
        if path.is_file():
            return (start if name in table else _own_start(start, path)), path
    if name not in table:
        with contextlib.suppress(ModelNotFoundError):
            card = find_card(name, "classification")
            return _own_start(Start(card.file, f"the classifier {name} {card.version}"), card.path), card.path
    known = ", ".join((SCRATCH, *table))
    places = f"not in {', '.join(map(str, weights))}" if weights else "not there"
    raise DataError(f"the start {name!r} needs the file {wanted}, which is {places}; known starts: {known}")


def _own_start(start: Start, file: Path) -> Start:
    if file.suffix != EXPORTED:
        return replace(start, stride=_stride_of_run(file.parent))
    with contextlib.suppress(DataError):  # it may be a teacher's; whoever loads it as a start is told why not
        return replace(start, stride=stride_of_export(file))
    return start


def _stride_of_run(folder: Path) -> str:
    """Where the network of a run folder has its stride: as its start, or that start's own run, had it."""
    try:
        settings = json.loads((folder / "settings.json").read_text("utf-8"))
        start = str(settings["start"])
        table = settings.get("starts", {})
        if start in table:
            return str(table[start].get("stride", "conv2"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return "conv2"  # no run folder of ours
    own = Path(start).parent
    return "conv2" if start == SCRATCH or own == folder else _stride_of_run(own)


def read_state(file: Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file, a PyTorch state dict or Keras's ResNet-50, float32.

    State dicts may lie inside a checkpoint (under ``state_dict``, ``net_state_dict`` or ``model``),
    and names may begin with ``module.`` or ``backbone.``; both are taken off. Pickles are read with
    ``weights_only=True``, a ``.json`` by :mod:`~maskgate.training.keras_resnet`. Raises
    :class:`~maskgate.errors.DataError` on any other content.
    """
    if file.suffix == ".json":
        return read_keras_resnet50(file)
    try:
        if file.suffix == ".safetensors":
            content: object = load_file(file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on files by other versions of pickle
                content = torch.load(file, map_location="cpu", weights_only=True)
            for key in _WRAPPERS:
                if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
                    content = content[key]
                    break
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file} cannot be read as weights: {reason}") from error
    if isinstance(content, Mapping):
        content = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file} holds no tensors by name; give a state dict or a safetensors file")
    tensors = [(k, _bare(k), v) for k, v in content.items()]
    # a classifier's own head may have the name of a tensor of its backbone, which is meant
    tensors.sort(key=lambda item: len(item[0]) - len(item[1]))
    return {bare: v.float() if v.is_floating_point() else v for _, bare, v in tensors}


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def load_start(backbone: nn.Module, file: Path) -> list[str]:
    """Fills ``backbone`` from ``file``; tensors that it does not have (later layers, a class head)
    are left out. Returns the names that were loaded.

    Raises :class:`~maskgate.errors.DataError` naming a tensor that is missing or misshapen.
    """
    state, own = read_state(file), backbone.state_dict()
    wanted = [k for k in own if not k.endswith("num_batches_tracked")]
    for name in wanted:
        if name not in state:
            raise DataError(f"{file} has no tensor {name!r}; it is of another network")
        if state[name].shape != own[name].shape:
            raise DataError(
                f"{file} has {name!r} as {tuple(state[name].shape)}, not {tuple(own[name].shape)}; "
                "it is of another network or input size"
            )
    backbone.load_state_dict({k: state[k] for k in wanted}, strict=False)
    return wanted
