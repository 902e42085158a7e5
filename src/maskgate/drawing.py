"""Drawn pictures: boxes and labels of verdicts, and faces made unrecognisable.

The colours are of Okabe and Ito's palette, told apart with every kind of colour vision; the words
on the tags say the same without colour. Lines and letters grow with the picture, so that it reads
alike at any size when it is shown as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from maskgate.errors import InputError
from maskgate.images import check_image
from maskgate.types import Faces, Image, Label, Verdict, Verdicts

COLOURS: Final[dict[Label, tuple[int, int, int]]] = {
    Label.MASK: (0, 158, 115),
    Label.NO_MASK: (213, 94, 0),
    Label.INCORRECT: (240, 228, 66),
}
"""RGB of boxes and tags: bluish green, vermilion, yellow."""

WORDS: Final[dict[Label, str]] = {
    Label.MASK: "mask",
    Label.NO_MASK: "no mask",
    Label.INCORRECT: "incorrect",
}

_INK: Final = (16, 16, 16)
_SUBPIXEL: Final = 4
_SMALLEST_LETTERS: Final = 8


@dataclass(frozen=True)
class _Rectangle:
    """Whole pixels: x2 and y2 are the first outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def array(self) -> NDArray[np.float64]:
        return np.array([self.x1, self.y1, self.x2, self.y2], np.float64)


def draw_verdicts(image: Image, verdicts: Verdicts) -> Image:
    """A copy of ``image`` with each face's box, landmarks, label and its probability.

    The box of an uncertain verdict is dashed and its word has a question mark. Boxes reaching over
    the edge are drawn along it; tags stay within the picture and keep off other faces and tags
    where there is room. Where a tag cannot fit, it holds the percentage alone, or is left out.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, not modified.
        verdicts: of that picture.

    Raises :class:`~maskgate.errors.InputError` for a wrong array or verdicts of another size.
    """
    drawn = check_image(image).copy()
    height, width = drawn.shape[:2]
    if (verdicts.width, verdicts.height) != (width, height):
        raise InputError(
            f"verdicts are of a {verdicts.width}×{verdicts.height} picture and image is {width}×{height}; "
            "give the picture that they were made from"
        )
    reach = float(np.sqrt(height * width))
    line = max(1, round(reach / 320))
    found = [(v, box) for v in verdicts if (box := _within(v.box, width, height, line)) is not None]
    # the largest face is nearest and comes last, over the others
    found.sort(key=lambda pair: _area(pair[1]))
    for verdict, box in found:
        _draw_box(drawn, box, COLOURS[verdict.label], line, dashed=verdict.uncertain)
        _draw_landmarks(drawn, verdict, line)
    boxes = np.array([box for _, box in found]).reshape(-1, 4)
    tags = np.zeros((0, 4))
    for i in reversed(range(len(found))):
        verdict, box = found[i]
        letters = float(np.clip((box[3] - box[1]) / 6, reach / 60, reach / 26))
        tag = _fitting_tag(verdict, letters, width, height)
        if tag is not None:
            spot = _place(tag, box, np.delete(boxes, i, 0), tags, line, width, height)
            _blend(drawn, tag, spot)
            tags = np.vstack([tags, spot.array])
    return drawn


def blur_faces(image: Image, faces: Faces) -> Image:
    """A copy of ``image`` in which no face can be recognised.

    Each face is averaged to at most six cells a side and drawn large again, within an ellipse 1.4
    times the box; what is lost in the averages cannot be computed back.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, not modified.
        faces: N faces in its pixels.

    Raises :class:`~maskgate.errors.InputError` for a wrong array.
    """
    blurred = check_image(image).copy()
    height, width = blurred.shape[:2]
    for x1, y1, x2, y2 in faces.boxes.astype(np.float64):
        if not np.isfinite([x1, y1, x2, y2]).all():
            continue
        cx, cy, rx, ry = (x1 + x2) / 2, (y1 + y2) / 2, 0.7 * (x2 - x1), 0.7 * (y2 - y1)
        left, right = (int(v) for v in np.clip([np.floor(cx - rx), np.ceil(cx + rx)], 0, width))
        top, bottom = (int(v) for v in np.clip([np.floor(cy - ry), np.ceil(cy + ry)], 0, height))
        if left >= right or top >= bottom:
            continue
        part = blurred[top:bottom, left:right]
        h, w = part.shape[:2]
        # a cell is a sixth of the face, also where only a part of it is in the picture
        cell = max(2 * rx / 6, 2 * ry / 6, 4)
        cells = (max(1, round(w / cell)), max(1, round(h / cell)))
        coarse = cv2.resize(
            cv2.resize(part, cells, interpolation=cv2.INTER_AREA), (w, h), interpolation=cv2.INTER_CUBIC
        )
        y, x = np.ogrid[top:bottom, left:right]
        inside = ((x + 0.5 - cx) / rx) ** 2 + ((y + 0.5 - cy) / ry) ** 2 <= 1
        part[inside] = coarse[inside]
    return blurred


