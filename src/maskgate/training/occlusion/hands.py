"""Hands cut out of photographs with a plain background and laid over mouths and noses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.training.occlusion.blending import Area, lay_over
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.hand_poses import HandPose, Placement, draw_pose, place_hands
from maskgate.training.occlusion.skin import Skin, blur_like
from maskgate.types import Image


@dataclass(frozen=True, eq=False)
class Hand:
    """A cut-out hand: ``rgb`` ``(H, W, 3)`` uint8 and ``cover`` ``(H, W)`` float32 in [0, 1].

    ``wrist_side`` says where the wrist is: 0 at the top, 1 below, 2 left, 3 right.
    """

    rgb: Image
    cover: NDArray[np.float32]
    wrist_side: int = 0

    @cached_property
    def upright(self) -> tuple[Image, NDArray[np.float32], float]:
        """The hand with its fingers up and an arm below it: rgb, cover, and the wrist's row.

        The arm goes on as the hand ends there.
        """
        turns = (2, 0, 1, 3)[self.wrist_side]
        cover = self.cover
        rim = max(round(0.03 * max(cover.shape)), 1)
        rgb = np.ascontiguousarray(np.rot90(self.rgb, turns))
        cover = np.ascontiguousarray(np.rot90(cover, turns))
        long = cover.shape[0]
        widths = cover[int(0.75 * long) : max(int(0.97 * long), int(0.75 * long) + 1)].sum(1)
        # the last full row: a wrist that was cut off is ragged or round
        last = int(0.75 * long) + int(np.flatnonzero(widths >= 0.85 * widths.max())[-1]) + 1
        start = max(last - rim, 0)
        arm = cv2.GaussianBlur(rgb[start:last].mean(0, keepdims=True).astype(np.float32), (9, 1), 0)
        longer = round(0.8 * long)
        arms = np.repeat(arm, longer, 0).clip(0, 255).astype(np.uint8)
        covers = np.repeat((cover[start:last].mean(0, keepdims=True) > 0.5).astype(np.float32), longer, 0)
        return (
            np.concatenate([rgb[:last], arms]),
            np.concatenate([cover[:last], covers]).astype(np.float32),
            float(last),
        )

    @cached_property
    def compact(self) -> bool:
        """Whether it is a fist or the like, about as wide as long."""
        _, cover, wrist = self.upright
        return bool(wrist < 1.38 * cover.shape[1] and cover[: int(wrist)].mean() > 0.5)

    def middle(self, along: float) -> float:
        """Column of the upright hand's middle at a part of its length, 0 at the wrist, 1 at the
        fingertips."""
        _, cover, wrist = self.upright
        row = int(np.clip(wrist * (1 - along), 0, wrist - 1))
        line = cover[row]
        total = float(line.sum())
        return float((line * np.arange(len(line))).sum() / total) if total > 1 else len(line) / 2


def cut_out_hand(photograph: Image, side: int = 200) -> Hand | None:
    """The hand of a photograph whose background is nearly white or nearly black.

    Args:
        photograph: ``(H, W, 3)`` uint8 RGB.
        side: longer side of the result in pixels.

    Returns None where what stands out is no hand-sized shape.
    """
    border = np.concatenate([photograph[0], photograph[-1], photograph[:, 0], photograph[:, -1]])
    light = np.median(border) > 127
    smooth = cv2.GaussianBlur(photograph, (0, 0), 1.2)
    if light:
        saturation = smooth.max(2).astype(int) - smooth.min(2)
        inside = (saturation > 28) | (smooth.max(2) < 140)
    else:
        inside = smooth.max(2) > 45
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if not 0.03 < stats[largest, cv2.CC_STAT_AREA] / inside.size < 0.8:
        return None
    cover = (parts == largest).astype(np.uint8)
    wrist_side = _wrist_side(cover, usual=0 if light else 1)
    cover = cv2.morphologyEx(cover, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    if light:
        # what shows between the fingers is shaded paper: paler than the hand
        redness = smooth[..., 0].astype(int) - smooth[..., 2]
        cover = cover * (redness > 0.45 * np.median(redness[cover > 0])).astype(np.uint8)
        cover = cv2.morphologyEx(cover, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    rim = 3 if light else max(3, 2 * round(0.008 * max(cover.shape)) + 3)
    cover = cv2.erode(cover, np.ones((rim, rim), np.uint8))  # the rim carries the background's colour
    cover = _without_small_holes(np.asarray(cover, np.uint8))
    y, x = np.nonzero(cover)
    if not len(y):
        return None
    box = slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)
    scale = side / max(cover[box].shape)
    size = (max(round(cover[box].shape[1] * scale), 1), max(round(cover[box].shape[0] * scale), 1))
    rgb = cv2.resize(photograph[box], size, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cover[box].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Hand(np.asarray(rgb, np.uint8), np.asarray(soft, np.float32), wrist_side)


def _wrist_side(cover: NDArray[np.uint8], usual: int) -> int:
    """Where the wrist is: 0 at the top, 1 below, 2 left, 3 right.

    It is on the ``usual`` side of such photographs, unless the hand lies across or upside down.
    """
    y, x = np.nonzero(cover)
    box = cover[y.min() : y.max() + 1, x.min() : x.max() + 1]
    rim = max(round(0.06 * max(box.shape)), 1)
    if box.shape[1] < 1.2 * box.shape[0]:
        ends = int(box[:rim].sum()), int(box[-rim:].sum())
        return usual if 2 * ends[usual] >= ends[1 - usual] else 1 - usual
    return 2 if box[:, :rim].sum() > box[:, -rim:].sum() else 3


def _without_small_holes(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shadows between bent fingers belong to the hand; what a thumb and a finger enclose does not."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(1 - cover, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.015 * max(int(cover.sum()), 1)
    small[0] = False  # the hand itself
    return np.asarray(np.where(small[parts], 1, cover), np.uint8)


def read_hands(files: Sequence[Path], side: int = 200) -> list[Hand]:
    """Hands of all files that show one. Raises :class:`~maskgate.errors.DataError` on an unreadable
    file."""
    hands = []
    for file in files:
        picture = cv2.imread(str(file))
        if picture is None:
            raise DataError(f"{file} cannot be read as a picture")
        hand = cut_out_hand(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8), side)
        if hand is not None:
            hands.append(hand)
    return hands


def lay_hand(
    image: Image,
    landmarks: NDArray[np.float32],
    hand: Hand,
    rng: np.random.Generator,
    *,
    touching: bool = False,
    pose: HandPose | None = None,
) -> Image:
    """A new picture with the hand over mouth, or mouth and nose, of the face; or only ``touching``
    something there, from below or from a side.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable
    frame is left as it is. ``pose`` is one that suits the hand where None. The hand takes on tone
    and light of the face it covers, more or less, since most hands at a mouth are the wearer's own.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    if pose is None:
        pose = HandPose.TOUCHING if touching else draw_pose(hand.compact, rng)
    look = _Look.draw(Skin.of_face(image, frame), rng)
    out = image.copy()
    mirror = bool(rng.random() < 0.5)
    for place in place_hands(pose, hand.compact, rng):
        _lay(out, frame, hand, place, mirror, look, rng)
        mirror = not mirror
    return out


