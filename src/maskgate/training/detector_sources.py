"""From a detector's recipe to pictures, split and ready to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.training.classifier_setup import Places
from maskgate.training.crops import read_corrections
from maskgate.training.detector_boxes import BoxRecipe, BoxStyle, fit_box_style, restyle
from maskgate.training.detector_compose import ComposedScenes, find_background
from maskgate.training.detector_data import (
    DetectorAugmentation,
    DetectorDataset,
    LabelledPicture,
    read_picture,
)
from maskgate.training.detector_validation import DrawnPicture, draw_masks
from maskgate.training.direct_data import SourcePicture, read_pictures
from maskgate.training.face_labels import read_face_labels
from maskgate.training.grouping import difference_hash, group_duplicates, held_out
from maskgate.training.labelling import TeacherRecipe, label_with_own_detector
from maskgate.training.occlusion.hand_split import split_hands
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.training.occlusion.templates import read_templates
from maskgate.training.recipe import Source, build
from maskgate.types import LABELS, Faces

_OWN_DETECTOR = TeacherRecipe((), (), certain=0.8, doubtful=0.25)
"""Scores from which faces count where a recipe has no teacher."""

_DRAWN_BY_PEOPLE = ("scenes", "wider")


@dataclass(frozen=True, eq=False)
class DetectorPictures:
    """Pictures of all sources.

    Attributes:
        learnt: the pictures that training sees, and
        weights: how often it sees each.
        validation: held-out pictures whose boxes people drew.
        drawn: held-out bare faces with masks drawn on.
        painter: what training samples are drawn with.
        scenes: composed ones, where the recipe's sources give faces and backgrounds for them.
        augmentation: of the recipe.
        counts: by source, pictures and faces learnt from.
        style: how drawn boxes differ from the teacher's, where the recipe brings them together.
        files: all that took part, for the manifest.
    """

    learnt: Sequence[LabelledPicture]
    weights: Sequence[float]
    validation: Sequence[LabelledPicture]
    drawn: Sequence[DrawnPicture]
    painter: Painter
    scenes: ComposedScenes | None
    augmentation: DetectorAugmentation
    counts: Mapping[str, Mapping[str, int]]
    style: BoxStyle | None
    files: Sequence[Path]

    def dataset(self, samples: int, seed: int) -> DetectorDataset:
        """Random samples, ``samples`` an epoch."""
        return DetectorDataset(
            self.learnt, self.weights, samples, self.augmentation, self.painter, seed, scenes=self.scenes
        )


def prepare_pictures(recipe: Mapping[str, Any], places: Places, cache: Path) -> DetectorPictures:
    """Labels, splits and styles the pictures of a recipe's sources.

    Crops are for composed scenes alone. Pictures of WIDER FACE keep their own annotations, the teacher
    labels all others.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        cache: file for the faces found, to go on from.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]
    augmentation = build(DetectorAugmentation, recipe.get("augmentation", {}), "[augmentation]")
    boxes = build(BoxRecipe, recipe["boxes"], "[boxes]") if "boxes" in recipe else None
    corrections = read_corrections(places.recipe / recipe["corrections"]) if "corrections" in recipe else {}
    seed = int(recipe["seed"])
    teacher, found = _found(recipe, sources, places, cache)
    pictures = read_pictures(sources, places.data, found, corrections, teacher)
    hashes, sizes = _look_at(pictures)
    aside = _aside(pictures, hashes, float(recipe["validation"]), seed)
    style = None
    if boxes is not None:
        style = fit_box_style(
            (p.faces.boxes, found.get(p.name, Faces.empty()))
            for p, out in zip(pictures, aside, strict=True)
            if p.source.kind == "scenes" and not out
        )
    learnt, validation, bare = [], [], []
    for picture, out in zip(pictures, aside, strict=True):
        if out and picture.source.kind in _DRAWN_BY_PEOPLE:
            validation.append(picture.faces)
        elif out:
            bare.append(picture.faces)
        elif len(picture.faces.boxes):
            learnt.append(_styled(picture, style, boxes))
    whole = [p for p in learnt if p.source.kind != "crops"]
    if not whole:
        raise DataError("no picture with a face is left to learn from; check the recipe's sources")
    painter = _painter(recipe.get("occlusion", {}), places.data)
    scenes = None
    if augmentation.compose > 0:
        scenes = _composed(learnt, pictures, aside, sizes, painter, seed)
    return DetectorPictures(
        [p.faces for p in whole], [p.source.weight for p in whole], validation,
        draw_masks(bare, painter, seed), painter, scenes, augmentation, _counts(learnt), style,
        [places.data / p.name for p in pictures],
    )  # fmt: skip


