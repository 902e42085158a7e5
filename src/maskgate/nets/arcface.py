"""The additive angular margin head of ArcFace (Deng et al. 2019, eq. 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ArcFaceHead(nn.Module):
    """Scaled cosines to one centre a person, with a margin on the true one's angle.

    The score of the true person is ``scale * cos(angle + margin)``, that of every other
    ``scale * cos(angle)``. Where ``angle + margin`` would pass 180°, the score goes on falling
    along the tangent-free line ``cos(angle) - margin * sin(margin)``, as the authors' code does, so
    that it stays monotonic.

    Args:
        channels: length of the embeddings.
        people: number of identities.
        scale: of the cosines; the paper has 64.
        margin: in radians; the paper has 0.5.
    """

    def __init__(self, channels: int, people: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.weight = nn.Parameter(torch.empty(people, channels))
        nn.init.normal_(self.weight, std=0.01)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """``(N, people)`` cosines in [-1, 1] of ``(N, channels)`` embeddings to the centres."""
        return F.linear(F.normalize(embeddings), F.normalize(self.weight))

    def forward(self, embeddings: Tensor, people: Tensor) -> Tensor:
        """Scores ``(N, people)`` for cross-entropy; ``people`` ``(N,)`` int64 are the true ones."""
        with torch.autocast(embeddings.device.type, enabled=False):  # 8 bits are too few for an angle
            cosine = self.cosines(embeddings.float())
        own = cosine.gather(1, people[:, None])
        sine = (1 - own.square()).clamp(min=0).add(1e-12).sqrt()
        wider = own * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = own - self.margin * math.sin(self.margin)
        target = torch.where(own > math.cos(math.pi - self.margin), wider, beyond)
        scores: Tensor = self.scale * cosine.scatter(1, people[:, None], target)
        return scores
