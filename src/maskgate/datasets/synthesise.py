"""Bare faces turned into masked, wrongly masked and covered ones, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation
from maskgate.datasets.faces import cut_face, find_faces
from maskgate.datasets.formats.coco import write_coco
from maskgate.datasets.journal import Journal
from maskgate.datasets.output import OutputFolder, Show, outside, show_nothing, write_whole
from maskgate.datasets.sources import hash_source
from maskgate.detection import Detector
from maskgate.errors import ImageError, InputError
from maskgate.images import encode_image, find_images, read_image
from maskgate.training.occlusion.hands import read_hands
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.paint import Painter
from maskgate.training.occlusion.templates import read_templates
from maskgate.types import LABELS, Faces, Image, Label

Form = Literal["folders", "coco"]


class Kind(StrEnum):
    """What becomes of a bare face."""

    MASK = "mask"
    INCORRECT = "incorrect"
    COVERED = "covered"
    BARE = "bare"

    @property
    def label(self) -> Label:
        """A covered face and a bare one wear no mask."""
        return Label(self) if self in (Kind.MASK, Kind.INCORRECT) else Label.NO_MASK

    def paint(
        self, painter: Painter, image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator
    ) -> Image:
        """A new picture with this on the face."""
        if self is Kind.MASK:
            return painter.mask(image, landmarks, Wearing.RIGHT, rng)
        if self is Kind.INCORRECT:
            return painter.wrong_mask(image, landmarks, rng)
        if self is Kind.COVERED:
            return painter.bare_cover(image, landmarks, rng)
        return image.copy()


@dataclass(frozen=True)
class SynthesisSettings:
    """What is made of each picture.

    Attributes:
        form: ``folders`` cuts each face out into a folder named by its label; ``coco`` keeps whole
            pictures, with the boxes in ``annotations.json``.
        kinds: drawn from for each face, with equal chances.
        count: results a picture.
        seed: another one draws other lots.
        margin: side of a cut-out face over the longer side of its box, 1 to 4.
        smallest: shorter side in pixels from which a face is painted.

    Raises :class:`~maskgate.errors.InputError` on other values.
    """

    form: Form = "folders"
    kinds: tuple[Kind, ...] = (Kind.MASK, Kind.INCORRECT, Kind.COVERED)
    count: int = 1
    seed: int = 0
    margin: float = 2.0
    smallest: float = 40.0

    def __post_init__(self) -> None:
        if not self.kinds:
            raise InputError(f"kinds is empty; choose from {', '.join(Kind)}")
        if self.count < 1:
            raise InputError(f"count is {self.count}; give at least 1")
        if not 1 <= self.margin <= 4:
            raise InputError(f"margin is {self.margin}; give a value from 1 to 4")


@dataclass(frozen=True)
class Synthesised:
    """``sources`` done and ``faces`` painted by now, and one sentence for each picture that failed."""

    sources: int
    faces: int
    failures: tuple[str, ...]


def make_painter(templates: Path | None, hands: Path | None) -> Painter:
    """A painter with the mask templates and the photographs of hands in two folders.

    Raises :class:`~maskgate.errors.MaskGateError` where one holds none.
    """
    return Painter(
        read_templates(templates) if templates is not None else (),
        read_hands(find_images([hands])) if hands is not None else (),
    )


def synthesise(
    sources: Sequence[Path],
    output: Path,
    detector: Detector,
    painter: Painter,
    settings: SynthesisSettings,
    *,
    materials: Mapping[str, Any] | None = None,
    show: Show = show_nothing,
) -> Synthesised:
    """Paints the faces of all pictures that ``output`` has not had yet.

    The lots depend on the seed, the picture's content and the number of the result: neither other
    pictures nor a stop in between change what becomes of one. ``index.jsonl`` has a line a face:
    ``picture``, ``source``, ``kind``, ``label``, ``box`` in the picture written, the source's
    ``sha256``.

    Args:
        sources: pictures; those in ``output`` are left out.
        materials: what was chosen for the detector and the painter, plain values; a folder's
            pictures all come from the same.

    Raises :class:`~maskgate.errors.DataError` where ``output`` holds something else. A picture
    that cannot be read is among the failures.
    """
    folder = OutputFolder(
        output,
        "synthesise",
        {"detector": detector.name, **(materials or {}), **vars(settings)},
    )
    journal = Journal(output)
    write = _write_crops if settings.form == "folders" else _write_scene
    failures = []
    for done, source in enumerate(outside(sources, output), 1):
        try:
            sha256 = hash_source(source)
            if sha256 not in journal:
                image = read_image(source)
                lines = _paint_all(source, sha256, image, output, detector, painter, settings, write)
                height, width = image.shape[:2]
                journal.add(sha256, {"source": str(source), "width": width, "height": height}, lines)
        except ImageError as error:
            failures.append(str(error))
        show(done)
    report = {"sources": len(journal.sources), "faces": len(journal.made)}
    if settings.form == "coco" and (folder.report != report or not (output / "annotations.json").exists()):
        write_coco(_annotated(journal, output), output)
    folder.finish(report)
    return Synthesised(len(journal.sources), len(journal.made), tuple(failures))


@dataclass(frozen=True, eq=False)
class _Painted:
    """One result: the picture, the name of its file without the end, and each face's kind."""

    image: Image
    stem: str
    kinds: tuple[Kind, ...]


