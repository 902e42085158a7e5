"""What the teacher says about every picture of a recipe, and training labels made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from maskgate.detection import create_detector
from maskgate.detection.boxes import iou
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.evaluation.face_pictures import FacePicture
from maskgate.models.sessions import RuntimeOptions, available_processors
from maskgate.nets.retinaface import ExportedRetinaFace, RetinaFace, load_published
from maskgate.training.crops import UNKNOWN, main_face_place
from maskgate.training.detector_data import LabelledPicture
from maskgate.training.export import Storage, export_onnx
from maskgate.training.face_labels import FaceLabeller, label_pictures
from maskgate.training.recipe import Source
from maskgate.training.teacher import OneLook, Teacher
from maskgate.types import LABELS, Faces, Label

EXPORT_AXES = {
    "input": {0: "batch", 2: "height", 3: "width"},
    "loc": {0: "batch", 1: "anchors"},
    "conf": {0: "batch", 1: "anchors"},
    "landmarks": {0: "batch", 1: "anchors"},
}


def export_detector(
    net: RetinaFace, path: Path, temperature: float = 1.0, storage: Storage = "float32"
) -> None:
    """Writes ``net`` as ONNX in the layout of the published files, any batch, height and width; one with
    labels has the output ``labels`` too, the softmax of their scores over ``temperature``."""
    axes = EXPORT_AXES | ({"labels": {0: "batch", 1: "anchors"}} if net.labels else {})
    export_onnx(ExportedRetinaFace(net, temperature), torch.zeros(1, 3, 64, 96), path, axes, storage)


def load_detector(file: Path, folder: Path, settings: RetinaFaceSettings) -> RetinaFaceDetector:
    """A detector from an ONNX file, or from a published state dict that is exported into ``folder``.

    Raises :class:`~maskgate.errors.DataError` where there is no such file.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing; check --weights and the recipe's [teacher]")
    if file.suffix != ".onnx":
        net = RetinaFace().eval()
        load_published(net, torch.load(file, map_location="cpu", weights_only=True))
        file = folder / f"{file.stem}.onnx"
        export_detector(net, file)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return RetinaFaceDetector(ort.InferenceSession(str(file), options), settings)


@dataclass(frozen=True)
class TeacherRecipe:
    """``[teacher]`` of a recipe: see ``recipes/detector.toml``."""

    files: tuple[str, ...]
    anchors: tuple[tuple[tuple[float, ...], ...], ...]
    certain: float
    doubtful: float

    def label(
        self, sources: Sequence[Source], root: Path, weights: Sequence[Path], cache: Path,
        known: Mapping[str, Faces] | None = None,
    ) -> dict[str, Faces]:  # fmt: skip
        """Faces by picture path below ``root``, for all pictures of ``sources``.

        What ``cache`` or ``known`` holds is not looked at again. Crops get a border, since
        detectors look for the surroundings of a face too, and are seen at smaller scales.

        Args:
            weights: folders that ``files`` are looked for in.
        """
        detectors = [
            load_detector(
                first_file(weights, file), cache.parent, RetinaFaceSettings(anchors=anchors, score=0.25)
            )
            for file, anchors in zip(self.files, self.anchors, strict=True)
        ]
        close = Teacher(detectors, scales=(160, 256, 400), pad=0.4)
        return _label(Teacher(detectors), close, sources, root, cache, known)


def label_with_own_detector(
    sources: Sequence[Source], root: Path, cache: Path, known: Mapping[str, Faces] | None = None
) -> dict[str, Faces]:
    """As :meth:`TeacherRecipe.label`, with the detector that ships with the package, used as the
    pipeline uses it: what is learnt from is cut as it will be in use."""
    detector = create_detector(None, RuntimeOptions(threads=1), score=0.25)
    return _label(OneLook(detector), OneLook(detector, pad=0.4), sources, root, cache, known)


