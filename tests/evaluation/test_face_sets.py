from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.evaluation.face_sets import read_face_set

POINTS = [30, 40, 2, 50, 40, 2, 40, 50, 1, 33, 60, 2, 47, 60, 2]


def scenes(folder: Path, *annotations: dict[str, Any]) -> Path:
    """Two pictures; annotations need image_id, bbox and what else the test is of."""
    (folder / "images").mkdir()
    for name in ("b.jpg", "a.jpg"):
        (folder / "images" / name).write_bytes(b"")
    content = {
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}],
        "images": [
            {"id": 8, "file_name": "b.jpg", "width": 100, "height": 80},
            {"id": 3, "file_name": "a.jpg", "width": 60, "height": 50},
        ],
        "annotations": [{"id": i, "category_id": 2, **a} for i, a in enumerate(annotations, 1)],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_scenes_with_keypoints(tmp_path: Path) -> None:
    folder = scenes(
        tmp_path,
        {"image_id": 3, "bbox": [1, 2, 10, 10]},
        {"image_id": 8, "bbox": [20, 30, 40, 40], "keypoints": POINTS, "category_id": 1},
        {"image_id": 3, "bbox": [5, 6, 30, 40], "keypoints": [0, 0, 0, *POINTS[3:]], "iscrowd": 1},
    )
    read = read_face_set(folder)
    assert (read.kind, read.subsets) == ("COCO", {})
    b, a = read.pictures
    assert (b.path.name, b.size, b.labels.tolist(), b.ignore.tolist()) == ("b.jpg", (100, 80), [0], [False])
    np.testing.assert_array_equal(b.boxes, [[20, 30, 60, 70]])
    np.testing.assert_array_equal(b.landmarks[0], [[30, 40], [50, 40], [40, 50], [33, 60], [47, 60]])
    assert (a.size, a.ignore.tolist()) == ((60, 50), [False, True])
    assert np.isnan(a.landmarks[0]).all()
    # a point that is not visible has no place
    assert np.isnan(a.landmarks[1, 0]).all()
    np.testing.assert_array_equal(a.landmarks[1, 1], [50, 40])
    assert (b.has_landmarks.tolist(), a.has_landmarks.tolist()) == ([True], [False, False])


@pytest.mark.parametrize("points", [[1, 2, 3], "abc", [*POINTS[:-1], None]])
def test_keypoints_that_are_none(tmp_path: Path, points: object) -> None:
    folder = scenes(tmp_path, {"image_id": 3, "bbox": [1, 2, 10, 10], "keypoints": points})
    with pytest.raises(DataError, match=r"annotations\[0\] has keypoints that are not five times x, y"):
        read_face_set(folder)


def test_wider_face(write_wider: Callable[..., Path]) -> None:
    folder = write_wider({"0--Parade": {"one": [(1, 2, 30, 40, 0, 0, 0, 0, 0, 0, "hard")]}})
    (folder / "WIDER_val" / "images" / "0--Parade").mkdir(parents=True)
    (folder / "WIDER_val" / "images" / "0--Parade" / "one.jpg").write_bytes(b"")
    read = read_face_set(folder)
    assert (read.kind, len(read.pictures), read.pictures[0].size) == ("WIDER FACE", 1, None)
    assert {name: own[0].tolist() for name, own in read.subsets.items()} == {
        "easy": [False], "medium": [False], "hard": [True]
    }  # fmt: skip


def test_folders_that_are_neither(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no annotations: neither"):
        read_face_set(tmp_path)
    with pytest.raises(DataError, match="gone is not a folder"):
        read_face_set(tmp_path / "gone")
