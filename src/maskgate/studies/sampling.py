"""Annotated faces drawn from scenes, as views that can be changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskgate.detection import Detector
from maskgate.errors import DataError
from maskgate.evaluation.coco import Scene
from maskgate.evaluation.matching import SMALLEST, match_faces, short_side
from maskgate.images import read_image
from maskgate.studies.perturbations import FaceView
from maskgate.studies.robustness_results import Track
from maskgate.types import Image

REACH = 1.5
"""Longer sides of the box, from its centre, that are kept of a picture for the classifiers: enough for
crops with a margin of 2, turned by any angle."""


@dataclass(frozen=True, eq=False)
class FaceSample:
    """Views of N faces.

    Attributes:
        track: what they are for: cut out for the classifiers, or in their whole pictures.
        views: of the faces.
        numbers: their places among all faces of the scenes, which their lot depends on.
    """

    track: Track
    views: Sequence[FaceView]
    numbers: Sequence[int]

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)`` places in LABELS."""
        return np.array([view.label for view in self.views], np.int64)

    @property
    def pictures(self) -> NDArray[np.int64]:
        """``(N,)`` the picture of each face."""
        return np.array([view.picture for view in self.views], np.int64)

    @cached_property
    def digest(self) -> str:
        """Of the faces: what they are, and their pixels."""
        digest = hashlib.sha256()
        for view, number in zip(self.views, self.numbers, strict=True):
            digest.update(f"{number} {view.picture} {view.label} {view.image.shape}".encode())
            for array in (view.box, view.landmarks, view.image):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def draw_faces(
    scenes: Sequence[Scene], reference: Detector, faces: int | None, pictures: int | None, seed: int
) -> tuple[FaceSample, FaceSample]:
    """The given faces, and those of them that are looked for in whole pictures.

    At most ``faces`` and ``pictures``, all where None; arguments and errors as for
    :func:`maskgate.studies.robustness.measure_robustness`.
    """
    places = [(i, j) for i, scene in enumerate(scenes) for j in range(len(scene))]
    eligible = [
        n for n, (i, j) in enumerate(places)
        if not scenes[i].ignore[j] and short_side(scenes[i].boxes[j : j + 1])[0] >= SMALLEST
    ]  # fmt: skip
    if not eligible:
        raise DataError(f"the scenes have no face with sides of {SMALLEST:g} px or more; give others")
    order = np.random.default_rng(seed).permutation(eligible)
    chosen = sorted(order[:faces].tolist())
    in_whole = set(order[: faces if pictures is None else min(pictures, len(chosen))].tolist())
    small: list[FaceView] = []
    large: list[FaceView] = []
    images: dict[int, Image] = {}  # the last picture only: faces come in the order of their pictures
    found: NDArray[np.float32] = np.zeros((0, 5, 2), np.float32)
    for n in chosen:
        i, j = places[n]
        if i not in images:
            images = {i: _read(scenes[i])}
            found = _landmarks(images[i], scenes[i], reference)
        view = FaceView(images[i], scenes[i].boxes[j], found[j], int(scenes[i].labels[j]), picture=i)
        small.append(view.cut(REACH))
        if n in in_whole:
            large.append(view)
    return (
        FaceSample("faces", _with_others(small), chosen),
        FaceSample("pictures", _with_others(large), [n for n in chosen if n in in_whole]),
    )


def _read(scene: Scene) -> Image:
    image = read_image(scene.path)
    if image.shape[:2] != (scene.height, scene.width):
        raise DataError(
            f"{scene.path} is {image.shape[1]}×{image.shape[0]} pixels upright, but annotated as"
            f" {scene.width}×{scene.height}; correct the annotations"
        )
    return image


def _landmarks(image: Image, scene: Scene, reference: Detector) -> NDArray[np.float32]:
    """``(N, 5, 2)`` of the scene's annotated faces; NaN where the detector finds none there."""
    detected = reference.detect([image])[0]
    matching = match_faces(detected.boxes, detected.scores, scene.boxes, scene.ignore)
    landmarks = np.full((len(scene), 5, 2), np.nan, np.float32)
    hits = np.flatnonzero(matching.truth >= 0)
    landmarks[matching.truth[hits]] = detected.landmarks[hits]
    return landmarks


def _with_others(views: Sequence[FaceView]) -> list[FaceView]:
    """The views, each with the next picture that is not its own for another background."""
    out = []
    for n, view in enumerate(views):
        following = (views[(n + k) % len(views)] for k in range(1, len(views)))
        other = next((v.image for v in following if v.picture != view.picture), None)
        out.append(replace(view, other=other))
    return out
