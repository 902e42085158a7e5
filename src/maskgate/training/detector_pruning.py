"""A RetinaFace with fewer channels in its pyramid and context modules, cut from a wider one.

Channels go that do least: those of the smallest product of what they carry (the scale that their batch
normalisation gives them) and what is read from them (the weights of the next layers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from maskgate.errors import DataError
from maskgate.nets.retinaface import Widths

_PRODUCERS = ("fpn.output1", "fpn.output2", "fpn.output3", "fpn.merge1", "fpn.merge2")
_MERGES = ("fpn.merge1", "fpn.merge2")
_HEADS = ("ClassHead", "BboxHead", "LandmarkHead", "LabelHead")
_LEVELS = (1, 2, 3)


def widths_of(state: Mapping[str, Tensor]) -> Widths:
    """The channels of the detector that ``state`` is of."""
    pyramid, near, wide = (
        int(state[f"{name}.0.weight"].shape[0]) for name in ("fpn.output1", "ssh1.conv3X3", "ssh1.conv5X5_1")
    )
    return pyramid, near, wide


def prune(state: Mapping[str, Tensor], widths: Widths) -> dict[str, Tensor]:
    """A state dict of the same network with ``widths``, none larger than those that ``state`` has.

    Raises :class:`~maskgate.errors.DataError` where one is.
    """
    own = widths_of(state)
    if any(new > old for new, old in zip(widths, own, strict=True)):
        raise DataError(f"the start has the widths {own}, which cannot become {widths}; give none larger")
    out = dict(state)
    pyramid, near, wide = widths
    readers = [f"{name}.0.weight" for name in _MERGES]
    readers += [f"ssh{k}.{part}.0.weight" for k in _LEVELS for part in ("conv3X3", "conv5X5_1")]
    kept = _best(out, _PRODUCERS, [out[r] for r in readers], pyramid)
    for name in _PRODUCERS:
        _keep_outputs(out, name, kept)
    for reader in readers:
        out[reader] = out[reader][:, kept]
    for k in _LEVELS:
        _prune_context(out, k, near, wide)
    return out


def _prune_context(out: dict[str, Tensor], level: int, near: int, wide: int) -> None:
    ssh = f"ssh{level}."
    old_near, old_wide = (int(out[f"{ssh}{p}.0.weight"].shape[0]) for p in ("conv3X3", "conv5X5_1"))
    inner = [(("conv5X5_1",), ("conv5X5_2", "conv7X7_2")), (("conv7X7_2",), ("conv7x7_3",))]
    for producers, consumers in inner:
        names = [f"{ssh}{c}.0.weight" for c in consumers]
        kept = _best(out, [ssh + p for p in producers], [out[n] for n in names], wide)
        _keep_outputs(out, ssh + producers[0], kept)
        for name in names:
            out[name] = out[name][:, kept]
    heads = [f"{head}.{level - 1}.conv1x1.weight" for head in _HEADS]
    heads = [name for name in heads if name in out]
    starts = {"conv3X3": 0, "conv5X5_2": old_near, "conv7x7_3": old_near + old_wide}
    seen = []
    for part, start in starts.items():
        count = near if part == "conv3X3" else wide
        length = old_near if part == "conv3X3" else old_wide
        read = [out[name][:, start : start + length] for name in heads]
        kept = _best(out, [ssh + part], read, count)
        _keep_outputs(out, ssh + part, kept)
        seen.append(kept + start)
    for name in heads:
        out[name] = out[name][:, torch.cat(seen)]


def _best(
    state: Mapping[str, Tensor], producers: Sequence[str], readers: Sequence[Tensor], count: int
) -> Tensor:
    """``(count,)`` places of the channels that matter most, in their old order.

    Args:
        producers: layers that fill these channels, a convolution and its normalisation.
        readers: weights ``(O, channels, kh, kw)`` that read them.
    """
    carried = torch.stack([state[f"{p}.1.weight"].abs() for p in producers]).sum(0)
    read = torch.stack([w.flatten(2).pow(2).sum((0, 2)).sqrt() for w in readers]).sum(0)
    return (carried * read).argsort(descending=True, stable=True)[:count].sort().values


def _keep_outputs(state: dict[str, Tensor], name: str, kept: Tensor) -> None:
    """Cuts the outputs of a convolution and of the normalisation behind it."""
    for tensor in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        state[f"{name}.{tensor}"] = state[f"{name}.{tensor}"][kept]
