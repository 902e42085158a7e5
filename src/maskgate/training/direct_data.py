"""Pictures to learn direct mask finding from: each face with its label, as far as people told it.

Scenes give the drawn boxes with their labels, photographs and crops with a label their main face, those of
bare people all faces. Other faces found are faces whose label nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.wider import Split, read_wider
from maskgate.images import read_image
from maskgate.training.crops import FaceCrops, cut_face
from maskgate.training.detector_data import LabelledPicture
from maskgate.training.grouping import difference_hash, group_duplicates
from maskgate.training.labelling import TeacherRecipe, from_photograph, from_scene, from_teacher, from_wider
from maskgate.training.recipe import Source
from maskgate.types import LABELS, Faces, Label


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """A picture of a recipe's source.

    Attributes:
        name: its path below the data folder.
        source: where it is from.
        faces: the picture with its faces.
    """

    name: str
    source: Source
    faces: LabelledPicture


def read_pictures(
    sources: Sequence[Source],
    root: Path,
    found: Mapping[str, Faces],
    corrections: Mapping[str, Label | None],
    teacher: TeacherRecipe,
) -> list[SourcePicture]:
    """All pictures of ``sources`` that show a face, and scenes without one.

    Args:
        found: faces by picture path below ``root``, best first.
        corrections: as :func:`~maskgate.training.crops.read_corrections` gives them.
        teacher: from which scores on a found face is one, or may be one.

    Raises :class:`~maskgate.errors.DataError` where a picture lies in no folder that its source's labels
    name.
    """
    pictures = []
    for source in sources:
        if source.kind == "wider":
            split: Split = "val" if source.side == "validation" else "train"
            for annotated in read_wider(root / source.path, split):
                faces_of = from_wider(annotated, "." in source.bare)
                pictures.append(SourcePicture(str(annotated.path.relative_to(root)), source, faces_of))
            continue
        drawn = {s.path: s for s in read_scenes(root / source.path)} if source.kind == "scenes" else {}
        for file in source.files(root):
            name = str(file.relative_to(root))
            if corrections.get(name, Label.MASK) is None:
                continue
            faces = found.get(name, Faces.empty())
            if source.kind == "scenes":
                if file not in drawn:
                    continue
                s = drawn[file]
                picture = from_scene(file, s.boxes, s.labels, s.ignore, faces, teacher)
            elif source.labels is not None:
                label = source.label_of(file, root)
                picture = from_photograph(file, faces, teacher, corrections.get(name) or label)
            else:
                picture = from_teacher(file, faces, teacher, source.is_bare(file, root))
            if len(picture.boxes) or source.kind == "scenes":
                pictures.append(SourcePicture(name, source, picture))
    return pictures


def without_duplicates(pictures: Sequence[SourcePicture], held_out: FaceCrops) -> list[SourcePicture]:
    """Those pictures that are no near-duplicate of one whose faces are held out.

    As for the split, pictures are compared by their first faces.
    """
    if not pictures:
        return []
    first = {name: i for i, name in reversed(list(enumerate(held_out.pictures)))}
    held = [difference_hash(held_out.images[i]) for i in first.values()]
    own = []
    for picture in pictures:
        f = picture.faces
        face = Faces(f.boxes[:1], np.ones(1, np.float32), f.landmarks[:1])
        own.append(difference_hash(cut_face(read_image(f.path), face)[0]))
    groups = group_duplicates(np.stack([*held, *own]))
    taken = set(groups[: len(held)].tolist())
    return [p for p, group in zip(pictures, groups[len(held) :].tolist(), strict=True) if group not in taken]


def weights_of(pictures: Sequence[SourcePicture], incorrect: float) -> list[float]:
    """How often each picture is drawn: its source's weight, times ``incorrect`` where it shows a mask that
    is worn wrongly."""
    rare = LABELS.index(Label.INCORRECT)
    return [p.source.weight * (incorrect if (p.faces.labels == rare).any() else 1.0) for p in pictures]
