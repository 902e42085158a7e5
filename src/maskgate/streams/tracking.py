"""Faces followed from frame to frame: ByteTrack (Zhang et al., ECCV 2022, arXiv 2110.06864).

Detections with a high score are matched first, to all faces known so far; those with a low score may
only go on with a face, never start one. What is then left over is matched again with all boxes made
larger (Yang et al., WACV 2023, arXiv 2211.14317): a face that crosses the picture moves by more than
its own width from frame to frame.

Written here because the kept library for it (``trackers``) depends on ``opencv-python``, which puts its
files in the place of ``opencv-python-headless``; the tests hold this module against that library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from maskgate.detection.boxes import iou
from maskgate.errors import InputError
from maskgate.streams.motion import BoxFilter
from maskgate.types import Faces


@dataclass(frozen=True)
class TrackingSettings:
    """How faces are followed.

    Attributes:
        high: score from which a detection is matched first.
        first: score from which it starts a track; a low one costs false faces, not missed ones.
        hits: frames in a row that a new track needs to count.
        overlap: least IoU of a match, in (0, 1).
        enlarged: how much wider and higher boxes are made on each side in the last round, as a share of
            their size; 0: there is no such round.
        lost: seconds for which a face that is not seen is waited for.

    Raises :class:`~maskgate.errors.InputError` on a value out of range.
    """

    high: float = 0.6
    first: float = 0.7
    hits: int = 2
    overlap: float = 0.1
    enlarged: float = 0.5
    lost: float = 3.0

    def __post_init__(self) -> None:
        for name, least, most in (("high", 0, 1), ("first", 0, 1), ("overlap", 1e-6, 1), ("enlarged", 0, 5),
                                  ("hits", 1, 1000), ("lost", 0, 86_400)):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name)}; give a value from {least} to {most}")


class _Track:
    def __init__(self, box: NDArray[np.float32], seconds: float) -> None:
        self.filter = BoxFilter(box)
        self.seen = seconds
        self.hits = 1
        self.number = 0  # none yet

    def update(self, box: NDArray[np.float32], seconds: float) -> None:
        self.filter.update(box)
        self.seen = seconds
        self.hits += 1


class FaceTracker:
    """Follows the faces of one camera. The same frames give the same numbers."""

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = settings or TrackingSettings()
        self._tracks: list[_Track] = []
        self._given = 0
        self._seconds: float | None = None

    @property
    def numbers(self) -> frozenset[int]:
        """Of the tracks that are followed, seen or waited for."""
        return frozenset(track.number for track in self._tracks if track.number)

    def update(self, faces: Faces, seconds: float) -> NDArray[np.intp]:
        """``(N,)`` the track's number of each face, from 1; 0 for a face that is in none.

        Args:
            faces: N detections of the frame.
            seconds: time of the frame on any clock; it must not go back.

        Raises :class:`~maskgate.errors.InputError` where it does.
        """
        step = 0.0 if self._seconds is None else seconds - self._seconds
        if not 0 <= step < float("inf"):
            raise InputError(f"a frame at {seconds} seconds comes after one at {self._seconds}; sort them")
        self._seconds = seconds
        for track in self._tracks:
            track.filter.predict(step)
        numbers = np.zeros(len(faces), np.intp)
        usable = np.isfinite(faces.boxes).all(1)
        high = np.flatnonzero(usable & (faces.scores >= self.settings.high))
        low = np.flatnonzero(usable & (faces.scores < self.settings.high))
        free = list(self._tracks)
        high = self._match(faces, high, free, numbers, seconds, 0.0)
        self._match(faces, low, free, numbers, seconds, 0.0)
        if self.settings.enlarged:
            high = self._match(faces, high, free, numbers, seconds, self.settings.enlarged)
        # a new track has to be seen in each of its first frames
        self._tracks = [
            track
            for track in self._tracks
            if track.seen == seconds or (track.number and seconds - track.seen <= self.settings.lost)
        ]
        for i in high:
            if faces.scores[i] >= self.settings.first:
                track = _Track(faces.boxes[i], seconds)
                self._tracks.append(track)
                numbers[i] = self._number(track)
        return numbers

    def _match(
        self, faces: Faces, rows: NDArray[np.intp], free: list[_Track], numbers: NDArray[np.intp],
        seconds: float, enlarged: float,
    ) -> NDArray[np.intp]:  # fmt: skip
        """Gives ``rows`` to ``free`` tracks, which are taken out of the list; the rows left over."""
        if not len(rows) or not free:
            return rows
        predicted = _enlarge(np.array([track.filter.box for track in free], np.float32), enlarged)
        overlaps = iou(predicted, _enlarge(faces.boxes[rows], enlarged))
        overlaps[overlaps < self.settings.overlap] = 0  # no match that is none may cost a real one
        left = set(rows.tolist())
        taken = []
        for i, j in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[i, j] > 0:
                row = int(rows[j])
                free[i].update(faces.boxes[row], seconds)
                numbers[row] = self._number(free[i])
                left.discard(row)
                taken.append(free[i])
        free[:] = [track for track in free if track not in taken]
        return np.array(sorted(left), np.intp)

    def _number(self, track: _Track) -> int:
        if not track.number and track.hits >= self.settings.hits:
            self._given += 1
            track.number = self._given
        return track.number


def _enlarge(boxes: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    more = np.float32(share) * (boxes[:, 2:] - boxes[:, :2])
    return np.hstack([boxes[:, :2] - more, boxes[:, 2:] + more])
