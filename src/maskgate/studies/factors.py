"""What makes faces hard, as the paper lists it (Sec. II), each with the values it is tried at.

The seven: 1 the face's position, 2 partial cover, 3 lighting and what the camera does, 4 glasses, beards
and other accessories, 5 size, 6 background, 7 expression. Roll is made; yaw cannot be from one picture,
so that faces are sorted by their own. Pitch and expression are left out: five landmarks do not tell pitch
from a long or a short face, and none of them is on a lip or an eyebrow; nor can a still picture be made to
laugh without inventing a face, and under a mask there would be nothing to compare it with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.studies import perturbations as p
from maskgate.studies.perturbations import FaceView, Level
from maskgate.studies.surroundings import BACKGROUNDS, Occluders, background
from maskgate.training.occlusion.hands import Hand

Perturb = Callable[[FaceView, Any, np.random.Generator], FaceView | None]
"""Takes a level of its factor; see :mod:`maskgate.studies.perturbations`."""


@dataclass(frozen=True)
class Factor:
    """One thing that is varied.

    Attributes:
        name: of the factor.
        number: which of the paper's seven it belongs to.
        unit: of the levels; what the axis of its plot says.
        levels: numbers in rising order, or names.
        coarse: those of the levels that are tried end to end, which costs more.
        perturb: makes the change.
        log: whether the axis of its plot is logarithmic.
    """

    name: str
    number: int
    unit: str
    levels: tuple[Level, ...]
    coarse: tuple[Level, ...]
    perturb: Perturb
    log: bool = False


NOSE_DEPTH = 0.87
"""How far the tip of the nose stands out before the eyes, in half eye distances."""


def yaw_of(landmarks: NDArray[np.float32]) -> float:
    """Degrees in [0, 90] by which a face looks aside, estimated from ``(5, 2)`` landmarks.

    The tip of the nose stands out by :data:`NOSE_DEPTH` half eye distances E. Turned by ψ the half eye line
    is seen as E·cos ψ and the nose as 0.87·E·sin ψ off its middle, whence tan ψ = offset / (0.87 · half eye
    line). A rough figure: noses differ, and under a mask the detector guesses where the nose is.
    NaN where a landmark is unknown or the eyes coincide.
    """
    points = landmarks.astype(np.float64)
    half = (points[1] - points[0]) / 2
    length = float(np.hypot(*half))
    if not np.isfinite(points).all() or length < 1e-6:
        return float("nan")
    offset = float((points[2] - (points[0] + points[1]) / 2) @ half) / length
    return float(np.degrees(np.arctan2(abs(offset), NOSE_DEPTH * length)))


YAW_BINS: dict[str, tuple[float, float]] = {
    f"{low}–{high}": (low, high) for low, high in ((0, 10), (10, 20), (20, 30), (30, 45), (45, 60), (60, 90))
}
"""Names of the bins and their edges in degrees; the lower edge is inside, and 90 too."""


def yaw_bin(view: FaceView, name: Level, rng: np.random.Generator) -> FaceView | None:
    """The view as it is, where its face's yaw lies in that bin; else None."""
    low, high = YAW_BINS[str(name)]
    yaw = yaw_of(view.landmarks)
    return view if low <= yaw < high or yaw == high == 90 else None


def _numbers(*levels: float) -> tuple[Level, ...]:
    return levels


def standard_factors(hands: Sequence[Hand] = ()) -> tuple[Factor, ...]:
    """All factors. ``hands`` as for :class:`~maskgate.studies.surroundings.Occluders`."""
    occluders = Occluders(hands)
    return (
        Factor("roll", 1, "degrees, clockwise", tuple(range(-60, 61, 10)), tuple(range(-60, 61, 20)), p.roll),
        Factor("yaw", 1, "degrees to either side", tuple(YAW_BINS), tuple(YAW_BINS), yaw_bin),
        Factor("cover from a side", 2, "share of the width", _numbers(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
               _numbers(0, 0.2, 0.4), p.cover_side),
        Factor("cover from above", 2, "share of the height", _numbers(0, 0.1, 0.2, 0.3, 0.4, 0.5),
               _numbers(0, 0.2, 0.4), p.cover_above),
        Factor("exposure", 3, "stops", _numbers(-8, -6, -4, -2, -1, 0, 1, 2, 3), _numbers(-6, -2, 0, 2),
               p.exposure),
        Factor("contrast", 3, "factor", _numbers(0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3),
               _numbers(0.1, 0.5, 1, 2), p.contrast, log=True),
        Factor("half in shadow", 3, "stops", _numbers(0, 1, 2, 3, 4, 5), _numbers(0, 2, 4), p.half_shadow),
        Factor("colour balance", 3, "stops of red over blue", _numbers(-3, -2, -1, 0, 1, 2, 3),
               _numbers(-2, 0, 2), p.white_balance),
        Factor("noise", 3, "standard deviation, grey values", _numbers(0, 5, 10, 20, 30, 45, 60),
               _numbers(0, 10, 30, 60), p.noise),
        Factor("blur", 3, "standard deviation, % of the face", _numbers(0, 0.5, 1, 2, 3, 4, 6, 8),
               _numbers(0, 1, 3, 6), p.blur),
        Factor("JPEG", 3, "quality", _numbers(3, 5, 10, 20, 30, 50, 70, 90), _numbers(5, 10, 30, 90), p.jpeg),
        Factor("occluders", 4, "", occluders.names, occluders.names, occluders),
        Factor("size", 5, "pixels", _numbers(16, 20, 24, 32, 48, 64, 96, 128, 160),
               _numbers(16, 24, 32, 64, 128), p.shrink, log=True),
        Factor("background", 6, "", BACKGROUNDS, BACKGROUNDS, background),
    )  # fmt: skip
