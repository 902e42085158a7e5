"""One object that holds everything that can be laid on a face, and draws lots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.cloth import draw_beard, draw_scarf
from maskgate.training.occlusion.glasses import draw_glasses
from maskgate.training.occlusion.hair import draw_hair
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.training.occlusion.heads import draw_head
from maskgate.training.occlusion.loose import hang_mask, hold_mask
from maskgate.training.occlusion.masks import Wearing, draw_mask
from maskgate.training.occlusion.objects import draw_object
from maskgate.training.occlusion.shares import COVERS, OcclusionShares
from maskgate.training.occlusion.templates import MaskTemplate, wear_template
from maskgate.types import Image, Label

_WRONG = (Wearing.NOSE_OUT, Wearing.MOUTH_OUT, Wearing.CHIN)
_WRONG_SHARES = (0.5, 0.15, 0.35)


@dataclass(frozen=True)
class Painter:
    """Draws masks, hands, things, scarves, beards, hair, heads and glasses on bare faces.

    Attributes:
        templates: mask templates; masks are drawn from scratch where there are none.
        hands: cut-out hands; nothing is drawn with hands where there are none.
        shares: how often each kind is drawn.
    """

    templates: Sequence[MaskTemplate] = ()
    hands: Sequence[Hand] = ()
    shares: OcclusionShares = field(default_factory=OcclusionShares)

    def mask(
        self, image: Image, landmarks: NDArray[np.float32], wearing: Wearing, rng: np.random.Generator
    ) -> Image:
        """A mask, from scratch or from a template; now and then a hand touches one worn rightly."""
        if self.templates and rng.random() < self.shares.templates:
            template = self.templates[int(rng.integers(len(self.templates)))]
            worn = wear_template(image, landmarks, template, wearing, rng, self.shares.skin_toned)
        else:
            worn = draw_mask(image, landmarks, wearing, rng, skin_toned=self.shares.skin_toned)
        worn = self._glasses(worn, landmarks, rng)
        if wearing is Wearing.RIGHT and self.hands and rng.random() < self.shares.touched:
            return lay_hand(worn, landmarks, self._hand(rng), rng, touching=True)
        return worn

    def _glasses(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        return draw_glasses(image, landmarks, rng) if rng.random() < self.shares.glasses else image

    def _hand(self, rng: np.random.Generator) -> Hand:
        return self.hands[int(rng.integers(len(self.hands)))]

    def _holding(self, rng: np.random.Generator) -> Hand | None:
        """A hand to hold something, or none."""
        share = self.shares.holding if self.hands and self.shares.hands else 0.0
        return self._hand(rng) if share > 0 and rng.random() < share else None

    def wrong_mask(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """A mask that leaves the nose, or nose and mouth, out, or hangs from an ear."""
        if rng.random() < self.shares.hanging:
            return self._glasses(hang_mask(image, landmarks, rng), landmarks, rng)
        wearing = _WRONG[int(rng.choice(3, p=_WRONG_SHARES))]
        return self.mask(image, landmarks, wearing, rng)

    def bare_cover(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """Something that is no mask on the face: a hand, a thing held up, a scarf, a beard, hair, a mask
        beside the face, or another head before it."""
        weights = np.array([getattr(self.shares, kind) for kind in COVERS])
        if not self.hands:
            weights[COVERS.index("hands")] = 0
        image = self._glasses(image, landmarks, rng)
        if not weights.any():
            return image.copy()
        kind = COVERS[int(rng.choice(len(COVERS), p=weights / weights.sum()))]
        if kind == "hands":
            return lay_hand(image, landmarks, self._hand(rng), rng)
        if kind == "objects":
            return draw_object(image, landmarks, rng, self._holding(rng))
        if kind == "scarves":
            return draw_scarf(image, landmarks, rng, over_mouth=rng.random() < self.shares.over_mouth)
        if kind == "beards":
            return draw_beard(image, landmarks, rng)
        if kind == "hair":
            return draw_hair(image, landmarks, rng)
        if kind == "heads":
            return draw_head(image, landmarks, rng)
        return hold_mask(image, landmarks, rng, self._holding(rng))

    def cover_any(
        self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator,
        shares: tuple[float, float, float] = (0.6, 0.15, 0.25),
    ) -> tuple[Image, Label]:  # fmt: skip
        """For detectors: a mask worn rightly, one worn wrongly or something that is no mask, by ``shares``;
        and the label that the face now has."""
        lot = rng.random() * sum(shares)
        if lot < shares[0]:
            return self.mask(image, landmarks, Wearing.RIGHT, rng), Label.MASK
        if lot < shares[0] + shares[1]:
            return self.wrong_mask(image, landmarks, rng), Label.INCORRECT
        return self.bare_cover(image, landmarks, rng), Label.NO_MASK
