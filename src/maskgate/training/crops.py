"""Face crops for the classifier: cut once from every labelled picture, with room to move about."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskgate.alignment import rotate_and_crop, rotate_and_crop_matrix
from maskgate.detection.boxes import iou
from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.training.recipe import Source
from maskgate.types import LABELS, Faces, Image, Label

SIDE = 160
MARGIN = 2.0
"""Crops show this many times the face's longer side, so that they can still be turned and shifted."""

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """N cut faces.

    Attributes:
        images: ``(N, SIDE, SIDE, 3)`` uint8 RGB, upright, the face's box in the middle at
            ``1 / MARGIN`` of the side.
        landmarks: ``(N, 5, 2)`` float32 pixels of the crop; NaN where nobody found any.
        labels: ``(N,)`` int64 places in LABELS, or UNKNOWN.
        sources: ``(N,)`` int64 places in the recipe's sources.
        sizes: ``(N,)`` float32 longer side of the face's box in pixels of its picture.
        pictures: path of each face's picture below the data folder.
    """

    images: Image
    landmarks: NDArray[np.float32]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    sizes: NDArray[np.float32]
    pictures: list[str]

    def __len__(self) -> int:
        return len(self.pictures)

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> FaceCrops:
        """The crops at ``index`` (places or a mask)."""
        places = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return FaceCrops(
            self.images[places], self.landmarks[places], self.labels[places], self.sources[places],
            self.sizes[places], [self.pictures[int(i)] for i in places],
        )  # fmt: skip


def read_corrections(file: Path) -> dict[str, Label | None]:
    """Corrected labels by picture path; None for pictures to leave out.

    A CSV with the columns ``picture``, ``label`` (empty to leave out) and ``why``. Raises
    :class:`~maskgate.errors.DataError` on a file that cannot be read, and naming a line that does
    not fit.
    """
    corrections: dict[str, Label | None] = {}
    try:
        rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}; check the recipe's corrections") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error}") from error
    for line, row in enumerate(rows, 2):
        picture, label = row.get("picture"), row.get("label")
        if not picture or label is None or (label and label not in LABELS):
            raise DataError(f"{file}, line {line}: want picture,label,why with a known label")
        corrections[picture] = Label(label) if label else None
    return corrections


def cut_faces(
    sources: Sequence[Source],
    root: Path,
    found: Mapping[str, Faces],
    corrections: Mapping[str, Label | None],
    smallest: float = 14.0,
) -> FaceCrops:
    """Cuts the labelled faces of all sources.

    Scenes give every drawn box (with landmarks where a found face matches it); photographs and
    crops with a folder label give their main face; sources without labels give every found face, as
    one without a mask where the source says that it is bare, else with the label UNKNOWN. Faces
    under ``smallest`` pixels are left out.

    Args:
        found: faces by picture path below ``root``, best first.
        corrections: as :func:`read_corrections` gives them.
    """
    parts: list[tuple[Image, NDArray[np.float32], int, int, float, str]] = []
    for place, source in enumerate(sources):
        drawn = {s.path: s for s in read_scenes(root / source.path)} if source.kind == "scenes" else {}
        for file in tqdm(source.files(root), desc=f"crops {source.path}", mininterval=5):
            name = str(file.relative_to(root))
            if corrections.get(name, Label.MASK) is None:
                continue
            faces = found[name]
            if source.kind == "scenes":
                if file not in drawn:
                    continue
                s = drawn[file]
                chosen, labels = _with_landmarks(s.boxes[~s.ignore], faces), s.labels[~s.ignore]
            elif source.labels is None:
                chosen = faces.select(faces.scores >= 0.8)
                bare = source.is_bare(file, root)
                labels = np.full(len(chosen), LABELS.index(Label.NO_MASK) if bare else UNKNOWN, np.int64)
            else:
                chosen = main_face(faces)
                label = source.label_of(file, root)
                label = corrections.get(name) or label
                labels = np.full(len(chosen), LABELS.index(label), np.int64)
            if not len(chosen):
                continue
            data = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if data is None:
                raise DataError(f"{file} cannot be read as a picture")
            image = np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)
            for i in range(len(chosen)):
                face = chosen.select([i])
                size = float((face.boxes[0, 2:] - face.boxes[0, :2]).max())
                if size >= smallest:
                    crop, landmarks = cut_face(image, face)
                    parts.append((crop, landmarks, int(labels[i]), place, size, name))
    if not parts:
        raise DataError("no face was found in any picture; check the data folder")
    images, landmarks_, labels_, places, sizes, names = zip(*parts, strict=True)
    return FaceCrops(
        np.stack(images), np.stack(landmarks_), np.array(labels_), np.array(places),
        np.array(sizes, np.float32), list(names),
    )  # fmt: skip


def cut_face(image: Image, face: Faces) -> tuple[Image, NDArray[np.float32]]:
    """Crop ``(SIDE, SIDE, 3)`` and landmarks ``(5, 2)`` in it, of one face.

    A face whose landmarks are NaN is cut without turning.
    """
    unknown = bool(np.isnan(face.landmarks).any())
    upright = Faces(face.boxes, face.scores, np.zeros((1, 5, 2), np.float32)) if unknown else face
    crop = rotate_and_crop(image, upright, SIDE, MARGIN)[0]
    matrix = rotate_and_crop_matrix(face.boxes[0], float(upright.roll[0]), SIDE, MARGIN)
    points = face.landmarks[0] @ matrix[:, :2].T + matrix[:, 2]
    return crop, points.astype(np.float32)


def main_face(faces: Faces, doubtful: float = 0.35) -> Faces:
    """The one face that a single-person photograph is about, or none: large counts as well as sure."""
    place = main_face_place(faces, doubtful)
    return faces.select([] if place is None else [place])


def main_face_place(faces: Faces, doubtful: float = 0.35) -> int | None:
    """The place of :func:`main_face`, None where there is none."""
    weights = faces.scores * (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1, initial=0)
    weights[faces.scores < doubtful] = -1
    return int(weights.argmax()) if weights.max(initial=-1) >= 0 else None


def _with_landmarks(boxes: NDArray[np.float32], faces: Faces) -> Faces:
    """Drawn boxes with the landmarks of the found faces that match them, NaN elsewhere.

    The found face's box takes the drawn one's place where they match: that is what the classifier
    sees in use.
    """
    out = boxes.copy()
    landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    if len(faces) and len(boxes):
        overlap = iou(boxes, faces.boxes)
        for i in range(len(boxes)):
            j = int(overlap[i].argmax())
            if overlap[i, j] >= 0.45 and faces.scores[j] >= 0.3:
                landmarks[i], out[i] = faces.landmarks[j], faces.boxes[j]
    return Faces(out, np.ones(len(boxes), np.float32), landmarks)
