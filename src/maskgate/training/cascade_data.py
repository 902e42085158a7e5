"""Windows to train the cascade on: around masked faces, and what must not be taken for one.

Scenes give the faces drawn in them, photographs with a label their main face, photographs of bare
people all faces found. A face that wears its mask wrongly is neither learnt nor held against a network
(the published work asks whether a face is covered, not whether it is covered well), nor is a face of
which nobody said what is on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from maskgate.detection.boxes import area, intersection, iou
from maskgate.detection.cascade import cut_windows, whole_squares
from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.images import read_image
from maskgate.training.crops import main_face
from maskgate.training.photometric import vary_light
from maskgate.training.recipe import Source
from maskgate.types import LABELS, Faces, Image, Label

Boxes = NDArray[np.float32]

OTHER, MASKED, PART, DROPPED = 0, 1, 2, -1
"""Kinds of windows: no masked face; one; so much of one that its edges can be learnt, but not whether
it is there; and what lies between or over a face nobody speaks for."""

SMALLEST = 10.0
"""Masked faces with a longer side under so many pixels are not learnt."""


DOUBTFUL = 0.25
"""Score from which a found face of which nobody told the label is left out."""


@dataclass(frozen=True, eq=False)
class MaskedPicture:
    """A picture and its faces, boxes ``(N, 4)`` float32 in its pixels.

    Attributes:
        path: the file.
        name: its path below the data folder.
        masked: faces with a mask over nose and mouth.
        bare: faces without one.
        ignore: faces that may be either.
    """

    path: Path
    name: str
    masked: Boxes
    bare: Boxes
    ignore: Boxes


def read_pictures(
    sources: Sequence[Source], root: Path, found: Mapping[str, Faces],
    corrections: Mapping[str, Label | None],
) -> list[MaskedPicture]:  # fmt: skip
    """The pictures of those sources that show more than a face: scenes, and photographs with labels
    or of bare people.

    Args:
        found: faces by picture path below ``root``, best first.
        corrections: as :func:`~maskgate.training.crops.read_corrections` gives them.
    """
    pictures = []
    for source in sources:
        if source.kind == "scenes":
            for scene in read_scenes(root / source.path):
                name = str(scene.path.relative_to(root))
                labels = np.where(scene.ignore, len(LABELS), scene.labels)
                faces = found.get(name, Faces.empty())
                pictures.append(_picture(scene.path, name, scene.boxes, labels, faces))
        elif source.kind == "photos" and (source.labels is not None or source.bare):
            for file in source.files(root):
                name = str(file.relative_to(root))
                faces = found.get(name, Faces.empty())
                if corrections.get(name, Label.MASK) is None or not len(faces):
                    continue
                if source.labels is None:
                    chosen = faces.select(faces.scores >= 0.8)
                    label = Label.NO_MASK if source.is_bare(file, root) else Label.INCORRECT
                else:
                    chosen = main_face(faces)
                    folder = file.relative_to(root / source.path).parts[0]
                    if folder not in source.labels:
                        raise DataError(
                            f"{file} lies in no folder that the labels of source {source.path} name"
                        )
                    label = corrections.get(name) or Label(source.labels[folder])
                labels = np.full(len(chosen), LABELS.index(label))
                pictures.append(_picture(file, name, chosen.boxes, labels, faces))
    return pictures


def _picture(path: Path, name: str, boxes: Boxes, labels: NDArray[np.integer], found: Faces) -> MaskedPicture:
    """``labels`` are places in LABELS; other numbers are for what is ignored, as are faces found that
    are none of ``boxes``."""
    overlap = iou(boxes, found.boxes).max(0, initial=0)
    extra = found.boxes[(overlap < 0.3) & (found.scores >= DOUBTFUL)]
    large = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) >= SMALLEST
    masked = (labels == LABELS.index(Label.MASK)) & large
    bare = labels == LABELS.index(Label.NO_MASK)
    return MaskedPicture(
        path, name, boxes[masked], boxes[bare], np.concatenate([boxes[~masked & ~bare], extra])
    )


@dataclass(frozen=True, eq=False)
class Windows:
    """N cut windows.

    Attributes:
        images: ``(N, S, S, 3)`` uint8 RGB.
        kinds: ``(N,)`` int8, OTHER, MASKED or PART.
        offsets: ``(N, 4)`` float32 from the window's edges to the face's, in sides of the window; 0
            for OTHER.
    """

    images: Image
    kinds: NDArray[np.int8]
    offsets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.kinds)

    def save(self, path: Path) -> None:
        """Writes an ``.npz``, atomically."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as out:
                np.savez(out, **{f.name: getattr(self, f.name) for f in fields(self)})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Windows:
        """What :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


def label_windows(windows: Boxes, picture: MaskedPicture) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Kinds ``(N,)`` and offsets ``(N, 4)`` of ``(N, 4)`` square windows.

    By the IoU with the nearest masked face: MASKED from 0.65, PART from 0.4, OTHER under 0.3, as in
    Zhang et al. 2016. What would be OTHER is dropped where a third of it, or of an ignored face, is
    both.
    """
    kinds = np.zeros(len(windows), np.int8)
    offsets = np.zeros((len(windows), 4), np.float32)
    if len(picture.masked):
        overlap = iou(windows, picture.masked)
        nearest, best = overlap.argmax(1), overlap.max(1)
        kinds[best >= 0.3] = DROPPED
        kinds[best >= 0.4] = PART
        kinds[best >= 0.65] = MASKED
        sides = windows[:, 2:] - windows[:, :2]
        apart = (picture.masked[nearest] - windows) / np.tile(sides, 2)
        offsets = np.where(kinds[:, None] > 0, apart, 0).astype(np.float32)
    if len(picture.ignore):
        smaller = np.minimum(area(windows)[:, None], area(picture.ignore)[None])
        shared = (intersection(windows, picture.ignore) / np.maximum(smaller, 1e-6)).max(1)
        kinds[(kinds == OTHER) & (shared > 1 / 3)] = DROPPED
    return kinds, offsets


