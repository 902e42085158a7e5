"""Pictures whose faces are annotated: scenes, and what a split keeps back from training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgate.detection import Detector
from maskgate.detection.borders import with_border
from maskgate.detection.boxes import iou
from maskgate.errors import DataError
from maskgate.evaluation.coco import Scene, read_scenes
from maskgate.evaluation.matching import match_faces
from maskgate.images import read_image
from maskgate.training.classifier_setup import ClassifierData
from maskgate.training.crops import MARGIN, SIDE, FaceCrops, main_face
from maskgate.training.splits import TEST
from maskgate.types import Faces, Image

DOUBTFUL = 0.25
"""Score from which a found face of which nobody told the label is not held against a method."""

SURE = 0.8
"""Score from which a found face of a picture of bare people is one, as in training."""


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """A picture and its faces, boxes ``(N, 4)`` float32 in the pixels of its file.

    Attributes:
        path: the file.
        boxes: of the faces.
        labels: ``(N,)`` int64 places in LABELS.
        ignore: ``(N,)`` bool, regions where nothing found is right or wrong.
        bordered: the picture is a crop of a face, and gets a border before anybody looks for the face.
        size: width and height as annotated; None where nobody told.
    """

    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    bordered: bool = False
    size: tuple[int, int] | None = None

    def read(self) -> tuple[Image, NDArray[np.float32]]:
        """The picture, with its border, and the boxes in it.

        Raises what reading a picture raises, and :class:`~maskgate.errors.DataError` where its size is
        not the annotated one.
        """
        image = read_image(self.path)
        if self.size is not None and self.size != image.shape[1::-1]:
            raise DataError(
                f"{self.path} is {image.shape[1]}×{image.shape[0]} pixels upright, but annotated as"
                f" {self.size[0]}×{self.size[1]}; correct the annotations"
            )
        if not self.bordered:
            return image, self.boxes
        image, border = with_border(image)
        return image, self.boxes + np.float32(border)


def pictures_of_scenes(folder: Path) -> list[AnnotatedPicture]:
    """The pictures of a folder with ``annotations.json``."""
    return [_of_scene(scene) for scene in read_scenes(folder)]


def _of_scene(scene: Scene) -> AnnotatedPicture:
    size = scene.width, scene.height
    return AnnotatedPicture(scene.path, scene.boxes, scene.labels, scene.ignore, size=size)


def pictures_on_side(
    data: ClassifierData, root: Path, found: Mapping[str, Faces], side: int = TEST
) -> list[AnnotatedPicture]:
    """The labelled pictures that a split puts on ``side``.

    Scenes have the boxes that people drew. Photographs and crops have the main face that was found in
    them, with their folder's label, or where all people are bare, all faces found; other faces found in
    them are ignored.

    Args:
        data: the split.
        root: folder that its pictures are relative to.
        found: faces by picture path below ``root``, best first.
    """
    sides = dict(zip(data.crops.pictures, data.sides.tolist(), strict=True))
    labels = dict(zip(data.crops.pictures, data.crops.labels.tolist(), strict=True))
    pictures = []
    for source in data.sources:
        if not source.labelled:
            continue
        if source.kind == "scenes":
            scenes = read_scenes(root / source.path)
            pictures += [_of_scene(s) for s in scenes if sides.get(str(s.path.relative_to(root))) == side]
            continue
        for file in source.files(root):
            name = str(file.relative_to(root))
            if sides.get(name) != side:  # or nobody found a face in it, or it is left out
                continue
            faces = found[name]
            chosen = faces.select(faces.scores >= SURE) if source.labels is None else main_face(faces)
            apart = iou(chosen.boxes, faces.boxes).max(0, initial=0) < 0.3
            others = faces.boxes[apart & (faces.scores >= DOUBTFUL)]
            pictures.append(
                AnnotatedPicture(
                    file,
                    np.concatenate([chosen.boxes, others]),
                    np.full(len(chosen) + len(others), labels[name], np.int64),
                    np.arange(len(chosen) + len(others)) >= len(chosen),
                    bordered=source.kind == "crops",
                )
            )
    return pictures


@dataclass(frozen=True, eq=False)
class GivenFaces:
    """N faces of one picture whose places are told.

    Attributes:
        image: gives the picture, ``(H, W, 3)`` uint8 RGB.
        faces: in its pixels; landmarks are NaN where nobody knows them.
        labels: ``(N,)`` int64 places in LABELS.
        picture: its number.
    """

    image: Callable[[], Image]
    faces: Faces
    labels: NDArray[np.int64]
    picture: int


def given_crops(crops: FaceCrops) -> list[GivenFaces]:
    """Faces that are cut out already; those of one picture have its number."""
    low, high = SIDE * (1 - 1 / MARGIN) / 2, SIDE * (1 + 1 / MARGIN) / 2
    box, score = np.array([[low, low, high, high]], np.float32), np.ones(1, np.float32)
    numbers = np.unique(np.array(crops.pictures), return_inverse=True)[1]
    return [
        GivenFaces(
            partial(np.ascontiguousarray, crops.images[i]),
            Faces(box, score, crops.landmarks[i : i + 1]),
            crops.labels[i : i + 1],
            int(numbers[i]),
        )
        for i in range(len(crops))
    ]


def given_in_pictures(pictures: Sequence[AnnotatedPicture], reference: Detector) -> list[GivenFaces]:
    """The annotated faces that count, with the landmarks of the reference's faces that match them.

    All methods get the same ones. Pictures without such a face are left out.
    """
    given = []
    for number, picture in enumerate(pictures):
        image, boxes = picture.read()
        seen = reference.detect([image])[0]
        matching = match_faces(seen.boxes, seen.scores, boxes, picture.ignore)
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        hits = np.flatnonzero(matching.truth >= 0)
        landmarks[matching.truth[hits]] = seen.landmarks[hits]
        counted = np.flatnonzero(matching.counted)
        if len(counted):
            faces = Faces(boxes, np.ones(len(boxes), np.float32), landmarks).select(counted)
            given.append(
                GivenFaces(partial(_image_of, picture), faces, picture.labels[counted], picture=number)
            )
    return given


def _image_of(picture: AnnotatedPicture) -> Image:
    return picture.read()[0]


def digest_of_crops(crops: FaceCrops) -> str:
    """Of what :func:`given_crops` gives."""
    digest = hashlib.sha256("\n".join(crops.pictures).encode())
    for array in (crops.labels, crops.landmarks, crops.images):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def digest_of_pictures(pictures: Sequence[AnnotatedPicture]) -> str:
    """Of files (name, size and time of change) and annotations."""
    digest = hashlib.sha256()
    for picture in pictures:
        about = picture.path.stat()
        digest.update(f"{picture.path.name} {about.st_size} {about.st_mtime_ns} {picture.bordered}".encode())
        for array in (picture.boxes, picture.labels, picture.ignore):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
