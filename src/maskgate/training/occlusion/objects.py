"""Things held before the mouth: cups, glasses, bottles, telephones, microphones. None is a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.hand_poses import Placement
from maskgate.training.occlusion.hands import Hand, lay_hand_at
from maskgate.training.occlusion.skin import Skin
from maskgate.types import Image

Layer = NDArray[np.float32]

_UNIT = 20
"""Pixels of one half eye distance, about 3.2 cm, on the canvas that a thing is drawn on."""


@dataclass(frozen=True, eq=False)
class _Thing:
    """A thing that stands upright on its canvas.

    ``rgb`` ``(H, W, 3)`` float32 in [0, 255], ``cover`` ``(H, W)`` in [0, 1]; ``top`` and ``grip``
    are the rows that go to the mouth and into the hand; ``place`` is where ``top`` goes, as y in
    face coordinates, ``tilt`` its turn in degrees, ``length`` a factor for what points at the viewer.
    """

    rgb: Layer
    cover: Layer
    top: float
    grip: float
    place: float
    tilt: float
    length: float = 1.0


def draw_object(
    image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator, hand: Hand | None = None
) -> Image:
    """A new picture with a cup, glass, bottle, telephone or microphone before the mouth.

    ``image`` ``(H, W, 3)`` uint8 RGB, ``landmarks`` ``(5, 2)`` pixels; a face without a usable frame
    is left as it is. ``hand`` holds the thing; without one, what holds it is out of the picture.
    """
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    kinds: tuple[Callable[[np.random.Generator], _Thing], ...] = (
        _cup, _glass, _bottle, _telephone, _microphone,
    )  # fmt: skip
    thing = kinds[int(rng.choice(5, p=(0.27, 0.13, 0.13, 0.27, 0.2)))](rng)
    height, width = thing.cover.shape
    scale = frame.scale / _UNIT
    roll = np.arctan2(frame.right[1], frame.right[0]) + np.deg2rad(thing.tilt)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) * scale
    turn = turn @ np.diag([1.0, thing.length])
    goal = frame.to_pixels(np.array([[rng.normal(0, 0.12), thing.place]]))[0]
    matrix = np.column_stack([turn, goal - turn @ np.array([width / 2, thing.top])])
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    area = Area.around(image, ends)
    if area is None:
        return image.copy()
    held = matrix @ np.array([width / 2, thing.grip, 1])
    part = area.cut(image)
    matrix[:, 2] -= area.corner
    size = (part.shape[1], part.shape[0])
    flags = cv2.INTER_LINEAR
    layer = cv2.warpAffine(thing.rgb, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    cover = np.asarray(cv2.warpAffine(thing.cover, matrix, size, flags=flags), np.float32)
    layer = layer * np.float32(0.35 + 0.65 * exposure(part, cover))
    skin = Skin.of_face(image, frame)
    if skin is not None and skin.grey:
        layer = np.repeat(layer.mean(2, keepdims=True), 3, 2)
    out = image.copy()
    lit = np.asarray(np.clip(layer, 0, 255), np.float32)
    area.put(out, lay_over(part, lit, cover, shadow=rng.uniform(0.15, 0.5)))
    if hand is None:
        return out
    down = float(frame.down @ frame.down)
    side = -1 if rng.random() < 0.5 else 1
    offset = held - frame.origin
    grip = Placement(
        x=float(offset @ frame.right / (frame.right @ frame.right)) + side * rng.uniform(0, 0.3),
        y=float(offset @ frame.down / down),
        anchor=rng.uniform(0.62, 0.85),
        angle=-side * rng.uniform(45, 90) + 0.5 * thing.tilt,
        length=rng.uniform(3.3, 4.2) if hand.compact else rng.uniform(4.3, 5.4),
    )
    return lay_hand_at(out, landmarks, hand, grip, rng)


def _canvas(wide: float, high: float) -> tuple[int, int]:
    return max(round(high * _UNIT) + 4, 8), max(round(wide * _UNIT) + 4, 8)


def _tapered(
    shape: tuple[int, int], top: float, foot: float, sag: float, rng: np.random.Generator
) -> tuple[Layer, NDArray[np.float64]]:
    """Cover of a round body, ``top`` and ``foot`` half widths in pixels, and x across it in [-1, 1]."""
    height, width = shape
    turn = np.linspace(0, np.pi, 9)
    middle = (width - 1) / 2
    upper = np.stack([middle - top * np.cos(turn), 2 + sag - sag * np.sin(turn)], 1)
    lower = np.stack([middle + foot * np.cos(turn), height - 3 - sag + sag * np.sin(turn)], 1)
    cover = fill_polygon(shape, np.concatenate([upper, lower]))
    half = np.linspace(top, foot, height)[:, None]
    return cover, (np.arange(width) - middle) / np.maximum(half, 1)


def _round(across: NDArray[np.float64], gloss: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light ``(H, W)`` on a standing cylinder, around 1, with a gleam."""
    lamp = rng.uniform(-0.5, 0.5)
    light = 0.5 + 0.6 * np.sqrt(np.clip(1 - (0.85 * across - 0.6 * lamp) ** 2, 0, 1))
    gleam = gloss * np.exp(-(((across - 1.2 * lamp) / rng.uniform(0.06, 0.2)) ** 2))
    return (light + gleam).astype(np.float32)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """White, black, brown, or any colour, ``(3,)``."""
    lot = rng.random()
    if lot < 0.35:
        return np.full(3, rng.uniform(205, 245), np.float32)
    if lot < 0.5:
        return np.full(3, rng.uniform(12, 45), np.float32)
    if lot < 0.62:
        return (np.array([1.0, 0.78, 0.55]) * rng.uniform(90, 190)).astype(np.float32)
    return rng.uniform(20, 235, 3).astype(np.float32)