def _within(box: NDArray[np.float32], width: int, height: int, line: int) -> NDArray[np.float64] | None:
    """``box`` as far as it is in the picture, with room for the line; None where it is outside."""
    x1, y1, x2, y2 = box.astype(np.float64)
    if not (x1 < x2 and y1 < y2 and x2 > 0 and y2 > 0 and x1 < width and y1 < height):
        return None
    half = (line - 1) / 2  # from the middle of a pixel
    last = np.array([width - 1, height - 1], np.float64)
    low, high = np.minimum(half, last / 2), np.maximum(last - half, last / 2)
    cut: NDArray[np.float64] = np.clip([x1, y1, x2, y2], np.tile(low, 2), np.tile(high, 2))
    return cut


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _draw_box(
    image: Image, box: NDArray[np.float64], colour: tuple[int, int, int], line: int, *, dashed: bool
) -> None:
    outline = _rounded_outline(box, radius=4.0 * line)
    pieces = _dashes(outline, 6.0 * line) if dashed else [outline]
    for ink, thickness in ((_INK, line + 2 * max(1, line // 3)), (colour, line)):
        for piece in pieces:
            points = np.rint(piece * 2**_SUBPIXEL).astype(np.int32)
            cv2.polylines(image, [points], False, ink, thickness, cv2.LINE_AA, _SUBPIXEL)


def _rounded_outline(box: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """``(K, 2)`` points around the box, clockwise from the left end of the upper side and back."""
    x1, y1, x2, y2 = box
    r = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    steps = np.linspace(0, np.pi / 2, 9)
    corners = (
        (x2 - r, y1 + r, -np.pi / 2),
        (x2 - r, y2 - r, 0),
        (x1 + r, y2 - r, np.pi / 2),
        (x1 + r, y1 + r, np.pi),
    )
    arcs = [
        np.column_stack([cx + r * np.cos(turn + steps), cy + r * np.sin(turn + steps)])
        for cx, cy, turn in corners
    ]
    points = np.vstack(arcs)
    return np.vstack([points[-1:], points])


def _dashes(outline: NDArray[np.float64], length: float) -> list[NDArray[np.float64]]:
    """The parts of ``outline`` that are drawn: dashes of ``length`` or a little more, gaps alike."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(outline, axis=0).T))])
    pairs = max(2, int(along[-1] / (2 * length)))
    cuts = np.linspace(0, along[-1], 2 * pairs + 1)
    pieces = []
    for start, end in zip(cuts[:-1:2], cuts[1::2], strict=True):
        places = np.concatenate([[start], along[(along > start) & (along < end)], [end]])
        pieces.append(np.column_stack([np.interp(places, along, outline[:, axis]) for axis in (0, 1)]))
    return pieces


def _draw_landmarks(image: Image, verdict: Verdict, line: int) -> None:
    height, width = image.shape[:2]
    side = float(max(verdict.box[2:] - verdict.box[:2]))
    radius = min(1.25 * line, side / 30)
    if radius < 0.5:
        return
    unit = 2**_SUBPIXEL
    for x, y in verdict.landmarks.astype(np.float64):
        if not (0 <= x < width and 0 <= y < height):
            continue
        centre = round(x * unit), round(y * unit)
        for ink, r in ((_INK, radius + 1), ((255, 255, 255), radius)):
            cv2.circle(image, centre, round(r * unit), ink, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL)


@dataclass(frozen=True, eq=False)
class _Tag:
    """A small picture to lay over: ``(h, w, 3)`` uint8 RGB and ``(h, w)`` opacity from 0 to 1."""

    pixels: Image
    opacity: NDArray[np.float32]


def _fitting_tag(verdict: Verdict, letters: float, width: int, height: int) -> _Tag | None:
    """The longest text in the largest letters that the picture has room for."""
    percent = _percent(verdict.probabilities[verdict.label])
    mark = "?" if verdict.uncertain else ""
    for text in (f"{WORDS[verdict.label]}{mark} {percent}", f"{percent}{mark}"):
        size = max(round(letters), _SMALLEST_LETTERS)
        while size >= _SMALLEST_LETTERS:
            w, h = _tag_size(text, size)
            if w <= width and h <= height:
                return _make_tag(text, size, COLOURS[verdict.label])
            size = min(size - 1, int(size * min(width / w, height / h)))
    return None


def _percent(probability: float) -> str:
    """Whole per cent, without claiming certainty that rounding alone would give."""
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this build of Pillow has no FreeType, which draws the letters")
    return font


def _tag_size(text: str, size: int) -> tuple[int, int]:
    return round(_font(size).getlength(text) + 0.9 * size), round(1.5 * size)


@lru_cache(maxsize=256)
def _make_tag(text: str, size: int, colour: tuple[int, int, int]) -> _Tag:
    width, height = _tag_size(text, size)
    # Pillow's shapes have hard edges: drawn four times as large they are smooth
    shape = Pillow.new("L", (4 * width, 4 * height))
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), 4 * height // 5, fill=255)
    opacity = np.asarray(shape.resize((width, height), Pillow.Resampling.BOX), np.float32) / np.float32(255)
    picture = Pillow.new("RGB", (width, height), colour)
    ImageDraw.Draw(picture).text((width / 2, height / 2), text, _INK, _font(size), anchor="mm")
    return _Tag(np.asarray(picture), opacity)


def _place(
    tag: _Tag,
    box: NDArray[np.float64],
    others: NDArray[np.float64],
    tags: NDArray[np.float64],
    line: int,
    width: int,
    height: int,
) -> _Rectangle:
    """Where the tag hides least: above the box if it can be, else below, beside or within it."""
    h, w = tag.opacity.shape
    x1, y1, x2, y2 = box
    gap = 1.5 * line
    corners = (
        (x1, y1 - gap - h),
        (x2 - w, y1 - gap - h),
        (x1, y2 + gap),
        (x2 - w, y2 + gap),
        (x2 + gap, y1),
        (x1 - gap - w, y1),
        (x2 + gap, y2 - h),
        (x1 - gap - w, y2 - h),
        (x1 + gap, y1 + gap),
        (x1 + gap, y2 - gap - h),
    )
    best, least = _Rectangle(0, 0, w, h), np.inf
    for x, y in corners:
        left, top = round(float(np.clip(x, 0, width - w))), round(float(np.clip(y, 0, height - h)))
        spot = _Rectangle(left, top, left + w, top + h)
        hidden = 4 * _overlaps(spot, tags) + 2 * _overlaps(spot, others) + _overlaps(spot, box[None])
        if hidden < least:
            best, least = spot, hidden
    return best


def _overlaps(spot: _Rectangle, boxes: NDArray[np.float64]) -> float:
    """Pixels of ``spot`` that lie in ``(N, 4)`` boxes, summed."""
    low = np.maximum(spot.array[:2], boxes[:, :2])
    high = np.minimum(spot.array[2:], boxes[:, 2:])
    return float(np.clip(high - low, 0, None).prod(1).sum())


def _blend(image: Image, tag: _Tag, spot: _Rectangle) -> None:
    part = image[spot.y1 : spot.y2, spot.x1 : spot.x2]
    opacity = tag.opacity[..., None]
    part[:] = np.rint(part + opacity * (tag.pixels - part.astype(np.float32))).astype(np.uint8)
