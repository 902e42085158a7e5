"""Faces out of pictures and videos, into a folder for a person to label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate.datasets.faces import Cut, cut_face, find_faces
from maskgate.datasets.journal import Journal
from maskgate.datasets.output import OutputFolder, Show, outside, show_nothing, write_whole
from maskgate.datasets.sources import Frame, count_frames, hash_source, read_frames
from maskgate.detection import Detector
from maskgate.errors import ImageError, InputError
from maskgate.images import encode_image
from maskgate.training.grouping import difference_hash
from maskgate.types import Image, Verdicts

UNLABELLED, PRESORTED = "unlabelled", "presorted"
_REMEMBERED = 3
"""Sampled frames for which a face that is not seen again is remembered."""


@dataclass(frozen=True)
class CollectSettings:
    """How faces are collected.

    Attributes:
        cut: see :data:`~maskgate.datasets.faces.Cut`.
        margin: side of a crop over the longer side of the face's box, 1 to 4.
        smallest: shorter side in pixels from which a face is taken.
        every: seconds between the frames of a video that are looked at.
        distance: bits by which difference hashes (of 256) of a face in neighbouring frames differ
            at most to count as the same picture, of which the first is kept.

    Raises :class:`~maskgate.errors.InputError` on other values.
    """

    cut: Cut = "upright"
    margin: float = 2.0
    smallest: float = 40.0
    every: float = 1.0
    distance: int = 24

    def __post_init__(self) -> None:
        if not 1 <= self.margin <= 4:
            raise InputError(f"margin is {self.margin}; give a value from 1 to 4")
        if not 0 <= self.smallest < 1e5:
            raise InputError(f"smallest is {self.smallest}; give pixels, at least 0")
        if not 0.001 <= self.every < 1e6:
            raise InputError(f"every is {self.every}; give seconds, at least 0.001")
        if not 0 <= self.distance <= 256:
            raise InputError(f"distance is {self.distance}; give bits from 0 to 256")


@dataclass(frozen=True)
class Collected:
    """``sources`` and ``faces`` in the folder by now; one sentence for each source that failed."""

    sources: int
    faces: int
    failures: tuple[str, ...]


class _RecentFaces:
    """Difference hashes of the faces in the last few frames."""

    def __init__(self, distance: int) -> None:
        self._distance = distance
        self._hashes: list[tuple[NDArray[np.uint8], int]] = []

    def seen(self, crop: Image, frame: int) -> bool:
        """Is the face in one of the neighbouring frames too? It is remembered either way."""
        code = difference_hash(crop)
        self._hashes = [(h, f) for h, f in self._hashes if frame - f <= _REMEMBERED]
        for i, (known, last) in enumerate(self._hashes):
            if last < frame and int(np.bitwise_count(known ^ code).sum()) <= self._distance:
                self._hashes[i] = known, frame
                return True
        self._hashes.append((code, frame))
        return False


def collect_faces(
    sources: Sequence[Path],
    output: Path,
    detector: Detector,
    settings: CollectSettings,
    *,
    models: Mapping[str, Any] | None = None,
    presort: Callable[[Image], Verdicts] | None = None,
    show: Show = show_nothing,
) -> Collected:
    """Cuts the faces out of all sources that ``output`` has not had yet.

    Crops are JPEG files in ``output/unlabelled``; with ``presort`` in a folder for each label below
    ``output/presorted``. ``index.jsonl`` has a line for each: ``crop``, ``source``, ``seconds``
    (None for a picture), ``box``, ``landmarks``, ``score``, the source's ``sha256``, and with
    ``presort`` its ``label`` and ``probabilities``. A source is known by its hash: the same file
    under another name gives nothing new, and crops that have been moved since are not made again.

    Args:
        sources: pictures and videos; those in ``output`` are left out.
        models: what was chosen of the models, plain values; a folder's faces all come from the same.
        presort: a classifier's verdict on a crop, as of
            :meth:`~maskgate.pipeline.MaskGate.classify`.

    Raises :class:`~maskgate.errors.DataError` where ``output`` holds something else. A source
    that cannot be read is among the failures, and is tried again by the next call.
    """
    folder = OutputFolder(
        output,
        "collect",
        {
            "detector": detector.name,
            **(models or {}),
            "presort": presort is not None,
            **vars(settings),
        },
    )
    journal = Journal(output)
    failures = []
    done = 0
    for source in outside(sources, output):
        steps = count_frames(source, settings.every)
        try:
            sha256 = hash_source(source)
            if sha256 not in journal:
                advance = partial(_advance, show, done, steps)
                faces, frames = _collect_from(source, sha256, output, detector, settings, presort, advance)
                journal.add(sha256, {"source": str(source), "frames": frames, "faces": len(faces)}, faces)
        except ImageError as error:
            failures.append(str(error))
        done += steps
        show(done)
    folder.finish({"sources": len(journal.sources), "faces": len(journal.made)})
    return Collected(len(journal.sources), len(journal.made), tuple(failures))


def _collect_from(
    source: Path,
    sha256: str,
    output: Path,
    detector: Detector,
    settings: CollectSettings,
    presort: Callable[[Image], Verdicts] | None,
    show: Show,
) -> tuple[list[dict[str, Any]], int]:
    """The index's lines of one source, and how many frames were looked at."""
    recent = _RecentFaces(settings.distance)
    lines = []
    number = 0
    for number, frame in enumerate(read_frames(source, settings.every), 1):
        faces = find_faces(detector, frame.image, settings.smallest)
        for i in range(len(faces)):
            crop = cut_face(frame.image, faces, i, settings.cut, settings.margin)
            if frame.seconds is not None and recent.seen(crop, number):
                continue
            line: dict[str, Any] = {
                "crop": "",
                "source": str(source),
                "seconds": None if frame.seconds is None else round(frame.seconds, 3),
                "box": _rounded(faces.boxes[i]),
                "landmarks": [_rounded(point) for point in faces.landmarks[i]],
                "score": round(float(faces.scores[i]), 4),
            }
            folder = UNLABELLED
            if presort is not None:
                verdict = presort(crop)[0]
                folder = f"{PRESORTED}/{verdict.label}"
                line["label"] = str(verdict.label)
                line["probabilities"] = {
                    str(label): round(p, 4) for label, p in verdict.probabilities.items()
                }
            line["crop"] = f"{folder}/{_crop_name(sha256, frame, i)}"
            write_whole(output / line["crop"], encode_image(crop, "JPEG"))
            lines.append(line)
        show(number)
    return lines, number


def _advance(show: Show, before: int, expected: int, done: int) -> None:
    show(before + min(done, expected))


def _crop_name(sha256: str, frame: Frame, place: int) -> str:
    time = "" if frame.seconds is None else f"-{round(1000 * frame.seconds):09}ms"
    return f"{sha256[:16]}{time}-{place:02}.jpg"


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(v), 1) for v in values]