def _found(
    recipe: Mapping[str, Any], sources: Sequence[Source], places: Places, cache: Path
) -> tuple[TeacherRecipe, dict[str, Faces]]:
    """What labels the sources that have no boxes of their own, and what it found."""
    known = read_face_labels(places.face_labels) if places.face_labels else {}
    unlabelled = [s for s in sources if s.kind != "wider"]
    if "teacher" not in recipe:
        return _OWN_DETECTOR, label_with_own_detector(unlabelled, places.data, cache, known)
    teacher = build(TeacherRecipe, recipe["teacher"], "[teacher]")
    return teacher, teacher.label(unlabelled, places.data, places.weights, cache, known)


def _look_at(pictures: Sequence[SourcePicture]) -> tuple[list[NDArray[np.uint8]], list[tuple[int, int]]]:
    """The difference hash, and width and height, of each picture."""
    hashes, sizes = [], []
    for picture in pictures:
        image = read_picture(picture.faces.path)
        hashes.append(difference_hash(image))
        sizes.append((image.shape[1], image.shape[0]))
    return hashes, sizes


def _aside(
    pictures: Sequence[SourcePicture], hashes: Sequence[NDArray[np.uint8]], share: float, seed: int
) -> NDArray[np.bool_]:
    """``(N,)`` True for the pictures that training does not see: a share of each source, whole groups of
    near-duplicates, and sources that say so. Crops, which are faces alone, are all seen."""
    if not pictures:
        raise DataError("the recipe's sources hold no picture that can be used")
    groups = group_duplicates(np.stack(hashes))
    out = held_out([p.faces.path for p in pictures], groups, share, seed)
    for place, picture in enumerate(pictures):
        if picture.source.side:
            out[place] = picture.source.side != "training"
        elif picture.source.kind == "crops":
            out[place] = False
    return out


def _styled(picture: SourcePicture, style: BoxStyle | None, boxes: BoxRecipe | None) -> SourcePicture:
    if style is None or boxes is None:
        return picture
    drawn = picture.source.kind == "scenes"  # WIDER FACE's boxes are what the teachers learnt
    faces = restyle(picture.faces, style, boxes.towards_drawn, drawn=drawn)
    return SourcePicture(picture.name, picture.source, faces)


def _composed(
    learnt: Sequence[SourcePicture],
    pictures: Sequence[SourcePicture],
    aside: NDArray[np.bool_],
    sizes: Sequence[tuple[int, int]],
    painter: Painter,
    seed: int,
) -> ComposedScenes | None:
    rng = np.random.default_rng(seed)
    backgrounds = [
        find_background(picture.faces, *size, rng)
        for picture, size, out in zip(pictures, sizes, aside, strict=True)
        if picture.source.kind != "crops" and not out
    ]
    weights = [p.source.weight for p in learnt]
    scenes = ComposedScenes(
        [b for b in backgrounds if b is not None], [p.faces for p in learnt], weights, painter
    )
    return scenes or None


def _painter(occlusion: Mapping[str, Any], data: Path) -> Painter:
    files = [f for folder in occlusion.get("hands", ()) for f in sorted((data / folder).glob("*.jpg"))]
    learn, _ = split_hands(files, data)
    templates = read_templates(data / occlusion["templates"]) if "templates" in occlusion else ()
    shares = build(OcclusionShares, occlusion.get("shares", {}), "[occlusion.shares]")
    return Painter(templates, read_hands(learn), shares)


def _counts(learnt: Sequence[SourcePicture]) -> dict[str, dict[str, int]]:
    """Pictures and faces learnt from, by source; faces by label, those of unknown label among the rest."""
    counts: dict[str, dict[str, int]] = {}
    for picture in learnt:
        own = counts.setdefault(
            picture.source.path, {"pictures": 0, "faces": 0, **{str(n): 0 for n in LABELS}}
        )
        own["pictures"] += 1
        own["faces"] += len(picture.faces.boxes)
        for place, label in enumerate(LABELS):
            own[str(label)] += int((picture.faces.labels == place).sum())
    return counts
