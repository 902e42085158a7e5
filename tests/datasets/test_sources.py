from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgate.datasets.sources import count_frames, read_frames
from maskgate.errors import ImageReadError
from maskgate.images import write_image


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three and a half seconds at ten frames a second, each frame brighter than the last by 5."""
    path = tmp_path / "v.AVI"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(35):
        writer.write(np.full((48, 64, 3), (0, 0, 5 * i), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(("every", "numbers"), [(1.0, [0, 10, 20, 30]), (0.25, [0, 3, 5, 8, 10]), (60, [0])])
def test_frames_by_time(video: Path, every: float, numbers: list[int]) -> None:
    frames = list(read_frames(video, every))
    assert [round(10 * (f.seconds or 0)) for f in frames][:5] == numbers
    for frame, number in zip(frames, numbers, strict=False):
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.mean((0, 1)) == pytest.approx([5 * number, 0, 0], abs=4)  # RGB
    assert abs(count_frames(video, every) - len(frames)) <= 1


def test_picture(tmp_path: Path, astronaut: np.ndarray) -> None:
    write_image(tmp_path / "a.png", astronaut)
    (frame,) = read_frames(tmp_path / "a.png", 1)
    assert frame.seconds is None
    assert np.array_equal(frame.image, astronaut)
    assert count_frames(tmp_path / "a.png", 1) == 1


def test_bad_videos(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video" * 100)
    for name, words in (("v.mp4", "cannot be opened as a video"), ("gone.mp4", "does not exist")):
        with pytest.raises(ImageReadError, match=words):
            list(read_frames(tmp_path / name, 1))
        assert count_frames(tmp_path / name, 1) == 1
