"""Upright face crops: the paper's rotate-and-crop and the five-point similarity transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError
from maskgate.types import AVERAGE_LANDMARKS, Faces, Image

ARCFACE_TEMPLATE: NDArray[np.float32] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""``(5, 2)`` landmark positions in a 112×112 crop, as ArcFace (Deng et al. 2019) places them."""


CropKind = Literal["rotate", "five-point"]


@dataclass(frozen=True)
class CropSpec:
    """How a classifier wants its faces cut.

    Attributes:
        kind: ``"rotate"`` for :func:`rotate_and_crop`, ``"five-point"`` for
            :func:`align_five_points`.
        size: side in pixels.
        margin: of :func:`rotate_and_crop`.

    Raises :class:`~maskgate.errors.InputError` on other values.
    """

    kind: CropKind = "rotate"
    size: int = 112
    margin: float = 1.35

    def __post_init__(self) -> None:
        if self.kind not in get_args(CropKind):
            raise InputError(f"the crop's kind is {self.kind!r}; use 'rotate' or 'five-point'")
        if self.size < 8 or not 0.5 <= self.margin <= 4:
            raise InputError(f"the crop's size {self.size} or margin {self.margin} is out of range")

    def cut(self, image: Image, faces: Faces) -> Image:
        """``(N, size, size, 3)`` uint8 crops of N faces."""
        if self.kind == "five-point":
            return align_five_points(image, faces, self.size)
        return rotate_and_crop(image, faces, self.size, self.margin)


def rotate_and_crop_matrix(
    box: NDArray[np.float32], roll: float, size: int, margin: float
) -> NDArray[np.float64]:
    """``(2, 3)`` affine matrix from picture to crop pixels.

    The square has the side ``margin`` × the longer side of the box *as turned upright*, and the
    box's centre in its middle. The box of a face rolled by ``roll`` degrees is larger than the
    face: its sides are those of the upright box turned by ``roll``, which is undone here as far as
    45° (beyond that the axes change places).
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    side = margin * _upright_side(x2 - x1, y2 - y1, roll)
    scale = size / max(side, 1e-6)
    a = np.deg2rad(roll)
    cos, sin = np.cos(a) * scale, np.sin(a) * scale
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    middle = (size - 1) / 2
    return np.array(
        [[cos, sin, middle - cos * cx - sin * cy], [-sin, cos, middle + sin * cx - cos * cy]], np.float64
    )


def _upright_side(width: float, height: float, roll: float) -> float:
    """Longer side of the face whose turned box measures ``width`` × ``height``.

    A face of side s turned by a has a box of about s·(|cos a| + |sin a|) if its outline were a
    square and of s if it were a circle; faces are between the two, hence the half.
    """
    a = np.deg2rad(roll)
    grow = abs(np.cos(a)) + abs(np.sin(a))
    return max(width, height) / (1 + 0.5 * (float(grow) - 1))


def rotate_and_crop(image: Image, faces: Faces, size: int = 112, margin: float = 1.35) -> Image:
    """Rolls each face upright about its box's centre and cuts it out (paper, Sec. III-A, Alg. 1).

    Args:
        image: ``(H, W, 3)`` uint8.
        faces: N faces in the picture's pixels.
        size: side of the crops in pixels.
        margin: side of the square over the longer side of the upright box.

    Returns ``(N, size, size, 3)`` uint8; outside the picture the nearest pixel is repeated. Faces
    without landmarks are taken as upright.
    """
    matrices = [
        rotate_and_crop_matrix(box, float(roll), size, margin)
        for box, roll in zip(faces.boxes, np.nan_to_num(faces.roll), strict=True)
    ]
    return _warp(image, matrices, size)


def similarity_matrix(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares rotation, uniform scale and shift from ``source`` to ``target``.

    Both ``(K, 2)``, K ≥ 2; returns ``(2, 3)``. Closed form in the plane (Umeyama 1991, without
    reflection). Raises :class:`~maskgate.errors.InputError` where all source points coincide.
    """
    s, t = source.astype(np.float64), target.astype(np.float64)
    ms, mt = s.mean(0), t.mean(0)
    s, t = s - ms, t - mt
    power = float((s**2).sum())
    if power < 1e-9:
        raise InputError("landmarks coincide; a similarity transform needs two different points")
    a = float((s * t).sum()) / power
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / power
    turn = np.array([[a, -b], [b, a]])
    return np.hstack([turn, (mt - turn @ ms)[:, None]])


def align_five_points(image: Image, faces: Faces, size: int = 112) -> Image:
    """Maps each face's five landmarks onto :data:`ARCFACE_TEMPLATE`.

    Returns ``(N, size, size, 3)`` uint8; outside the picture the nearest pixel is repeated. Faces
    without landmarks are taken as upright, with landmarks where an average face in the box has them.
    """
    target = ARCFACE_TEMPLATE * (size / 112)
    return _warp(image, [similarity_matrix(points, target) for points in _known_landmarks(faces)], size)


def _known_landmarks(faces: Faces) -> NDArray[np.float32]:
    landmarks = faces.landmarks.copy()
    for i in np.flatnonzero(np.isnan(landmarks).any((1, 2))):
        x1, y1, x2, y2 = faces.boxes[i]
        landmarks[i] = AVERAGE_LANDMARKS * (x2 - x1, y2 - y1) + (x1, y1)
    return landmarks


def _warp(image: Image, matrices: Sequence[NDArray[np.float64]], size: int) -> Image:
    out = np.empty((len(matrices), size, size, 3), np.uint8)
    for i, matrix in enumerate(matrices):
        source, m = image, matrix
        scale = float(np.hypot(m[0, 0], m[1, 0]))
        if scale < 0.5:
            # bilinear sampling skips pixels below half size: average them first, on a cut-out
            source, m = _shrink(image, m, size, scale)
        cv2.warpAffine(
            source, m, (size, size), dst=out[i], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return out


def _shrink(
    image: Image, matrix: NDArray[np.float64], size: int, scale: float
) -> tuple[Image, NDArray[np.float64]]:
    """The part of the picture that the crop covers, averaged down by a whole factor."""
    factor = int(1 / scale)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    back = cv2.invertAffineTransform(matrix)
    reach = corners @ back[:, :2].T + back[:, 2]
    h, w = image.shape[:2]
    x1, y1 = np.clip(np.floor(reach.min(0)).astype(int) - 1, 0, [max(w - 1, 0), max(h - 1, 0)])
    x2, y2 = np.clip(np.ceil(reach.max(0)).astype(int) + 2, [x1 + 1, y1 + 1], [w, h])
    nw, nh = max((x2 - x1) // factor, 1), max((y2 - y1) // factor, 1)
    small = cv2.resize(image[y1:y2, x1:x2], (nw, nh), interpolation=cv2.INTER_AREA)
    sx, sy = (x2 - x1) / nw, (y2 - y1) / nh
    # crop = M·(picture); picture = s·(small + 0.5) - 0.5 + corner
    to_picture = np.array([[sx, 0, x1 + (sx - 1) / 2], [0, sy, y1 + (sy - 1) / 2], [0, 0, 1]])
    shrunk: Image = np.asarray(small, np.uint8)
    return shrunk, (np.vstack([matrix, [0, 0, 1]]) @ to_picture)[:2]
