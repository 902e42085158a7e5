"""Faces of annotated scenes as the pipeline sees them: the cross-source test of every classifier."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskgate.alignment import CropSpec
from maskgate.detection import create_detector
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.matching import match_faces
from maskgate.files import npz_bytes, write_atomic
from maskgate.images import read_image
from maskgate.models import DEFAULT_DETECTOR, find_card
from maskgate.models.sessions import RuntimeOptions
from maskgate.types import Image


@dataclass(frozen=True, eq=False)
class SceneFaces:
    """The annotated faces that the default detector finds.

    Attributes:
        views: ``(N, S, S, 3)`` uint8 RGB crops.
        labels: ``(N,)`` int64 places in LABELS.
        pictures: ``(N,)`` int64 number of each face's picture.
    """

    views: Image
    labels: NDArray[np.int64]
    pictures: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def scene_faces(folder: Path, spec: CropSpec, cache: Path) -> SceneFaces:
    """Detects, matches (IoU 0.4, faces from 20 pixels on) and cuts the faces of ``folder``.

    Kept in ``cache`` under the hash of annotations, detector and crop.
    """
    sha = find_card(DEFAULT_DETECTOR, "detection").sha256
    digest = hashlib.sha256((folder / "annotations.json").read_bytes() + f"{sha} {spec}".encode()).hexdigest()
    kept = cache / f"scenes-{digest[:16]}.npz"
    if kept.is_file():
        with np.load(kept) as arrays:
            return SceneFaces(arrays["views"], arrays["labels"], arrays["pictures"])
    detector = create_detector(None, RuntimeOptions(threads=1))
    views, labels, pictures = [], [], []
    for number, scene in enumerate(tqdm(read_scenes(folder), desc=f"faces of {folder.name}", mininterval=5)):
        image = read_image(scene.path)
        faces = detector.detect([image])[0]
        matching = match_faces(faces.boxes, faces.scores, scene.boxes, scene.ignore)
        places = matching.truth
        hits = [d for d, g in enumerate(places) if g >= 0 and matching.counted[g]]
        if hits:
            views.append(spec.cut(image, faces.select(hits)))
            labels.append(scene.labels[places[hits]])
            pictures.append(np.full(len(hits), number, np.int64))
    found = SceneFaces(np.concatenate(views), np.concatenate(labels), np.concatenate(pictures))
    write_atomic(kept, npz_bytes(views=found.views, labels=found.labels, pictures=found.pictures))
    return found