def _print(rgb: Layer, rng: np.random.Generator) -> None:
    """A band, a sleeve or a logo on ``rgb``, in place."""
    height, width = rgb.shape[:2]
    lot = rng.random()
    if lot < 0.45:
        low = int(rng.uniform(0.2, 0.6) * height)
        rgb[low : low + max(int(rng.uniform(0.08, 0.4) * height), 1)] = rng.uniform(0, 255, 3)
    elif lot < 0.7:
        centre = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.6)))
        colour = [float(v) for v in rng.uniform(0, 255, 3)]
        cv2.circle(rgb, centre, max(int(width * rng.uniform(0.12, 0.28)), 1), colour, -1, cv2.LINE_AA)


def _plain(shape: tuple[int, int], colour: NDArray[np.float32]) -> Layer:
    return np.broadcast_to(colour, (*shape, 3)).astype(np.float32, order="C")


def _cup(rng: np.random.Generator) -> _Thing:
    """A mug with its handle, or a paper cup with a lid."""
    wide, high = rng.uniform(2.1, 2.8), rng.uniform(2.4, 3.8)
    shape = _canvas(wide + 1.8, high)
    top = wide / 2 * _UNIT
    foot = top * rng.uniform(0.68, 1.0)
    sag = rng.uniform(0.08, 0.25) * _UNIT
    cover, across = _tapered(shape, top, foot, sag, rng)
    rgb = _plain(shape, _colour(rng))
    _print(rgb, rng)
    rgb *= _round(across, rng.uniform(0, 0.5), rng)[..., None]
    if foot > 0.85 * top:
        ring = np.zeros(shape, np.uint8)
        side = 1 if rng.random() < 0.5 else -1
        centre = (round((shape[1] - 1) / 2 + side * top), round(0.5 * shape[0]))
        axes = (round(0.65 * _UNIT), round(0.27 * shape[0]))
        cv2.ellipse(ring, centre, axes, 0, 0, 360, (255,), max(round(0.22 * _UNIT), 2), cv2.LINE_AA)
        outside = (ring.astype(np.float32) / 255) * (1 - cover)
        rgb[outside > 0] = rgb[int(0.5 * shape[0]), shape[1] // 2] * 0.8
        cover = np.maximum(cover, outside)
    else:
        lid = max(round(rng.uniform(0.2, 0.4) * _UNIT), 2)
        rgb[: lid + 2] = rng.choice([25.0, 235.0]) * _round(across, 0.2, rng)[: lid + 2, :, None]
    return _Thing(rgb, cover, 0.06 * shape[0], 0.62 * shape[0], rng.uniform(0.72, 0.95), rng.normal(0, 10))


def _glass(rng: np.random.Generator) -> _Thing:
    """A glass, through which the face shows, with something in it or not."""
    wide, high = rng.uniform(1.8, 2.6), rng.uniform(2.6, 4.0)
    shape = _canvas(wide, high)
    top = wide / 2 * _UNIT
    cover, across = _tapered(shape, top, top * rng.uniform(0.65, 0.95), 0.15 * _UNIT, rng)
    rgb = _plain(shape, np.array([225, 232, 235], np.float32))
    clear = rng.uniform(0.12, 0.3) + 0.55 * np.clip(np.abs(across), 0, 1) ** 6
    if rng.random() < 0.7:
        level = int(rng.uniform(0.15, 0.6) * shape[0])
        drink = ((200, 120, 30), (70, 25, 15), (235, 200, 90), (235, 235, 225), (120, 15, 35))
        rgb[level:] = np.array(drink[int(rng.integers(5))], np.float32)
        clear[level:] = np.maximum(clear[level:], rng.uniform(0.5, 0.95))
    rgb *= _round(across, rng.uniform(0.3, 0.8), rng)[..., None]
    gleam = np.exp(-(((across - rng.uniform(-0.6, 0.6)) / 0.1) ** 2))
    cover = np.asarray(cover * np.clip(clear + 0.5 * gleam, 0, 1), np.float32)
    return _Thing(rgb, cover, 0.05 * shape[0], 0.6 * shape[0], rng.uniform(0.72, 0.95), rng.normal(0, 10))


def _bottle(rng: np.random.Generator) -> _Thing:
    """A bottle at the lips, from below or from a side."""
    wide, high = rng.uniform(1.7, 2.4), rng.uniform(5.0, 7.0)
    shape = _canvas(wide, high)
    middle, body, neck = (shape[1] - 1) / 2, wide / 2 * _UNIT, rng.uniform(0.35, 0.5) * _UNIT
    y = shape[0] * np.array([0.01, 0.2, rng.uniform(0.3, 0.42), 0.97])
    half = np.array([neck, neck * 1.1, body, body])
    outline = np.concatenate([np.stack([middle - half, y], 1), np.stack([middle + half, y], 1)[::-1]])
    cover = fill_polygon(shape, outline)
    across = (np.arange(shape[1]) - middle) / np.interp(np.arange(shape[0]), y, half)[:, None]
    rgb = _plain(shape, _colour(rng))
    low = int(rng.uniform(0.45, 0.6) * shape[0])
    rgb[low : low + int(0.22 * shape[0])] = rng.uniform(20, 250, 3)  # the label
    rgb *= _round(across, rng.uniform(0.2, 0.8), rng)[..., None]
    if rng.random() < 0.5:
        cover = np.asarray(cover * rng.uniform(0.6, 0.95), np.float32)
    tilt = rng.normal(0, 30)
    return _Thing(
        rgb, cover, 0.01 * shape[0], 0.6 * shape[0], rng.uniform(0.85, 1.0), tilt, rng.uniform(0.5, 1)
    )


def _telephone(rng: np.random.Generator) -> _Thing:
    """Its back or its screen, upright before the mouth, or lying flat as one speaks into it."""
    wide, high = rng.uniform(2.0, 2.5), rng.uniform(3.8, 4.8)
    shape = _canvas(wide, high)
    card = np.zeros(shape, np.uint8)
    r = max(round(rng.uniform(0.15, 0.35) * _UNIT), 2)
    low, right, bottom = 1, shape[1] - 2, shape[0] - 2
    cv2.rectangle(card, (low + r, low), (right - r, bottom), (255,), -1)
    cv2.rectangle(card, (low, low + r), (right, bottom - r), (255,), -1)
    for x in (low + r, right - r):
        for corner in (low + r, bottom - r):
            cv2.circle(card, (x, corner), r, (255,), -1, cv2.LINE_AA)
    rgb = _plain(shape, _colour(rng))
    if rng.random() < 0.65:  # the back, with its cameras
        column, row = shape[1] * rng.uniform(0.2, 0.8), 0.1 * shape[0]
        for k in range(int(rng.integers(1, 4))):
            centre = (round(column), round(row + 0.09 * k * shape[0]))
            cv2.circle(rgb, centre, max(round(0.2 * _UNIT), 2), (25.0, 25.0, 30.0), -1, cv2.LINE_AA)
            cv2.circle(rgb, centre, 1, (120.0, 130.0, 150.0), -1)
    else:  # the screen
        inset = max(round(0.12 * _UNIT), 1)
        screen = rng.uniform(0, 60, 3) if rng.random() < 0.6 else rng.uniform(120, 250, 3)
        rgb[3 * inset : -3 * inset, inset:-inset] = screen
    y, x = np.mgrid[: shape[0], : shape[1]]
    sheen = rng.uniform(-0.25, 0.25) * (x / shape[1] - 0.5) + rng.uniform(-0.25, 0.25) * (y / shape[0] - 0.5)
    rgb = np.asarray(rgb * (1 + sheen[..., None]) + rng.uniform(0, 25), np.float32)
    cover = np.asarray(card / 255, np.float32)
    if rng.random() < 0.3:  # flat: seen from its edge
        return _Thing(
            rgb, cover, 0.1 * shape[0], 0.6 * shape[0], rng.uniform(0.85, 1.0), rng.normal(0, 25),
            rng.uniform(0.15, 0.4),
        )  # fmt: skip
    return _Thing(rgb, cover, 0.04 * shape[0], 0.7 * shape[0], rng.uniform(0.35, 0.75), rng.normal(0, 12))


def _microphone(rng: np.random.Generator) -> _Thing:
    """A head of wire or foam at the lips, and its handle."""
    head, neck, high = rng.uniform(0.65, 1.0), rng.uniform(0.3, 0.42), rng.uniform(4.5, 6.5)
    shape = _canvas(2 * head + 0.2, high)
    middle, ball = (shape[1] - 1) / 2, head * _UNIT
    y = np.array([1.7 * ball, shape[0] - 2.0])
    half = np.array([neck, 0.75 * neck]) * _UNIT
    stick = np.concatenate([np.stack([middle - half, y], 1), np.stack([middle + half, y], 1)[::-1]])
    handle = fill_polygon(shape, stick)
    across = (np.arange(shape[1]) - middle) / np.interp(np.arange(shape[0]), y, half)[:, None]
    rgb = _plain(shape, _colour(rng) * (0.25 if rng.random() < 0.7 else 1.0))
    rgb *= _round(across, rng.uniform(0.1, 0.6), rng)[..., None]
    disc = np.zeros(shape, np.uint8)
    centre = (round(middle), round(ball) + 1)
    cv2.ellipse(disc, centre, (round(ball), round(ball)), 0, 0, 360, (255,), -1, cv2.LINE_AA)
    sphere = disc.astype(np.float32) / 255
    gy, gx = np.mgrid[: shape[0], : shape[1]]
    dx, dy = (gx - middle) / ball, (gy - centre[1]) / ball
    lamp = rng.uniform(-0.5, 0.5)
    light = 0.35 + 0.75 * np.clip(1 - ((dx - lamp) ** 2 + (dy + 0.4) ** 2) / 2.2, 0, 1)
    if rng.random() < 0.6:  # wire
        mesh = 0.75 + 0.35 * (np.sin(dx * 14 * np.cos(dy)) * np.sin(dy * 14))
        colour = np.full(3, rng.uniform(60, 190), np.float32)
    else:
        mesh = 1 + rng.normal(0, 0.06, shape)
        colour = _colour(rng) if rng.random() < 0.5 else np.full(3, 28, np.float32)
    rgb = np.where((sphere > 0.5)[..., None], (light * mesh)[..., None] * colour, rgb).astype(np.float32)
    return _Thing(
        rgb, np.maximum(sphere, handle), 0.75 * ball, 0.55 * shape[0], rng.uniform(0.88, 1.1),
        rng.normal(0, 24), rng.uniform(0.55, 1.0),
    )  # fmt: skip
