"""How well a classifier does on held-out faces, also on drawn ones, while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maskgate.classification.quality import sharpness
from maskgate.evaluation.metrics import roc_auc
from maskgate.training.classifier_data import (
    INCORRECT,
    MASK,
    NO_MASK,
    ClassifierAugmentation,
    paint,
    still_view,
)
from maskgate.training.crops import FaceCrops
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.training.occlusion.paint import Painter
from maskgate.types import LABELS, Image


@dataclass(frozen=True, eq=False)
class ValidationFaces:
    """Held-out faces as inference sees them.

    ``views`` ``(N, S, S, 3)`` uint8, ``labels`` ``(N,)``, ``kinds`` ``(N,)``: 0 a photograph as it
    is, 1 drawn on, 2 a bare face with a hand over the mouth; ``sizes`` ``(N,)``: longer side of
    the face's box in pixels of its picture.
    """

    views: Image
    labels: NDArray[np.int64]
    kinds: NDArray[np.int64]
    sizes: NDArray[np.float32]

    def figures(self, p: NDArray[np.float64], threshold: float = 0.5) -> dict[str, float]:
        """Figures at a threshold on P(mask), from ``(N, 3)`` probabilities."""
        real, called = self.kinds == 0, p[:, 0] >= threshold
        return label_figures(self.labels[real], p[real], threshold) | {
            "drawn_incorrect_flagged": _share((self.kinds == 1) & (self.labels == INCORRECT), ~called),
            "covered_called_mask": _share((self.kinds == 1) & (self.labels == NO_MASK), called),
            "hand_called_mask": _share(self.kinds == 2, called),
        }

    def table(self, probabilities: NDArray[np.float64]) -> str:
        """The photographs as they are, a line of CSV each: label, probabilities, size and sharpness."""
        lines = ["label,mask,no_mask,incorrect,size,sharpness"]
        for i in np.flatnonzero(self.kinds == 0):
            numbers = [*probabilities[i], self.sizes[i], sharpness(self.views[i])]
            lines.append(",".join([LABELS[self.labels[i]], *(f"{v:.6g}" for v in numbers)]))
        return "\n".join(lines) + "\n"


def label_figures(
    labels: NDArray[np.int64], p: NDArray[np.float64], threshold: float = 0.5
) -> dict[str, float]:
    """Figures of ``(N, 3)`` probabilities of faces with ``(N,)`` labels, at a threshold on P(mask)."""
    called = p[:, 0] >= threshold
    two = labels != INCORRECT
    nll = -np.log(np.maximum(p[np.arange(len(p)), labels], 1e-12))
    return {
        "loss": float(nll.mean()) if len(p) else float("nan"),
        "accuracy": _share(two, called == (labels == MASK)),
        "roc_auc": roc_auc((labels[two] == MASK), p[two, 0]),
        "recall_mask": _share(labels == MASK, called),
        "recall_no_mask": _share(labels == NO_MASK, ~called),
        "incorrect_flagged": _share(labels == INCORRECT, ~called),
    }


def _share(of: NDArray[np.bool_], hit: NDArray[np.bool_]) -> float:
    return float(hit[of].mean()) if of.any() else float("nan")


def validation_faces(
    crops: FaceCrops, painter: Painter, hands: Sequence[Hand], a: ClassifierAugmentation, seed: int,
    limit: int = 300,
) -> ValidationFaces:  # fmt: skip
    """Still views of all held-out crops, and of bare ones drawn on (up to ``limit`` of each kind)."""
    rng = np.random.default_rng((seed, 99))
    views = [still_view(c, a.margin, a.size) for c in crops.images]
    labels, kinds, sizes = list(crops.labels), [0] * len(crops), list(crops.sizes)
    bare = (crops.labels == NO_MASK) & ~np.isnan(crops.landmarks).any((1, 2)) & (crops.sizes >= 24)
    for i in rng.permutation(np.flatnonzero(bare))[:limit]:
        for label in (NO_MASK, INCORRECT):
            drawn = paint(crops.images[i], crops.landmarks[i], label, painter, rng)
            views.append(still_view(drawn, a.margin, a.size))
            labels.append(label)
            kinds.append(1)
            sizes.append(crops.sizes[i])
        if hands:
            covered = lay_hand(crops.images[i], crops.landmarks[i], hands[int(rng.integers(len(hands)))], rng)
            views.append(still_view(covered, a.margin, a.size))
            labels.append(NO_MASK)
            kinds.append(2)
            sizes.append(crops.sizes[i])
    return ValidationFaces(
        np.stack(views), np.array(labels, np.int64), np.array(kinds, np.int64), np.array(sizes, np.float32)
    )


def logits_of(model: nn.Module, views: Image, batch: int = 64) -> NDArray[np.float64]:
    """``(N, 3)`` scores before the softmax of ``(N, S, S, 3)`` uint8 views."""
    device = next(model.parameters()).device
    model.eval()
    parts = []
    with torch.inference_mode():
        for i in range(0, len(views), batch):
            x = torch.from_numpy(views[i : i + batch].transpose(0, 3, 1, 2).copy()).to(device).float()
            parts.append(model(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)
