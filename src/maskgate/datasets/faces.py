"""Faces found in pictures of all kinds, and cut out for a person or a network to look at."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.alignment import rotate_and_crop
from maskgate.detection import Detector
from maskgate.detection.borders import take_border_off, with_border
from maskgate.types import Faces, Image

Cut = Literal["upright", "surroundings"]
"""A square with the face upright in it, or the part of the picture around the face as it is."""

LARGEST_CROP = 512
"""Longest side in pixels of a cut-out face; larger ones are scaled down."""


def find_faces(detector: Detector, image: Image, smallest: float, *, close_ups: bool = False) -> Faces:
    """Faces whose shorter side is at least ``smallest`` pixels, best score first.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        close_ups: where none is found, look again with a border around the picture: detectors
            want the surroundings of a face, which pictures of one face lack.
    """
    faces = detector.detect([image])[0]
    if not len(faces) and close_ups:
        padded, border = with_border(image)
        faces = take_border_off(detector.detect([padded])[0], border)
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    return faces.select(sides.min(1, initial=np.inf) >= smallest)


def cut_face(image: Image, faces: Faces, place: int, cut: Cut, margin: float) -> Image:
    """One face cut out of its picture, at the picture's own scale up to :data:`LARGEST_CROP`.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        faces: in the picture's pixels.
        place: of the face in ``faces``.
        margin: side of the result over the longer side of the face's box.

    Returns ``(h, w, 3)`` uint8: a square where ``cut`` is ``upright``.
    """
    box = faces.boxes[place]
    side = float(max(box[2] - box[0], box[3] - box[1]))
    size = int(np.clip(round(side * margin), 16, LARGEST_CROP))
    if cut == "upright":
        crop: Image = rotate_and_crop(image, faces.select([place]), size, margin)[0]
        return crop
    return _shrink(cut_around(image, box, margin)[0])


def cut_around(image: Image, box: NDArray[np.float32], margin: float) -> tuple[Image, tuple[int, int]]:
    """The square around a box, as far as it is in the picture, and its corner (x, y) there."""
    height, width = image.shape[:2]
    centre = (box[:2] + box[2:]) / 2
    half = margin * float(max(box[2] - box[0], box[3] - box[1])) / 2
    x1, y1 = (max(int(v), 0) for v in np.floor(centre - half))
    x2, y2 = (int(v) for v in np.minimum(np.ceil(centre + half), [width, height]))
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    return image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], (x1, y1)


def _shrink(image: Image) -> Image:
    scale = LARGEST_CROP / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
