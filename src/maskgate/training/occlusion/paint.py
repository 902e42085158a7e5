"""One object that holds everything that can be laid on a face, and draws lots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.cloth import draw_beard, draw_scarf
from maskgate.training.occlusion.hair import draw_hair
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.training.occlusion.masks import Wearing, draw_mask
from maskgate.training.occlusion.objects import draw_object
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.training.occlusion.templates import MaskTemplate, wear_template
from maskgate.types import Image

_WRONG = (Wearing.NOSE_OUT, Wearing.MOUTH_OUT, Wearing.CHIN)
_WRONG_SHARES = (0.5, 0.15, 0.35)


@dataclass(frozen=True)
class Painter:
    """Draws masks, hands, things, scarves, beards and hair on bare faces.

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
            worn = wear_template(image, landmarks, template, wearing, rng)
        else:
            worn = draw_mask(image, landmarks, wearing, rng)
        if wearing is Wearing.RIGHT and self.hands and rng.random() < self.shares.touched:
            return lay_hand(worn, landmarks, self._hand(rng), rng, touching=True)
        return worn

    def _hand(self, rng: np.random.Generator) -> Hand:
        return self.hands[int(rng.integers(len(self.hands)))]

    def wrong_mask(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """A mask that leaves the nose, or nose and mouth, out."""
        wearing = _WRONG[int(rng.choice(3, p=_WRONG_SHARES))]
        return self.mask(image, landmarks, wearing, rng)

    def bare_cover(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """Something that is no mask: a hand, a thing held up, a scarf, a beard, hair."""
        own = self.shares
        weights = np.array([own.hands if self.hands else 0.0, own.objects, own.scarves, own.beards, own.hair])
        if not weights.any():
            return image.copy()
        kind = int(rng.choice(5, p=weights / weights.sum()))
        if kind == 0:
            return lay_hand(image, landmarks, self._hand(rng), rng)
        if kind == 1:
            return self._held(image, landmarks, rng)
        if kind == 2:
            return draw_scarf(image, landmarks, rng, over_mouth=rng.random() < own.over_mouth)
        return draw_beard(image, landmarks, rng) if kind == 3 else draw_hair(image, landmarks, rng)

    def _held(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """A thing before the mouth, mostly with a hand at it."""
        shown = draw_object(image, landmarks, rng)
        if self.hands and rng.random() < 0.6:
            return lay_hand(shown, landmarks, self._hand(rng), rng, touching=True)
        return shown

    def cover_any(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """For the detector, which cares only that a face is under it: mostly a mask worn rightly."""
        lot = rng.random()
        if lot < 0.6:
            return self.mask(image, landmarks, Wearing.RIGHT, rng)
        if lot < 0.75:
            return self.wrong_mask(image, landmarks, rng)
        return self.bare_cover(image, landmarks, rng)
