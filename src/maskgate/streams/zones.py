"""Parts of the picture where rules hold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import InputError

Point = tuple[float, float]


@dataclass(frozen=True)
class Zone:
    """A polygon in the picture of one camera.

    Attributes:
        name: as events have it.
        camera: whose picture it is in.
        polygon: three or more corners, x and y as shares of the picture's width and height, so that
            the zone stays where it is when the camera changes its resolution.

    Raises :class:`~maskgate.errors.InputError` where the corners make no area, lie outside the picture,
    or the sides cross each other.
    """

    name: str
    camera: str
    polygon: tuple[Point, ...]

    def __post_init__(self) -> None:
        points = self.polygon
        if len(points) < 3:
            raise InputError(f"a polygon of {len(points)} points has no area; give at least 3")
        for x, y in points:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise InputError(
                    f"the point [{x:g}, {y:g}] lies outside the picture; give shares of its width and "
                    "height, from 0 to 1"
                )
        sides = list(zip(points, points[1:] + points[:1], strict=True))
        for (a, b), (c, d) in combinations(sides, 2):
            if _cross(a, b, c, d):
                raise InputError("the sides of the polygon cross; give its corners in order around it")
        if cv2.contourArea(np.array(points, np.float32)) < 1e-4:
            raise InputError("the polygon has no area; give corners that do not lie on one line")

    def holds(self, box: NDArray[np.float32], width: int, height: int) -> bool:
        """Whether the centre of ``box``, ``(4,)`` pixels of a ``width`` × ``height`` picture, is in it."""
        x, y = (float(box[0] + box[2]) / 2 / width, float(box[1] + box[3]) / 2 / height)
        contour = np.array(self.polygon, np.float32)
        return cv2.pointPolygonTest(contour, (x, y), False) >= 0


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd cross in a point that is an end of neither."""
    return (_turn(a, b, c) * _turn(a, b, d) < 0) and (_turn(c, d, a) * _turn(c, d, b) < 0)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
