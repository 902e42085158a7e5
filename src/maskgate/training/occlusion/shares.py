"""How often each kind of thing is drawn; a share of 0 leaves it out."""

from __future__ import annotations

from dataclasses import dataclass, fields

from maskgate.errors import DataError


@dataclass(frozen=True)
class OcclusionShares:
    """Weights of the kinds of drawing, none negative.

    Attributes:
        hands, objects, scarves, beards, hair, held_masks, heads: on bare faces that stay ``no_mask``; only
            their relation to each other counts. Without ``hands`` nothing is held by one either.
        holding: share of the objects and masks beside a face that a hand holds.
        over_mouth: share of the scarves that hide the mouth.
        templates: share of masks that come from photographed templates, the rest being drawn.
        skin_toned: share of masks in the colour of the face they are on.
        touched: share of rightly worn masks that a hand touches.
        hanging: share of wrongly worn masks that hang from one ear.
        glasses: share of all faces drawn on, masked or bare, that get glasses too.
    """

    hands: float = 0.5
    objects: float = 0.16
    scarves: float = 0.18
    beards: float = 0.1
    hair: float = 0.06
    held_masks: float = 0.04
    heads: float = 0.08
    holding: float = 0.6
    over_mouth: float = 0.35
    templates: float = 0.4
    skin_toned: float = 0.14
    touched: float = 0.05
    hanging: float = 0.05
    glasses: float = 0.08

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (field.name not in COVERS and value > 1):
                raise DataError(f"[occlusion.shares] has {field.name} = {value}; use 0 to 1")


COVERS = ("hands", "objects", "scarves", "beards", "hair", "held_masks", "heads")
"""The shares that are weights of what covers bare faces."""
