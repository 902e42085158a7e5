"""Sets of pictures with annotated faces: WIDER FACE folders, and COCO scenes of ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.coco_entries import CocoEntry, coco_entries, load_coco
from maskgate.evaluation.face_pictures import FacePicture, without_landmarks
from maskgate.evaluation.wider import is_wider, read_subsets, read_wider

Kind = Literal["WIDER FACE", "COCO"]


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Pictures and the subsets that WIDER FACE's average precision is told for.

    Attributes:
        kind: what the folder is.
        pictures: at least one.
        subsets: by name the faces that count, ``(N,)`` bool for each picture; the others are ignored.
            Empty where the folder has none.
    """

    kind: Kind
    pictures: Sequence[FacePicture]
    subsets: Mapping[str, Sequence[NDArray[np.bool_]]] = field(default_factory=dict)


def read_face_set(folder: str | Path) -> FaceSet:
    """Reads ``folder``, which is WIDER FACE's (:func:`~maskgate.evaluation.wider.read_wider`, split
    ``val``) or holds ``images/`` and ``annotations.json`` as ``maskgate evaluate scenes`` reads them.

    COCO's ``keypoints`` are read where they are five points, in the order of :mod:`maskgate.types`.

    Raises :class:`~maskgate.errors.DataError` where it is neither, or a file is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; give WIDER FACE's, or one with images/ and annotations.json"
        )
    if (folder / "annotations.json").is_file():
        return FaceSet("COCO", _read_coco(folder))
    if is_wider(folder):
        pictures = read_wider(folder)
        return FaceSet("WIDER FACE", pictures, read_subsets(folder, pictures))
    raise DataError(
        f"{folder} has no annotations: neither annotations.json nor WIDER FACE's wider_face_val.mat, "
        "wider_face_val_bbx_gt.txt or label.txt; see docs/faces.md"
    )


def _read_coco(folder: Path) -> list[FacePicture]:
    scenes = read_scenes(folder)
    file = folder / "annotations.json"
    content = load_coco(file)
    # scenes come in the order of 'images', their faces in that of 'annotations'
    points: dict[int | str, list[NDArray[np.float32]]] = defaultdict(list)
    for entry in coco_entries(file, content, "annotations"):
        points[entry.identifier("image_id")].append(_keypoints(entry))
    names = [entry.identifier("id") for entry in coco_entries(file, content, "images")]
    return [
        FacePicture(
            scene.path,
            scene.boxes,
            np.array(points[name], np.float32).reshape(-1, 5, 2),
            scene.ignore,
            scene.labels,
            size=(scene.width, scene.height),
        )
        for scene, name in zip(scenes, names, strict=True)
    ]


def _keypoints(entry: CocoEntry) -> NDArray[np.float32]:
    """``(5, 2)``; NaN for points with visibility 0, and where the face has none."""
    nothing: NDArray[np.float32] = without_landmarks(1)[0]
    value = entry.fields.get("keypoints")
    if not value:
        return nothing
    try:
        points = np.array(value, np.float32).reshape(5, 3)
        if not np.isfinite(points).all():
            raise ValueError
    except (TypeError, ValueError):
        raise entry.fail(
            "has keypoints that are not five times x, y, visibility; correct or remove them"
        ) from None
    known: NDArray[np.float32] = np.where(points[:, 2:] > 0, points[:, :2], nothing)
    return known
