"""Makes golden_tracks.json: what ``trackers``, the kept library with ByteTrack, answers to made-up scenes.

It asks for ``opencv-python``, which would overwrite ``opencv-python-headless``: run it in an environment of
its own, where ``pip install trackers==2.6.1`` was said, and nothing of maskgate is needed.

    python tests/streams/make_golden_tracks.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, RATE = 75, 25.0
GOLDEN = Path(__file__).with_name("golden_tracks.json")


def make_scene(seed: int, people: int) -> list[list[list[float]]]:
    """Rows [x1, y1, x2, y2, score] for each frame: people who walk, are missed, hidden and half seen."""
    random = np.random.default_rng(seed)
    places = random.uniform([80, 80], [560, 400], (people, 2))
    speeds = random.uniform(-50, 50, (people, 2))  # pixels a second
    sides = random.uniform(40, 90, people)
    enters, leaves = random.integers(0, 20, people), random.integers(50, FRAMES + 20, people)
    hidden = random.integers(20, 45, people)
    frames = []
    for i in range(FRAMES):
        rows = []
        for k in range(people):
            if not enters[k] <= i < leaves[k] or random.random() < 0.04 or hidden[k] <= i < hidden[k] + 6:
                continue
            x, y = places[k] + speeds[k] * i / RATE + random.normal(0, 0.02 * sides[k], 2)
            w, h = sides[k] * random.normal(1, 0.02, 2) * [1, 1.25]
            score = random.uniform(0.3, 0.58) if random.random() < 0.15 else random.uniform(0.72, 1)
            rows.append([round(v, 2) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2, score)])
        frames.append(rows)
    return frames


def track(scene: list[list[list[float]]]) -> list[list[int]]:
    """The library's track of each row, -1 for none."""
    import supervision as sv
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(
        lost_track_buffer=30, frame_rate=RATE, track_activation_threshold=0.7, high_conf_det_threshold=0.6
    )
    answers = []
    for rows in scene:
        table = np.array(rows, np.float64).reshape(-1, 5)
        # the answer comes in another order: each row carries its number
        numbered = sv.Detections(table[:, :4], confidence=table[:, 4], data={"row": np.arange(len(table))})
        answer = tracker.update(numbered)
        tracks = [-1] * len(rows)
        for row, number in zip(answer.data.get("row", []), answer.tracker_id, strict=True):
            tracks[int(row)] = int(number)
        answers.append(tracks)
    return answers


def main() -> None:
    """Writes the file."""
    scenes: list[dict[str, Any]] = []
    for seed, people in ((0, 1), (1, 3), (2, 5), (3, 6)):
        scene = make_scene(seed, people)
        scenes.append({"frames": scene, "tracks": track(scene)})
    GOLDEN.write_text(json.dumps({"rate": RATE, "scenes": scenes}, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
