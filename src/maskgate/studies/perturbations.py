"""Controlled changes of one face in a picture; box and landmarks follow the picture.

Every function takes a :class:`FaceView`, the size of the change (its unit stands in the function's text)
and a random generator, and returns a new view; or the same one where the size of the change is that of
no change, and None where the change cannot be made on this face. What is drawn by lot (the side of a
shadow, the grains of the noise) comes from the generator alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError
from maskgate.types import Faces, Image

Level = float | str
"""The size of a change, or the name of one of several."""

GAMMA = 2.2
"""Of the display that pictures are encoded for: twice the light is 2 ** (1 / 2.2) times the value."""


@dataclass(frozen=True, eq=False)
class FaceView:
    """One annotated face and what is around it.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        box: ``(4,)`` float32 x1, y1, x2, y2 in pixels of ``image``.
        landmarks: ``(5, 2)`` float32 pixels; NaN where none are known.
        label: place in :data:`maskgate.types.LABELS`.
        picture: number of the picture that the face comes from.
        other: a picture of something else, for another background; None where there is none.
    """

    image: Image
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    label: int
    picture: int = 0
    other: Image | None = None

    @property
    def face(self) -> Faces:
        """The face as the pipeline's parts want it, with score 1."""
        return Faces(self.box[None], np.ones(1, np.float32), self.landmarks[None])

    @property
    def centre(self) -> NDArray[np.float64]:
        """Of the box, ``(2,)`` pixels."""
        return np.asarray((self.box[:2].astype(np.float64) + self.box[2:]) / 2)

    @property
    def sides(self) -> NDArray[np.float64]:
        """Width and height of the box in pixels."""
        return np.asarray(self.box[2:].astype(np.float64) - self.box[:2])

    @property
    def roll(self) -> float:
        """Degrees, see :attr:`maskgate.types.Faces.roll`; 0 without landmarks."""
        return float(np.nan_to_num(self.face.roll[0]))

    def cut(self, reach: float) -> FaceView:
        """The part of the picture as far as ``reach`` longer sides of the box from its centre."""
        half = reach * float(self.sides.max())
        height, width = self.image.shape[:2]
        x1, y1 = np.clip(np.floor(self.centre - half).astype(int), 0, [width - 1, height - 1]).tolist()
        x2, y2 = np.clip(np.ceil(self.centre + half).astype(int), [x1 + 1, y1 + 1], [width, height]).tolist()
        corner = np.array([x1, y1], np.float32)
        return replace(
            self,
            image=self.image[y1:y2, x1:x2].copy(),
            box=(self.box.reshape(2, 2) - corner).reshape(4),
            landmarks=self.landmarks - corner,
        )


def roll(view: FaceView, degrees: float, rng: np.random.Generator) -> FaceView:
    """Turns the picture about the face, clockwise for positive ``degrees``; its size stays.

    The new box is half-way between those around the turned box and around the ellipse in it, as a face
    is neither; :func:`maskgate.alignment.rotate_and_crop_matrix` undoes the same. What comes from
    outside the picture repeats its rim.
    """
    if degrees == 0:
        return view
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    matrix = np.column_stack([turn, view.centre - turn @ view.centre])
    height, width = view.image.shape[:2]
    image = cv2.warpAffine(
        view.image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    half = view.sides / 2
    half = (np.abs(turn) @ half + np.sqrt(turn**2 @ half**2)) / 2
    box = np.concatenate([view.centre - half, view.centre + half])
    landmarks = view.landmarks @ turn.T + matrix[:, 2]
    return replace(
        view,
        image=np.asarray(image, np.uint8),
        box=box.astype(np.float32),
        landmarks=landmarks.astype(np.float32),
    )


def _rounded(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.round(values), 0, 255), np.uint8)


def exposure(view: FaceView, stops: float, rng: np.random.Generator) -> FaceView:
    """Light times 2 ** ``stops``; what gets too bright is cut off, as in a camera."""
    if stops == 0:
        return view
    table = _rounded(np.arange(256) * 2 ** (stops / GAMMA))
    return replace(view, image=table[view.image])


def white_balance(view: FaceView, stops: float, rng: np.random.Generator) -> FaceView:
    """Red light times 2 ** (``stops`` / 2) and blue light divided by it: warm above 0, cold below."""
    if stops == 0:
        return view
    gain = 2 ** (stops / 2 / GAMMA)
    image = view.image.copy()
    image[..., 0] = _rounded(np.arange(256) * gain)[image[..., 0]]
    image[..., 2] = _rounded(np.arange(256) / gain)[image[..., 2]]
    return replace(view, image=image)


def contrast(view: FaceView, factor: float, rng: np.random.Generator) -> FaceView:
    """Distances from the face's mean grey value times ``factor`` (from 0 on)."""
    if factor < 0:
        raise InputError(f"the contrast's factor is {factor}; give 0 or more")
    if factor == 1:
        return view
    mean = float(_inside(view).mean())
    return replace(view, image=_rounded(mean + factor * (np.arange(256) - mean))[view.image])


