"""ByteTrack against the library that has it, and in cases that can be told by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.streams.tracking import FaceTracker, TrackingSettings
from maskgate.types import Faces

GOLDEN = json.loads(Path(__file__).with_name("golden_tracks.json").read_text("utf-8"))


def faces(*rows: Any) -> Faces:
    """Of rows [x1, y1, x2, y2, score]."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], table[:, 4], np.zeros((len(table), 5, 2), np.float32))


def at(x: float, y: float = 100, score: float = 0.95, side: float = 60) -> list[float]:
    return [x, y, x + side, y + side, score]


@pytest.mark.parametrize("enlarged", [0.0, 0.5])
@pytest.mark.parametrize("scene", GOLDEN["scenes"], ids=lambda scene: f"{len(scene['frames'][40])}-faces")
def test_tracks_are_those_of_the_library(scene: dict[str, Any], enlarged: float) -> None:
    # its names of tracks are others, and it keeps lost ones for a second by default
    tracker = FaceTracker(TrackingSettings(enlarged=enlarged, lost=1.0))
    pairs = set()
    for i, (rows, expected) in enumerate(zip(scene["frames"], scene["tracks"], strict=True)):
        numbers = tracker.update(faces(*rows), i / GOLDEN["rate"])
        pairs |= set(zip(numbers.tolist(), (max(number + 1, 0) for number in expected), strict=True))
    mine, theirs = zip(*pairs, strict=True)
    assert len(set(mine)) == len(set(theirs)) == len(pairs), "a track of one is two of the other"
    assert (0, 0) in pairs
    assert sum(mine) == sum(range(len(pairs)))


def test_the_same_frames_give_the_same_numbers() -> None:
    scene = GOLDEN["scenes"][3]["frames"]
    runs = []
    for _ in range(2):
        tracker = FaceTracker()
        runs.append([tracker.update(faces(*rows), i / 25).tolist() for i, rows in enumerate(scene)])
    assert runs[0] == runs[1]


def test_a_face_counts_from_its_second_frame_on() -> None:
    tracker = FaceTracker()
    assert tracker.update(faces(at(0)), 0).tolist() == [0]
    assert tracker.update(faces(at(2)), 0.1).tolist() == [1]
    assert tracker.numbers == {1}


def test_a_flash_is_no_face() -> None:
    tracker = FaceTracker()
    tracker.update(faces(at(0)), 0)
    tracker.update(faces(), 0.1)
    assert tracker.update(faces(at(0)), 0.2).tolist() == [0], "it was not seen in two frames in a row"
    assert tracker.numbers == set()


def test_low_scores_go_on_with_a_face_and_start_none() -> None:
    tracker = FaceTracker()
    for i in range(5):
        assert tracker.update(faces(at(0, score=0.4)), i / 10).tolist() == [0]
    tracker.update(faces(at(300)), 0.5)
    tracker.update(faces(at(300)), 0.6)
    for i in range(7, 20):
        assert tracker.update(faces(at(300, score=0.2)), i / 10).tolist() == [1]


@pytest.mark.parametrize(("gap", "same"), [(0.9, True), (1.1, False)])
def test_a_lost_face_is_waited_for(gap: float, same: bool) -> None:
    tracker = FaceTracker(TrackingSettings(lost=1.0))
    for i in range(3):
        tracker.update(faces(at(0)), i / 10)
    for i in range(1, 100):
        if i / 20 < gap:
            tracker.update(faces(), 0.2 + i / 20)
    tracker.update(faces(at(0)), 0.2 + gap)
    assert tracker.update(faces(at(0)), 0.3 + gap).tolist() == [1 if same else 2]


def test_two_who_pass_each_other_keep_their_numbers() -> None:
    tracker = FaceTracker()
    for i in range(41):
        x = 10.0 * i
        numbers = tracker.update(faces(at(x, 100), at(400 - x, 112)), i / 25).tolist()
    assert numbers == [1, 2]


@pytest.mark.parametrize(("enlarged", "followed"), [(0.5, True), (0.0, False)])
def test_someone_who_moves_by_more_than_a_width_a_frame(enlarged: float, followed: bool) -> None:
    tracker = FaceTracker(TrackingSettings(enlarged=enlarged))
    numbers = [tracker.update(faces(at(66.0 * i)), i / 10).tolist() for i in range(9)]
    assert (numbers[1:] == [[1]] * 8) is followed


def test_boxes_that_are_no_numbers_are_left_alone() -> None:
    tracker = FaceTracker()
    for i in range(3):
        numbers = tracker.update(faces(at(0), [np.nan, 0, 10, 10, 0.9]), i / 10)
    assert numbers.tolist() == [1, 0]


def test_time_does_not_go_back() -> None:
    tracker = FaceTracker()
    tracker.update(faces(), 1.0)
    with pytest.raises(InputError, match="sort them"):
        tracker.update(faces(), 0.5)


@pytest.mark.parametrize(
    "wrong", [{"high": 2}, {"hits": 0}, {"overlap": 0}, {"lost": -1}, {"enlarged": float("nan")}]
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrackingSettings(**wrong)