def near_windows(boxes: Boxes, count: int, reach: float, rng: np.random.Generator) -> Boxes:
    """``count`` squares about each of ``(N, 4)`` boxes: 0.8 to 1.25 times its size, shifted by up to
    ``reach`` of it either way; whole pixels."""
    around = np.repeat(boxes, count, 0)
    size = (around[:, 2:] - around[:, :2]).mean(1, keepdims=True)
    centres = (around[:, :2] + around[:, 2:]) / 2 + size * rng.uniform(-reach, reach, (len(around), 2))
    halves = size * np.exp(rng.uniform(np.log(0.8), np.log(1.25), (len(around), 1))) / 2
    return whole_squares(np.concatenate([centres - halves, centres + halves], 1).astype(np.float32))


def random_windows(width: int, height: int, count: int, rng: np.random.Generator) -> Boxes:
    """``count`` squares anywhere in a picture, from 12 pixels to its shorter side; whole pixels."""
    most = max(min(width, height), 13)
    sides = np.exp(rng.uniform(np.log(12), np.log(most), (count, 1)))
    corners = rng.uniform(0, 1, (count, 2)) * np.maximum(np.array([width, height]) - sides, 0)
    return whole_squares(np.concatenate([corners, corners + sides], 1).astype(np.float32))


@dataclass(frozen=True)
class WindowCounts:
    """How many windows a picture gives.

    Attributes:
        near: about each masked face, and as many a third as close; about each bare face half of it.
        anywhere: for the first network, a picture.
        proposals: for the others, most that the networks before let through wrongly, best first.
    """

    near: int = 12
    anywhere: int = 30
    proposals: int = 40


def collect_windows(
    pictures: Sequence[MaskedPicture], side: int, counts: WindowCounts, seed: int,
    propose: Callable[[Image], Boxes] | None = None, quiet: bool = False,
) -> Windows:  # fmt: skip
    """Cuts windows of ``side`` pixels out of all pictures, the same ones each time.

    Args:
        propose: windows ``(N, 4)`` of a picture that earlier networks let through, best first: those
            that show no masked face are the hard examples. None for the first network.

    Raises :class:`~maskgate.errors.DataError` where no window shows a masked face, or all do.
    """
    images, kinds, offsets = [], [], []
    for i, picture in enumerate(tqdm(pictures, f"windows of {side} px", disable=quiet, mininterval=5)):
        rng = np.random.default_rng((seed, side, i))
        image = read_image(picture.path)
        height, width = image.shape[:2]
        near = [
            near_windows(picture.masked, counts.near, 0.2, rng),
            near_windows(picture.masked, counts.near // 3, 0.6, rng),
            near_windows(picture.bare, counts.near // 2, 0.2, rng),
        ]
        far = propose(image) if propose else random_windows(width, height, counts.anywhere, rng)
        boxes = np.concatenate([*near, far])
        kind, offset = label_windows(boxes, picture)
        wrong = np.flatnonzero((kind == OTHER) & (np.arange(len(boxes)) >= len(boxes) - len(far)))
        kind[wrong[counts.proposals if propose else counts.anywhere :]] = DROPPED
        keep = kind != DROPPED
        images.append(cut_windows(image, boxes[keep], side))
        kinds.append(kind[keep])
        offsets.append(offset[keep])
    windows = Windows(*(np.concatenate(parts) for parts in (images, kinds, offsets)))
    for wanted, what in ((MASKED, "a masked face"), (OTHER, "anything else")):
        if not (windows.kinds == wanted).any():
            raise DataError(f"no window of {side} pixels shows {what}; add pictures to the recipe's sources")
    return windows


class WindowDataset(Dataset[tuple[Tensor, ...]]):
    """Random windows, mirrored and in other light; item i of epoch e depends on (seed, e, i) alone.

    An item is ``(3, S, S)`` uint8 RGB, the kind as an int64 scalar, and the offsets ``(4,)``.

    Args:
        windows: to draw from.
        length: of an epoch.
        shares: of MASKED, PART and OTHER.
    """

    def __init__(self, windows: Windows, length: int, shares: tuple[float, float, float], seed: int) -> None:
        self.windows = windows
        self.length = length
        self.seed = seed
        self.epoch = 0
        self._pools = [np.flatnonzero(windows.kinds == kind) for kind in (MASKED, PART, OTHER)]
        kept = np.array([share if len(p) else 0 for share, p in zip(shares, self._pools, strict=True)])
        self._shares = kept / kept.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        pool = self._pools[int(rng.choice(3, p=self._shares))]
        i = int(rng.choice(pool))
        image, offsets = self.windows.images[i], self.windows.offsets[i]
        if rng.random() < 0.5:
            image, offsets = image[:, ::-1], offsets[[2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
        if rng.random() < 0.6:
            image = vary_light(image, rng)
        return (
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            torch.tensor(int(self.windows.kinds[i])),
            torch.from_numpy(np.ascontiguousarray(offsets, np.float32)),
        )
