"""From a classifier's recipe to faces, split and ready to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from maskgate.errors import DataError
from maskgate.evaluation.matching import SMALLEST
from maskgate.training.classifier_data import ClassifierAugmentation, ClassifierDataset, still_view
from maskgate.training.classifier_validation import ValidationFaces, validation_faces
from maskgate.training.crop_cache import cached_faces
from maskgate.training.crops import UNKNOWN, FaceCrops, read_corrections
from maskgate.training.face_labels import read_face_labels
from maskgate.training.labelling import TeacherRecipe, label_with_own_detector
from maskgate.training.occlusion.hand_split import split_hands
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.shares import OcclusionShares
from maskgate.training.occlusion.templates import read_templates
from maskgate.training.recipe import SIDES, Source, build, require
from maskgate.training.splits import TEST, TRAINING, VALIDATION, split_faces
from maskgate.types import LABELS


@dataclass(frozen=True)
class Places:
    """Where a training finds what its recipe names.

    Attributes:
        recipe: folder of the recipe; its corrections are relative to it.
        data: folder that the sources are relative to.
        weights: folders that starts and teachers are looked for in.
        cache: folder for cut faces, shared by runs.
        labeller: ``model.onnx`` of an earlier run, which labels the sources that have no labels;
            without one they are left out.
        face_labels: faces found by an earlier run (its ``teacher.jsonl``), to save the time.
    """

    recipe: Path
    data: Path
    weights: tuple[Path, ...]
    cache: Path
    labeller: Path | None = None
    face_labels: Path | None = None


@dataclass(frozen=True, eq=False)
class ClassifierData:
    """Faces of all sources, and the side of the split that each is on."""

    crops: FaceCrops
    sides: NDArray[np.int64]
    sources: Sequence[Source]
    augmentation: ClassifierAugmentation
    seed: int
    templates: Path | None
    shares: OcclusionShares
    hands_to_learn: Sequence[Path]
    hands_to_judge: Sequence[Path]

    @cached_property
    def painter(self) -> Painter:
        """What training samples are drawn with."""
        return Painter(self._templates, read_hands(self.hands_to_learn), self.shares)

    @cached_property
    def validation(self) -> ValidationFaces:
        """What a run is judged by after each epoch: :attr:`held_out`, as they are and drawn on."""
        return self._judging(self.held_out, limit=300)

    @cached_property
    def testing(self) -> ValidationFaces:
        """What judges a finished run: the faces of :attr:`test`, as they are and drawn on."""
        return self._judging(self.test, limit=600)

    def _judging(self, crops: FaceCrops, limit: int) -> ValidationFaces:
        """Only hands of people that training does not see are laid on them."""
        kept = read_hands(self.hands_to_judge)
        painter = Painter(self._templates, kept)
        return validation_faces(crops, painter, kept, self.augmentation, self.seed, limit)

    @property
    def _templates(self) -> Sequence[Any]:
        return read_templates(self.templates) if self.templates else ()

    def _judges(self, side: int) -> NDArray[np.bool_]:
        """Faces of a side whose labels people gave, and which are large enough to count."""
        trusted = np.array([s.labelled for s in self.sources])[self.crops.sources]
        judges: NDArray[np.bool_] = (self.sides == side) & trusted & (self.crops.sizes >= SMALLEST)
        return judges

    @property
    def held_out(self) -> FaceCrops:
        """The labelled faces on the validation side. Raises
        :class:`~maskgate.errors.DataError` where there is none."""
        judges = self._judges(VALIDATION)
        if not judges.any():
            raise DataError(
                "no labelled face is on the validation side; add pictures, or give a larger 'validation'"
            )
        return self.crops.select(judges)

    @property
    def test(self) -> FaceCrops:
        """The held-out faces that judge the result, of the same sources."""
        return self.crops.select(self._judges(TEST))

    @property
    def learnt(self) -> FaceCrops:
        """The faces that training sees."""
        return self.crops.select(self.sides == TRAINING)

    def dataset(self, samples: int, seed: int) -> ClassifierDataset:
        """Random samples of the faces to learn from, ``samples`` an epoch."""
        learnt = self.learnt
        weights = np.array([s.weight for s in self.sources])[learnt.sources]
        return ClassifierDataset(learnt, samples, self.augmentation, self.painter, seed, weights)

    def table(self) -> str:
        """A line of CSV a face: picture, label and side."""
        rows = zip(self.crops.pictures, self.crops.labels, self.sides, strict=True)
        lines = [f"{picture},{LABELS[label]},{SIDES[side]}" for picture, label, side in rows]
        return "\n".join(["picture,label,side", *lines]) + "\n"

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Number of faces by source and label."""
        return {
            s.path: {
                str(label): int(((self.crops.sources == i) & (self.crops.labels == n)).sum())
                for n, label in enumerate(LABELS)
            }
            for i, s in enumerate(self.sources)
        }