def lay_hand_at(
    image: Image, landmarks: NDArray[np.float32], hand: Hand, place: Placement, rng: np.random.Generator
) -> Image:
    """A new picture with the hand at a given place; else as :func:`lay_hand`."""
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    out = image.copy()
    look = _Look.draw(Skin.of_face(image, frame), rng)
    _lay(out, frame, hand, place, bool(rng.random() < 0.5), look, rng)
    return out


@dataclass(frozen=True, eq=False)
class _Look:
    """How the hands of one person look: their skin, how it is lit, and the sleeve if there is one."""

    skin: Skin | None
    likeness: float
    detail: float
    lighting: float
    shade: float
    shadow: float
    sleeve: NDArray[np.float32] | None
    cuff: float

    @classmethod
    def draw(cls, skin: Skin | None, rng: np.random.Generator) -> _Look:
        own = rng.random() < 0.85  # else somebody else's
        return cls(
            skin,
            likeness=rng.uniform(0.7, 1.0) if own else rng.uniform(0.0, 0.4),
            detail=rng.uniform(0.55, 0.9),
            lighting=rng.uniform(0.3, 1.0),
            shade=float(np.clip(rng.normal(0.95, 0.1), 0.7, 1.2)),
            shadow=rng.uniform(0.2, 0.6),
            sleeve=rng.uniform(10, 235, 3).astype(np.float32) if rng.random() < 0.5 else None,
            cuff=rng.uniform(-0.3, 0.02),
        )


def _lay(
    image: Image, frame: FaceFrame, hand: Hand, place: Placement, mirror: bool, look: _Look,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Lays one hand into ``image``, in place."""
    rgb, cover, wrist = hand.upright
    height, width = cover.shape
    scale = place.length * frame.scale / wrist
    roll = np.arctan2(frame.right[1], frame.right[0]) + np.deg2rad(place.angle)
    cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    anchor = np.array([hand.middle(place.anchor), wrist * (1 - place.anchor)])
    goal = frame.to_pixels(np.array([[place.x, place.y]]))[0]
    matrix = np.column_stack([turn, goal - turn @ anchor])
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    area = Area.around(image, ends)
    if area is None:
        return
    part = area.cut(image)
    matrix[:, 2] -= area.corner
    shape, size = (part.shape[0], part.shape[1]), (part.shape[1], part.shape[0])
    warped = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    layer: NDArray[np.float32] = np.asarray(warped, np.float32)
    soft = np.asarray(cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    inside = soft > 0.5
    if not inside.any():
        return
    if look.skin is not None:
        layer = look.skin.tint(layer, inside, look.likeness, look.detail)
    if look.sleeve is not None:
        layer = _sleeve(layer, matrix, wrist, look)
    if look.skin is not None:
        light = look.shade * look.skin.light(shape, area.corner, look.lighting)
        layer = np.asarray(layer * light[..., None], np.float32)
    layer = blur_like(layer, inside, part, rng)
    area.put(image, lay_over(part, np.clip(layer, 0, 255).astype(np.float32), soft, shadow=look.shadow))


def _sleeve(
    layer: NDArray[np.float32], matrix: NDArray[np.float64], wrist: float, look: _Look
) -> NDArray[np.float32]:
    """``layer`` with cloth over the arm. ``matrix`` ``(2, 3)`` takes the upright hand there."""
    back = np.linalg.inv(matrix[:, :2])
    height, width = layer.shape[:2]
    offset = back @ matrix[:, 2]
    # places along the arm, 0 at the wrist and negative beyond it
    along = 1 - (back[1, 0] * np.arange(width) + back[1, 1] * np.arange(height)[:, None] - offset[1]) / wrist
    assert look.sleeve is not None
    green = layer[..., 1:2]
    cloth = look.sleeve * (0.6 + green * np.float32(0.4 / max(float(green.mean()), 8.0)))
    if look.skin is not None:
        cloth = cloth * float(np.clip(look.skin.tone.mean() / 150, 0.25, 1.2))
        if look.skin.grey:
            cloth = np.repeat(cloth.mean(2, keepdims=True), 3, 2)
    edge = np.clip((look.cuff - along) * 40, 0, 1)[..., None].astype(np.float32)
    return np.asarray(layer + edge * (cloth - layer), np.float32)
