"""A trained network averaged with those that it came from, weight by weight.

What a network learns from few sources it pays for with some of what it knew of all others. On the line
between its weights before and after lie networks that know most of both (Wortsman et al. 2022, Robust
fine-tuning of zero-shot models). They cost nothing in use: it is one network of the same size.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from maskgate.errors import DataError
from maskgate.training.exported_start import fold_norms, load_convolutions


@dataclass(frozen=True)
class BlendRecipe:
    """``[blend]`` of a recipe.

    Attributes:
        networks: starts, as ``start`` of the recipe names them.
        shares: of each in the mean; the trained network has the rest.
    """

    networks: tuple[str, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.networks or len(self.networks) != len(self.shares):
            raise DataError("[blend] wants networks, and a share for each")
        if min(self.shares) < 0 or sum(self.shares) > 1:
            raise DataError(
                f"[blend] has shares = {list(self.shares)}; give none under 0, together 1 at most"
            )


def blend(net: nn.Module, others: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """The weighted mean of networks of one architecture, as a network in evaluation mode.

    Normalisations are folded into the convolutions before them first, for their statistics are of their own
    network. They are then an added bias each: to train on, start from the exported file.

    Args:
        net: has the share that is left.
        others: with ``shares``.

    Raises :class:`~maskgate.errors.DataError` where one is of another architecture.
    """
    mean = fold_norms(net)
    own = 1 - sum(shares)
    mean = [replace(c, weight=own * c.weight, bias=own * c.bias) for c in mean]
    for other, share in zip(others, shares, strict=True):
        folded = fold_norms(other)
        if [c.weight.shape for c in folded] != [c.weight.shape for c in mean]:
            raise DataError("[blend] names a network of another architecture; give one of the same")
        mean = [
            replace(a, weight=a.weight + share * b.weight, bias=a.bias + share * b.bias)
            for a, b in zip(mean, folded, strict=True)
        ]
    blended = copy.deepcopy(net)
    with torch.no_grad():
        load_convolutions(blended, mean, Path("the blend"))
    return blended.eval()