def _label(
    wide: FaceLabeller, close: FaceLabeller, sources: Sequence[Source], root: Path, cache: Path,
    known: Mapping[str, Faces] | None,
) -> dict[str, Faces]:  # fmt: skip
    """``close`` labels the sources that are crops, ``wide`` the others."""
    known = known or {}
    files = [(f, s.kind == "crops") for s in sources for f in s.files(root)]
    todo = [(f, tight) for f, tight in files if str(f.relative_to(root)) not in known]
    threads = available_processors()
    label_pictures(wide, root, [f for f, tight in todo if not tight], cache, threads)
    return {**known, **label_pictures(close, root, [f for f, tight in todo if tight], cache, threads)}


def first_file(folders: Sequence[Path], file: str) -> Path:
    """The first of ``folders`` / ``file`` that exists, else the last."""
    paths = [folder / file for folder in folders]
    return next((p for p in paths if p.is_file()), paths[-1])


def from_teacher(file: Path, faces: Faces, recipe: TeacherRecipe, bare: bool) -> LabelledPicture:
    """Training labels from a teacher's: certain faces, and regions to ignore. Nobody knows what is on the
    faces, unless they are ``bare``."""
    label = LABELS.index(Label.NO_MASK) if bare else UNKNOWN
    return _found(file, faces, recipe, faces.scores >= recipe.certain, np.full(len(faces), label))


def from_photograph(file: Path, faces: Faces, recipe: TeacherRecipe, label: Label) -> LabelledPicture:
    """Likewise where ``label`` is told of the photograph, that is of its main face
    (:func:`~maskgate.training.crops.main_face`); nobody knows what is on the others."""
    main = main_face_place(faces)
    labels = np.full(len(faces), UNKNOWN)
    certain = faces.scores >= recipe.certain
    if main is not None:
        labels[main] = LABELS.index(label)
        certain[main] = True  # a face that somebody labelled is one
    return _found(file, faces, recipe, certain, labels)


def _found(
    file: Path, faces: Faces, recipe: TeacherRecipe, certain: NDArray[np.bool_], labels: NDArray[np.int64]
) -> LabelledPicture:
    doubtful = ~certain & (faces.scores >= recipe.doubtful)
    return LabelledPicture(
        file, faces.boxes[certain], faces.landmarks[certain], np.ones(int(certain.sum()), np.bool_),
        faces.boxes[doubtful], labels[certain],
    )  # fmt: skip


def from_wider(picture: FacePicture, bare: bool) -> LabelledPicture:
    """Training labels from annotations in WIDER FACE's manner: landmarks where all five are there, regions to
    ignore as annotated. Where faces are told to be ``bare``, those are whose annotation does not say that
    something covers them, and that have landmarks, for something to be drawn on."""
    keep, known = ~picture.ignore, picture.has_landmarks
    occluded = picture.attributes.get("occlusion", np.zeros(len(picture), np.int64)) != 0
    drawable = bare & known & ~occluded
    labels = np.where((picture.labels == UNKNOWN) & drawable, LABELS.index(Label.NO_MASK), picture.labels)
    return LabelledPicture(
        picture.path, picture.boxes[keep], np.nan_to_num(picture.landmarks[keep]), known[keep],
        picture.boxes[~keep], labels[keep],
    )  # fmt: skip


def from_scene(
    file: Path,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    faces: Faces,
    recipe: TeacherRecipe,
) -> LabelledPicture:
    """Training labels from drawn boxes; the teacher adds landmarks, and regions to ignore where it
    sees a face that nobody drew."""
    keep = ~crowd
    boxes, labels, regions = boxes[keep], labels[keep], boxes[crowd]
    landmarks = np.zeros((len(boxes), 5, 2), np.float32)
    has = np.zeros(len(boxes), np.bool_)
    extra = np.zeros((0, 4), np.float32)
    if len(faces):
        overlap = iou(boxes, faces.boxes) if len(boxes) else np.zeros((0, len(faces)), np.float32)
        for i in range(len(boxes)):
            j = int(overlap[i].argmax())
            if overlap[i, j] >= 0.5 and faces.scores[j] >= recipe.doubtful:
                landmarks[i], has[i] = faces.landmarks[j], True
        alone = overlap.max(0, initial=0) < 0.3
        extra = faces.boxes[alone & (faces.scores >= recipe.doubtful)]
    return LabelledPicture(file, boxes, landmarks, has, np.concatenate([regions, extra]), labels)
