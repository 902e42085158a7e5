"""Videos that are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskgate.errors import InputError
from maskgate.streams.recordings import Recording
from maskgate.streams.saving import VideoWriter
from maskgate.streams.sources import parse_source


def grey(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_what_is_written_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"a{suffix}"
    with VideoWriter(path, 10) as writer:
        for i in range(12):
            writer.write(grey(20 * i), i / 10)
    frames = list(Recording(parse_source(str(path))))
    assert [f.media_seconds for f in frames] == pytest.approx([i / 10 for i in range(12)], abs=0.01)
    assert [float(f.image.mean()) for f in frames] == pytest.approx([20 * i for i in range(12)], abs=5)
    assert list(path.parent.iterdir()) == [path]


def test_frames_of_other_sizes_are_fitted_in(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path) as writer:
        writer.write(grey(200, 63, 47), 0)
        writer.write(grey(200, 200, 50), 0.1)
        writer.write(grey(200, 63, 47), 0.1)  # not later: moved on
    shapes = [frame.image.shape for frame in Recording(parse_source(str(path)))]
    assert shapes == [(48, 64, 3)] * 3
    wide = list(Recording(parse_source(str(path))))[1].image
    assert wide[24].mean() == pytest.approx(200, abs=8)
    assert wide[2].mean() < 20, "bars above and below"


def test_nothing_is_left_of_one_that_was_broken_off(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def broken() -> None:
        with VideoWriter(path) as writer:
            writer.write(grey(1), 0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert path.read_bytes() == b"old"
    with VideoWriter(path) as writer:
        writer.write(grey(1), 0)
        writer.abandon()
    with VideoWriter(path):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "words"), [("a.avi", "ends in one of"), ("a", "ends in one of"), ("d.mp4", "folder")]
)
def test_names_that_will_not_do(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "d.mp4").mkdir()
    with pytest.raises(InputError, match=words):
        VideoWriter(tmp_path / name)