def _inside(view: FaceView) -> Image:
    """What of the picture is in the box; at least a pixel."""
    height, width = view.image.shape[:2]
    x1, y1 = np.clip(np.round(view.box[:2]).astype(int), 0, [width - 1, height - 1]).tolist()
    x2, y2 = np.clip(np.round(view.box[2:]).astype(int), [x1 + 1, y1 + 1], [width, height]).tolist()
    return view.image[y1:y2, x1:x2]


def mean_colour(view: FaceView) -> NDArray[np.float32]:
    """Mean RGB ``(3,)`` inside the box."""
    return np.asarray(_inside(view).reshape(-1, 3).mean(0), np.float32)


def half_shadow(view: FaceView, stops: float, rng: np.random.Generator) -> FaceView:
    """Light divided by 2 ** ``stops`` on one side of the face's middle line, which one by lot.

    The shadow's edge is soft over a tenth of the face and goes on through the picture.
    """
    side = -1.0 if rng.random() < 0.5 else 1.0
    if stops == 0:
        return view
    a = np.deg2rad(view.roll)
    height, width = view.image.shape[:2]
    x = (np.arange(width) - view.centre[0]) * np.cos(a)
    y = (np.arange(height) - view.centre[1])[:, None] * np.sin(a)
    dark = np.clip(side * (x + y) / (0.1 * float(view.sides.max())) + 0.5, 0, 1)
    gain = 1 + (2 ** (-stops / GAMMA) - 1) * dark
    return replace(view, image=_rounded(view.image * gain[..., None]))


def noise(view: FaceView, deviation: float, rng: np.random.Generator) -> FaceView:
    """Gaussian noise of that standard deviation in grey values, independent in every value."""
    if deviation == 0:
        return view
    grains = rng.standard_normal(view.image.shape, np.float32) * np.float32(deviation)
    return replace(view, image=_rounded(view.image + grains))


def blur(view: FaceView, percent: float, rng: np.random.Generator) -> FaceView:
    """Gaussian blur; its standard deviation is ``percent`` of the box's longer side."""
    if percent == 0:
        return view
    sigma = percent / 100 * float(view.sides.max())
    image = cv2.GaussianBlur(view.image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return replace(view, image=np.asarray(image, np.uint8))


def jpeg(view: FaceView, quality: float, rng: np.random.Generator) -> FaceView:
    """Saved as JPEG with ``quality`` from 1 to 100, and read again."""
    if not 1 <= quality <= 100:
        raise InputError(f"the JPEG quality is {quality}; give 1 to 100")
    bgr = cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    read = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB)
    return replace(view, image=np.asarray(read, np.uint8))


def shrink(view: FaceView, side: float, rng: np.random.Generator) -> FaceView | None:
    """The picture smaller, so that the box's shorter side has ``side`` pixels.

    It lies in the middle of one of the old size in its mean colour: a detector that enlarges small
    pictures would undo the change otherwise. None where the face is smaller already, for nothing that
    is made larger gets the detail of a large face.
    """
    factor = side / float(view.sides.min())
    if factor > 1 + 1e-6:  # sides are float32
        return None
    height, width = view.image.shape[:2]
    size = np.array([max(round(width * factor), 1), max(round(height * factor), 1)])
    small = cv2.resize(view.image, size.tolist(), interpolation=cv2.INTER_AREA)
    x, y = ((np.array([width, height]) - size) // 2).tolist()
    image = np.empty_like(view.image)
    image[:] = np.round(view.image.reshape(-1, 3).mean(0))
    image[y : y + size[1], x : x + size[0]] = small
    scale = size / [width, height]
    box = view.box.reshape(2, 2) * scale + [x, y]
    landmarks = view.landmarks * scale + [x, y]
    return replace(
        view, image=image, box=box.reshape(4).astype(np.float32), landmarks=landmarks.astype(np.float32)
    )


def cover_side(view: FaceView, share: float, rng: np.random.Generator) -> FaceView:
    """A plain board over that share of the box's width, from the left or the right by lot.

    It is as high as the picture, like a door or a pillar before the face, and as bright as the lot says.
    """
    left, grey = bool(rng.random() < 0.5), rng.uniform(30, 225)
    if share == 0:
        return view
    x1, x2 = float(view.box[0]), float(view.box[2])
    image = view.image.copy()
    if left:
        image[:, max(round(x1 - 0.5 * (x2 - x1)), 0) : max(round(x1 + share * (x2 - x1)), 0)] = round(grey)
    else:
        image[:, max(round(x2 - share * (x2 - x1)), 0) : max(round(x2 + 0.5 * (x2 - x1)), 0)] = round(grey)
    return replace(view, image=image)


def cover_above(view: FaceView, share: float, rng: np.random.Generator) -> FaceView:
    """A plain board over that share of the box's height, from above; it is as wide as the picture."""
    grey = rng.uniform(30, 225)
    if share == 0:
        return view
    y1, y2 = float(view.box[1]), float(view.box[3])
    image = view.image.copy()
    image[max(round(y1 - 0.5 * (y2 - y1)), 0) : max(round(y1 + share * (y2 - y1)), 0)] = round(grey)
    return replace(view, image=image)