def prepare_faces(recipe: Mapping[str, Any], places: Places, found: Path) -> ClassifierData:
    """Finds, cuts, labels and splits the faces of a recipe's sources.

    The recipe's teacher finds them; without one the detector that ships does.

    Args:
        recipe: as :func:`~maskgate.training.recipe.read_recipe` gives it.
        found: file for the faces found, to go on from.

    Raises :class:`~maskgate.errors.DataError` on a recipe or data that cannot be used.
    """
    sources = [build(Source, table, "[[source]]") for table in recipe["source"]]
    if places.labeller is None:
        sources = [s for s in sources if s.labelled]
    a = build(ClassifierAugmentation, recipe.get("augmentation", {}), "[augmentation]")
    seed = int(recipe["seed"])
    occlusion = recipe.get("occlusion", {})
    if occlusion:
        require(occlusion, ("hands", "templates"), "[occlusion]")
    corrections = read_corrections(places.recipe / recipe["corrections"]) if "corrections" in recipe else {}
    known = read_face_labels(places.face_labels) if places.face_labels else {}
    if "teacher" in recipe:
        teacher = build(TeacherRecipe, recipe["teacher"], "[teacher]")
        faces = teacher.label(sources, places.data, places.weights, found, known)
    else:
        faces = label_with_own_detector(sources, places.data, found, known)
    crops = cached_faces(sources, places.data, faces, corrections, places.cache)
    if places.labeller is not None:
        crops = pseudo_labels(crops, sources, places.labeller, a)
    sides = split_faces(
        crops,
        sources,
        float(recipe["validation"]),
        float(recipe.get("test", 0.0)),
        int(recipe.get("split_seed", seed)),
    )
    files = [f for h in occlusion.get("hands", ()) for f in sorted((places.data / h).glob("*.jpg"))]
    learn, judge = split_hands(files, places.data)
    templates = places.data / occlusion["templates"] if occlusion else None
    shares = build(OcclusionShares, occlusion.get("shares", {}), "[occlusion.shares]")
    return ClassifierData(crops, sides, sources, a, seed, templates, shares, learn, judge)


def pseudo_labels(
    crops: FaceCrops, sources: Sequence[Source], labeller: Path, a: ClassifierAugmentation
) -> FaceCrops:
    """Gives faces without a label that of an earlier model where it is confident; drops the others.

    ``labeller`` is an earlier run's ``model.onnx``. A face is kept where the mean probability over
    the view and its mirror image reaches its source's ``confident``.
    """
    unknown = np.flatnonzero(crops.labels == UNKNOWN)
    session = ort.InferenceSession(str(labeller))
    entry = session.get_inputs()[0]
    labels = crops.labels.copy()
    for i in unknown:
        view = still_view(crops.images[i], a.margin, int(entry.shape[1]))  # it may see faces larger
        pair = np.stack([view, view[:, ::-1]])
        p = session.run(None, {entry.name: pair})[0].mean(0)
        if p.max() >= sources[int(crops.sources[i])].confident:
            labels[i] = int(p.argmax())
    named = FaceCrops(crops.images, crops.landmarks, labels, crops.sources, crops.sizes, crops.pictures)
    return named.select(labels != UNKNOWN)
