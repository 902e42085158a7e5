"""A face's verdict, voted over frames: one bad frame changes nothing, and neither do many in turn.

Each frame is a vote with a weight between 0 and 1. Votes for another side than the one that holds
(mask, or violation) add up, and votes against them take away again, never to below nothing; once they
reach a limit, the verdict changes. This is Page's cumulative sum test (Biometrika 41, 1954): it finds a
change as soon as a given rate of false alarms allows, and is at home at any frame rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskgate.types import Label, Verdict

_CLEAR_SIDE: Final = 40.0  # pixels of the box's shorter side
_SMALL_SIDE: Final = 12.0
_CLEAR_SCORE: Final = 0.9
_LOW_SCORE: Final = 0.3
_CLEAR_PROBABILITY: Final = 0.9
_UNCERTAIN: Final = 0.25
_MISSED: Final = 0.5
_MEMORY: Final = 100.0
"""Votes over which the confidence of a standing verdict is averaged."""


def vote_weight(verdict: Verdict, width: int, height: int) -> float:
    """How much a frame counts in the vote on its face, in [0, 1]; 1 for a clear one.

    The product of shares for: size (12 to 40 pixels of the shorter side), the detector's score (0.3 to
    0.9), the probability of the side that it votes for (0.5 to 0.9), the part of the box within the
    ``width`` × ``height`` picture; and a quarter of it where the verdict is uncertain.
    """
    x1, y1, x2, y2 = (float(v) for v in verdict.box)
    size = _share(min(x2 - x1, y2 - y1), _SMALL_SIDE, _CLEAR_SIDE)
    score = _share(verdict.score, _LOW_SCORE, _CLEAR_SCORE)
    mask = verdict.probabilities[Label.MASK]
    confidence = _share(1 - mask if verdict.label.violation else mask, 0.5, _CLEAR_PROBABILITY)
    inside = max(min(x2, width) - max(x1, 0), 0) * max(min(y2, height) - max(y1, 0), 0)
    whole = inside / max((x2 - x1) * (y2 - y1), 1e-6)
    weight = size * score * confidence * min(whole, 1.0) * (_UNCERTAIN if verdict.uncertain else 1.0)
    return weight if np.isfinite(weight) else 0.0


def _share(value: float, none: float, full: float) -> float:
    return min(max((value - none) / (full - none), 0.0), 1.0)


@dataclass(frozen=True)
class Quorum:
    """What it takes to confirm or to change a verdict: ``frames`` clear votes more than there are against
    it, and ``seconds`` between the first and the last of them."""

    frames: float
    seconds: float


@dataclass(frozen=True)
class VotedVerdict:
    """``label``, the mean probability that its frames gave it, and the number of these frames."""

    label: Label
    confidence: float
    votes: int


class _Run:
    """Votes for something, less those against it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.lead = 0.0
        self.since: float | None = None
        self.tallies = {label: _Tally() for label in Label}

    def support(self, label: Label, probability: float, weight: float, seconds: float) -> None:
        if self.since is None:
            self.since = seconds
        self.lead += weight
        self.tallies[label].add(probability, weight)

    def oppose(self, weight: float) -> None:
        self.lead -= weight
        if self.lead <= 0:
            self.clear()

    def reaches(self, quorum: Quorum, seconds: float) -> bool:
        # a hair less will do: weights are sums of rounded numbers
        lead = self.lead >= quorum.frames - 1e-6
        return lead and self.since is not None and seconds - self.since >= quorum.seconds - 1e-6


class _Tally:
    """Weighted mean of the probabilities, in which old votes fade."""

    def __init__(self) -> None:
        self.votes = 0
        self.weight = 0.0
        self.sum = 0.0

    def add(self, probability: float, weight: float) -> None:
        fade = 1 - 1 / _MEMORY
        self.votes += 1
        self.weight = fade * self.weight + weight
        self.sum = fade * self.sum + weight * probability

    @property
    def mean(self) -> float:
        return min(self.sum / self.weight, 1.0) if self.weight else 0.0


class Ballot:
    """The vote on one face."""

    def __init__(self) -> None:
        self._label: Label | None = None
        self._held = _Tally()
        self._sides = {False: _Run(), True: _Run()}  # of violation
        self._other = _Run()  # for the other kind of violation

    @property
    def verdict(self) -> VotedVerdict | None:
        """What holds; None while nothing has been confirmed."""
        if self._label is None:
            return None
        return VotedVerdict(self._label, self._held.mean, self._held.votes)

    def add(
        self,
        label: Label,
        probabilities: Mapping[Label, float],
        weight: float,
        seconds: float,
        quorum: Quorum,
    ) -> None:
        """Counts a vote.

        Args:
            label: of the frame.
            probabilities: one for each label.
            weight: see :func:`vote_weight`; a vote of 0 counts for nothing.
            seconds: time of the frame, on any clock.
            quorum: what a change takes at present.
        """
        if weight <= 0:
            return
        side = label.violation
        run = self._sides[side]
        if self._label is not None and self._label.violation == side:
            self._sides[not side].oppose(weight)
            self._add_within(label, probabilities[label], weight, seconds, quorum)
            return
        run.support(label, probabilities[label], weight, seconds)
        if self._label is None:
            self._sides[not side].oppose(weight)
        if run.reaches(quorum, seconds):
            # of the two kinds of violation, the one with more weight behind it
            self._hold(max(run.tallies, key=lambda one: run.tallies[one].weight), run)

    def miss(self) -> None:
        """Counts a frame in which the face was not found: half a vote against any change.

        What looks like a face now and then is rarely one, and a verdict on it can wait.
        """
        for run in (*self._sides.values(), self._other):
            run.oppose(_MISSED)

    def _add_within(
        self, label: Label, probability: float, weight: float, seconds: float, quorum: Quorum
    ) -> None:
        """A vote that does not question the side."""
        if label is self._label:
            self._held.add(probability, weight)
            self._other.oppose(weight)
            return
        self._other.support(label, probability, weight, seconds)
        if self._other.reaches(quorum, seconds):
            self._hold(label, self._other)

    def _hold(self, label: Label, run: _Run) -> None:
        self._label = label
        self._held = run.tallies[label]
        for one in (*self._sides.values(), self._other):
            one.clear()
