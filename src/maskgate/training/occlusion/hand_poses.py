"""Where a hand lies on a face: which way its fingers point, and what of it is at the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class HandPose(StrEnum):
    """Fingers over the mouth, a palm over mouth and nose, a fist before the mouth, two hands that meet
    there, or a hand that only touches the face beside it."""

    FINGERS = "fingers"
    PALM = "palm"
    FIST = "fist"
    TWO = "two"
    TOUCHING = "touching"


@dataclass(frozen=True)
class Placement:
    """One hand's place, in face coordinates (x in half eye distances, y in eye-to-mouth distances).

    Attributes:
        x, y: what the hand's ``anchor`` lies on.
        anchor: the part of the hand that lies there, from 0 at the wrist to 1 at the fingertips.
        angle: that the fingers point to, in degrees from upward, positive towards the picture's right.
        length: from wrist to fingertips, in half eye distances. A face is about 6 of these high.
    """

    x: float
    y: float
    anchor: float
    angle: float
    length: float


_SHARES = {
    False: {HandPose.FINGERS: 0.4, HandPose.PALM: 0.4, HandPose.TWO: 0.2},
    True: {HandPose.FIST: 0.65, HandPose.PALM: 0.2, HandPose.TWO: 0.15},
}


def draw_pose(compact: bool, rng: np.random.Generator) -> HandPose:
    """A pose over the mouth that suits a ``compact`` hand (a fist), or one with fingers stretched."""
    shares = _SHARES[compact]
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def place_hands(pose: HandPose, compact: bool, rng: np.random.Generator) -> list[Placement]:
    """The places of one hand, or of both. The wrist comes from below or from a side."""
    length = rng.uniform(3.3, 4.4) if compact else rng.uniform(4.3, 5.9)
    side = -1 if rng.random() < 0.5 else 1  # of the picture that the wrist is on
    if pose is HandPose.TWO:
        y, lean = rng.uniform(0.85, 1.15), rng.uniform(25, 65)
        anchor, gap = rng.uniform(0.62, 0.8), rng.uniform(0.15, 0.6)
        return [
            Placement(s * gap, y + rng.normal(0, 0.05), anchor, -s * lean + rng.normal(0, 5), length)
            for s in (side, -side)
        ]
    if pose is HandPose.FINGERS:
        place = Placement(
            rng.normal(0, 0.15), rng.uniform(0.85, 1.1), rng.uniform(0.68, 0.85), rng.uniform(15, 85), length
        )
    elif pose is HandPose.PALM:
        place = Placement(
            rng.normal(0, 0.2), rng.uniform(0.88, 1.08), rng.uniform(0.45, 0.62), rng.uniform(55, 98), length
        )
    elif pose is HandPose.FIST:
        place = Placement(
            rng.normal(0, 0.2), rng.uniform(0.95, 1.2), rng.uniform(0.6, 0.78), rng.normal(15, 25), length
        )
    else:
        place = Placement(
            side * rng.uniform(0.8, 1.9), rng.uniform(1.1, 2.0), rng.uniform(0.7, 0.98),
            rng.uniform(5, 75), length,
        )  # fmt: skip
    return [Placement(place.x, place.y, place.anchor, -side * place.angle, place.length)]
