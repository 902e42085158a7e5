"""Photographed masks (RGBA, six anchor points each) warped onto faces."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.training.occlusion.blending import Area, exposure, lay_over, local_light
from maskgate.training.occlusion.geometry import FaceFrame
from maskgate.training.occlusion.masks import EDGES, SKIN_TONED, Wearing, cloth_colour, skin_colour
from maskgate.types import Image


@dataclass(frozen=True, eq=False)
class MaskTemplate:
    """An RGBA mask and its anchors: top left, nose bridge, top right, bottom left, chin, bottom right."""

    name: str
    rgba: NDArray[np.uint8]
    anchors: NDArray[np.float32]


# where the six anchors lie on the face for a mask that is worn rightly
_TEMPLATE_PLACES = np.array(
    [[-1.75, 0.35], [0.0, 0.18], [1.75, 0.35], [-1.45, 1.35], [0.0, 1.85], [1.45, 1.35]], np.float64
)


def read_templates(folder: Path) -> list[MaskTemplate]:
    """All templates of a folder with ``masks.cfg`` (sections with ``template`` and ``mask_a`` to
    ``mask_f``) and ``templates/``. Raises :class:`~maskgate.errors.DataError`."""
    config = configparser.ConfigParser()
    try:
        found = config.read(folder / "masks.cfg", "utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise DataError(f"{folder / 'masks.cfg'} cannot be read: {' '.join(str(error).split())}") from error
    if not found:
        raise DataError(f"{folder / 'masks.cfg'} is missing; give a folder of mask templates")
    templates = []
    for name in config.sections():
        if "template" not in config[name] or name.startswith("gas"):
            continue  # placeholders without a picture; a gas mask is no medical mask
        file = folder / "templates" / Path(config[name]["template"]).name
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise DataError(f"{file} is not a picture with an alpha channel")
        try:
            anchors = [[float(v) for v in config[name][f"mask_{k}"].split(",")] for k in "abcdef"]
        except (KeyError, ValueError):
            anchors = []
        if [len(point) for point in anchors] != [2] * 6:
            raise DataError(f"{folder / 'masks.cfg'}: [{name}] wants mask_a to mask_f, each x, y in pixels")
        rgba = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA), np.uint8)
        templates.append(MaskTemplate(name, rgba, np.array(anchors, np.float32)))
    return templates


def wear_template(
    image: Image,
    landmarks: NDArray[np.float32],
    template: MaskTemplate,
    wearing: Wearing,
    rng: np.random.Generator,
    skin_toned: float = SKIN_TONED,
) -> Image:
    """A new picture with a template warped onto the face; arguments as for
    :func:`~maskgate.training.occlusion.masks.draw_mask`."""
    frame = FaceFrame.from_landmarks(landmarks)
    if frame is None:
        return image.copy()
    places = _TEMPLATE_PLACES + rng.normal(0, 0.04, (6, 2))
    if wearing is not Wearing.RIGHT:
        middle, end, low = (rng.uniform(*r) for r in EDGES[wearing])
        places[:, 1] = [end, middle, end, max(end + 0.5, 1.4), low, max(end + 0.5, 1.4)]
    target = frame.to_pixels(places)
    area = Area.around(image, target)
    if area is None:
        return image.copy()
    part = area.cut(image)
    matrix, _ = cv2.findHomography(template.anchors, (target - area.corner).astype(np.float32))
    if matrix is None:
        return image.copy()
    warped = cv2.warpPerspective(template.rgba, matrix, (part.shape[1], part.shape[0]), flags=cv2.INTER_AREA)
    cover = np.asarray(warped[..., 3].astype(np.float32) / 255, np.float32)
    layer = warped[..., :3].astype(np.float32)
    like_skin = rng.random() < skin_toned
    if like_skin or rng.random() < 0.5:
        # any colour: keep the folds, change the cloth
        grey = layer.mean(2, keepdims=True)
        inside = cover > 0.5
        level = float(grey[inside].mean()) if inside.any() else 128.0
        colour = skin_colour(part, cover, rng) if like_skin else cloth_colour(rng)
        layer = grey / np.float32(max(level, 20.0)) * colour
    light = local_light(part, cover, 0.5 * frame.scale)
    layer = layer * (1 + rng.uniform(0.3, 0.9) * (light - 1))[..., None]
    layer = np.asarray(layer * (0.35 + 0.65 * exposure(part, cover)), np.float32)
    out = image.copy()
    area.put(out, lay_over(part, np.clip(layer, 0, 255), cover, shadow=rng.uniform(0.1, 0.5)))
    return out
