"""How often each kind of thing is drawn; a share of 0 leaves it out."""

from __future__ import annotations

from dataclasses import dataclass, fields

from maskgate.errors import DataError


@dataclass(frozen=True)
class OcclusionShares:
    """Weights of the kinds of drawing, none negative.

    Attributes:
        hands, objects, scarves, beards, hair: on bare faces that stay ``no_mask``; only their
            relation to each other counts.
        over_mouth: share of the scarves that hide the mouth.
        templates: share of masks that come from photographed templates, the rest being drawn.
        touched: share of rightly worn masks that a hand touches.
    """

    hands: float = 0.5
    objects: float = 0.16
    scarves: float = 0.18
    beards: float = 0.1
    hair: float = 0.06
    over_mouth: float = 0.35
    templates: float = 0.4
    touched: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (field.name in ("over_mouth", "templates", "touched") and value > 1):
                raise DataError(f"[occlusion.shares] has {field.name} = {value}; use 0 to 1")
