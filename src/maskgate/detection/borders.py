"""A border around pictures of one face: detectors want its surroundings too."""

from __future__ import annotations

import cv2
import numpy as np

from maskgate.types import Faces, Image

BORDER = 0.4
"""Of pictures that are crops already, as a share of their longer side."""


def with_border(image: Image, share: float = BORDER) -> tuple[Image, int]:
    """The picture with its rim repeated outwards, and by how many pixels: ``share`` of its longer
    side.

    ``image`` ``(H, W, 3)`` uint8; without a border it is returned as it is.
    """
    border = round(share * max(image.shape[:2]))
    if not border:
        return image, 0
    edges = (border, border, border, border)
    return np.asarray(cv2.copyMakeBorder(image, *edges, cv2.BORDER_REPLICATE), np.uint8), border


def take_border_off(faces: Faces, border: int) -> Faces:
    """Faces found with a border of so many pixels, in pixels of the picture without it; their boxes
    may reach out of it."""
    off = np.float32(border)
    return Faces(faces.boxes - off, faces.scores, faces.landmarks - off)


def clip_faces(faces: Faces, width: int, height: int) -> Faces:
    """The faces with their boxes cut at the edges of a picture."""
    limit = np.array([width, height, width, height], np.float32)
    return Faces(np.clip(faces.boxes, 0, limit), faces.scores, faces.landmarks)
