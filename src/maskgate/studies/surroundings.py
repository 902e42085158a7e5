"""What is on a face and what is behind it, as changes of a face's view.

Functions as in :mod:`maskgate.studies.perturbations`, but the change is chosen by a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError
from maskgate.studies.perturbations import FaceView, Level, mean_colour
from maskgate.training.occlusion.blending import fill_polygon, lay_over
from maskgate.training.occlusion.cloth import draw_beard
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.glasses import draw_glasses
from maskgate.training.occlusion.hands import Hand, lay_hand
from maskgate.training.occlusion.heads import draw_head
from maskgate.training.occlusion.hoods import draw_hood
from maskgate.training.occlusion.objects import draw_object
from maskgate.types import LABELS, Image, Label

AS_IT_IS = "as it is"
"""The name of no change."""

_MASK, _NO_MASK = LABELS.index(Label.MASK), LABELS.index(Label.NO_MASK)

_HOLDING = 0.6
"""Share of the things before a mouth that a hand holds."""

Draw = Callable[[Image, NDArray[np.float32], np.random.Generator], Image]


@dataclass(frozen=True)
class Occluders:
    """Things drawn on faces, none of which changes what the face's label should be.

    Glasses and hoods come on every face; beards, a head in front, a hand or a thing before the mouth only
    on bare ones, for on a mask they would hide it; a hand that touches the face only on those with a mask.

    Attributes:
        hands: cut-out hands. A judge wants other people's than training had: the held-out side of
            :func:`maskgate.training.occlusion.hand_split.split_hands`. Without any, what needs a hand is
            left out.
    """

    hands: Sequence[Hand] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What can be drawn, after :data:`AS_IT_IS`."""
        with_hands = ("hand", "hand at the mask") if self.hands else ()
        return (AS_IT_IS, "glasses", "beard", "hood", "head in front", "object", *with_hands)

    def __call__(self, view: FaceView, name: Level, rng: np.random.Generator) -> FaceView | None:
        """None where the landmarks are unknown or say too little, and where it does not suit the label.

        Raises :class:`~maskgate.errors.InputError` on a name that is not among :attr:`names`.
        """
        if name not in self.names:
            raise InputError(f"nothing named {name!r} can be drawn; the names are {', '.join(self.names)}")
        if np.isnan(view.landmarks).any() or FaceFrame.from_landmarks(view.landmarks) is None:
            return None
        if name == AS_IT_IS:
            return view
        if view.label not in _SUITS.get(str(name), range(len(LABELS))):
            return None
        return replace(view, image=self._draw(str(name))(view.image, view.landmarks, rng))

    @cached_property
    def digest(self) -> str:
        """Of the hands."""
        digest = hashlib.sha256()
        for hand in self.hands:
            digest.update(hand.rgb.tobytes())
        return digest.hexdigest()

    def _draw(self, name: str) -> Draw:
        if name == "object":
            return self._object
        if name in ("hand", "hand at the mask"):
            return lambda image, landmarks, rng: lay_hand(
                image, landmarks, self._hand(rng), rng, touching=name == "hand at the mask"
            )
        return {"glasses": draw_glasses, "beard": draw_beard, "hood": draw_hood, "head in front": draw_head}[
            name
        ]

    def _object(self, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Image:
        held = bool(self.hands) and bool(rng.random() < _HOLDING)
        return draw_object(image, landmarks, rng, self._hand(rng) if held else None)

    def _hand(self, rng: np.random.Generator) -> Hand:
        return self.hands[int(rng.integers(len(self.hands)))]


_SUITS = {
    "beard": (_NO_MASK,),
    "head in front": (_NO_MASK,),
    "object": (_NO_MASK,),
    "hand": (_NO_MASK,),
    "hand at the mask": (_MASK,),
}

BACKGROUNDS = (AS_IT_IS, "blurred", "plain", "low contrast", "noisy", "another picture")


def background(view: FaceView, name: Level, rng: np.random.Generator) -> FaceView | None:
    """Another background around the head: the picture's own blurred, plain grey, the face's mean colour,
    noise, or another picture.

    The head is an ellipse somewhat larger than the box, with a soft rim. None where the view knows no
    other picture. Raises :class:`~maskgate.errors.InputError` on a name not among :data:`BACKGROUNDS`.
    """
    if name not in BACKGROUNDS:
        raise InputError(f"there is no background {name!r}; the names are {', '.join(BACKGROUNDS)}")
    if name == "another picture" and view.other is None:
        return None
    if name == AS_IT_IS:
        return view
    height, width = view.image.shape[:2]
    side = float(view.sides.max())
    if name == "blurred":
        layer = cv2.GaussianBlur(view.image, (0, 0), 0.2 * side, borderType=cv2.BORDER_REPLICATE)
    elif name == "plain":
        layer = np.full_like(view.image, 128)
    elif name == "low contrast":
        layer = np.broadcast_to(mean_colour(view), view.image.shape)
    elif name == "noisy":
        # grains a twentieth of the face: fine ones would be averaged away in the crop
        cells = max(round(20 * height / side), 2), max(round(20 * width / side), 2)
        grains = rng.integers(0, 256, (*cells, 3), np.uint8)
        layer = cv2.resize(grains, (width, height), interpolation=cv2.INTER_NEAREST)
    else:
        assert view.other is not None
        layer = _fill(view.other, width, height)
    cover = 1 - head_cover(view)
    return replace(view, image=lay_over(view.image, np.asarray(layer, np.float32), cover))


def _fill(picture: Image, width: int, height: int) -> Image:
    """``picture`` scaled to cover that size, and its middle cut out."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = max(round(picture.shape[1] * scale), width), max(round(picture.shape[0] * scale), height)
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(large[y : y + height, x : x + width], np.uint8)


def head_cover(view: FaceView) -> NDArray[np.float32]:
    """Where the head is: ``(H, W)`` float32 in [0, 1], 1 on the face and soft at the rim.

    An ellipse 1.2 times as wide as the box and 1.3 times as high, moved a little to where the hair is.
    """
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    width, height = view.sides
    a = np.deg2rad(view.roll)
    upward = 0.05 * float(view.sides.max()) * np.array([np.sin(a), -np.cos(a)])
    ring = np.stack([0.6 * width * np.cos(angle), 0.65 * height * np.sin(angle)], 1)
    shape = view.image.shape[0], view.image.shape[1]
    cover = fill_polygon(shape, ring + view.centre + upward)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.03 * float(view.sides.max()), 0.5))
    return np.asarray(soft, np.float32)
