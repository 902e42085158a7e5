"""One object that holds everything that can be laid on a face, and draws lots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.cloth import draw_beard, draw_scarf
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.training.occlusion.masks import Wearing, draw_mask
from maskgate.training.occlusion.templates import MaskTemplate, wear_template
from maskgate.types import Image

_WRONG = (Wearing.NOSE_OUT, Wearing.MOUTH_OUT, Wearing.CHIN)
_WRONG_SHARES = (0.5, 0.15, 0.35)


@dataclass(frozen=True)
class Painter:
    """Draws masks, hands, scarves and beards on bare faces.

    Attributes:
        templates: mask templates; masks are drawn from scratch where there are none.
        hands: cut-out hands; scarves take their turn where there are none.
    """

    templates: Sequence[MaskTemplate] = ()
    hands: Sequence[Hand] = ()

    def mask(
        self, image: Image, landmarks: NDArray[np.float32], wearing: Wearing, rng: np.random.Generator
    ) -> Image:
        """A mask, from scratch or from a template."""
        if self.templates and rng.random() < 0.45:
            template = self.templates[int(rng.integers(len(self.templates)))]
            return wear_template(image, landmarks, template, wearing, rng)
        return draw_mask(image, landmarks, wearing, rng)

    def wrong_mask(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """A mask that leaves the nose, or nose and mouth, out."""
        wearing = _WRONG[int(rng.choice(3, p=_WRONG_SHARES))]
        return self.mask(image, landmarks, wearing, rng)

    def bare_cover(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """Something that is no mask: a hand, a scarf at the chin or over the mouth, a beard."""
        lot = rng.random()
        if lot < 0.5 and self.hands:
            return lay_hand(image, landmarks, self.hands[int(rng.integers(len(self.hands)))], rng)
        if lot < 0.8:
            return draw_scarf(image, landmarks, rng, over_mouth=rng.random() < 0.35)
        return draw_beard(image, landmarks, rng)

    def cover_any(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """For the detector, which cares only that a face is under it: mostly a mask worn rightly."""
        lot = rng.random()
        if lot < 0.6:
            return self.mask(image, landmarks, Wearing.RIGHT, rng)
        if lot < 0.75:
            return self.wrong_mask(image, landmarks, rng)
        return self.bare_cover(image, landmarks, rng)