_Write = Callable[[_Painted, Faces, Path, SynthesisSettings], list[dict[str, Any]]]


def _paint_all(
    source: Path,
    sha256: str,
    image: Image,
    output: Path,
    detector: Detector,
    painter: Painter,
    settings: SynthesisSettings,
    write: _Write,
) -> list[dict[str, Any]]:
    """The index's lines of one source."""
    faces = find_faces(detector, image, settings.smallest, close_ups=True)
    # the smallest first: nearer faces, and what they wear, come in front
    order = np.argsort((faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1, initial=0))
    faces = faces.select(order)
    if not len(faces):
        return []
    lines = []
    for number in range(settings.count):
        lot = hashlib.sha256(f"{settings.seed}/{sha256}/{number}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(lot[:8], "big"))
        painted, kinds = image, []
        for landmarks in faces.landmarks:
            kinds.append(settings.kinds[int(rng.integers(len(settings.kinds)))])
            painted = kinds[-1].paint(painter, painted, landmarks, rng)
        result = _Painted(painted, f"{sha256[:16]}-{number:03}", tuple(kinds))
        lines += [{**line, "source": str(source)} for line in write(result, faces, output, settings)]
    return lines


def _write_crops(
    painted: _Painted, faces: Faces, output: Path, settings: SynthesisSettings
) -> list[dict[str, Any]]:
    lines = []
    for i, kind in enumerate(painted.kinds):
        crop = cut_face(painted.image, faces, i, "upright", settings.margin)
        name = f"{kind.label}/{painted.stem}-{i:02}-{kind}.jpg"
        write_whole(output / name, encode_image(crop, "JPEG"))
        side = crop.shape[0]
        reach = side / settings.margin / 2  # the box's longer side, in the middle
        box = [side / 2 - reach, side / 2 - reach, side / 2 + reach, side / 2 + reach]
        lines.append(
            {"picture": name, "kind": str(kind), "label": str(kind.label), "box": [round(v, 1) for v in box]}
        )
    return lines


def _write_scene(
    painted: _Painted, faces: Faces, output: Path, settings: SynthesisSettings
) -> list[dict[str, Any]]:
    height, width = painted.image.shape[:2]
    boxes = np.clip(faces.boxes.astype(np.float64), 0, [width, height, width, height])
    name = f"{painted.stem}.jpg"
    lines = [
        {
            "picture": f"images/{name}",
            "kind": str(kind),
            "label": str(kind.label),
            "box": [round(float(v), 2) for v in box],
        }
        for kind, box in zip(painted.kinds, boxes, strict=True)
        if (box[2:] > box[:2] + 1).all()
    ]
    if lines:
        write_whole(output / "images" / name, encode_image(painted.image, "JPEG"))
    return lines


def _annotated(journal: Journal, output: Path) -> AnnotatedSet:
    """The index as annotated pictures, in its order."""
    boxes: dict[str, list[Annotation]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for line in journal.made:
        x1, y1, x2, y2 = line["box"]
        boxes.setdefault(line["picture"], []).append(Annotation(line["label"], (x1, y1, x2, y2)))
        source = journal.sources[line["sha256"]]
        sizes[line["picture"]] = source["width"], source["height"]
    pictures = [
        AnnotatedPicture(
            output / name, PurePosixPath(name).relative_to("images"), *sizes[name], tuple(annotations)
        )
        for name, annotations in boxes.items()
    ]
    return AnnotatedSet(tuple(map(str, LABELS)), tuple(pictures))
