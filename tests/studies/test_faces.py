from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")

from maskgate.alignment import CropSpec
from maskgate.studies.faces import scene_faces
from maskgate.types import Faces


def test_found_faces_with_their_labels(tmp_path: Path, astronaut: np.ndarray) -> None:
    (tmp_path / "s" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "s" / "images" / "a.png"), astronaut[..., ::-1])
    landmarks = np.array([[[204, 101], [247, 103], [225, 129], [202, 138.5], [245.5, 140.5]]], np.float32)
    drawn = Faces(np.array([[179, 58, 271, 177]], np.float32), np.ones(1, np.float32), landmarks)
    x1, y1, x2, y2 = (float(v) for v in drawn.boxes[0])
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 512, "height": 512}],
        "categories": [
            {"id": 1, "name": "mask"},
            {"id": 2, "name": "no_mask"},
            {"id": 3, "name": "incorrect"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0,
             "area": 1},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [400, 400, 60, 60], "iscrowd": 0, "area": 1},
        ],
    }  # fmt: skip
    (tmp_path / "s" / "annotations.json").write_text(json.dumps(content))
    spec = CropSpec("rotate", 80, 1.35)
    found = scene_faces(tmp_path / "s", spec, tmp_path / "cache")
    assert found.labels.tolist() == [1]  # the other box holds no face
    assert found.views.shape == (1, 80, 80, 3)
    assert found.pictures.tolist() == [0]
    wanted = spec.cut(astronaut, drawn)
    assert np.abs(found.views.astype(int) - wanted).mean() < 40
    (kept,) = (tmp_path / "cache").iterdir()
    before = kept.stat().st_mtime_ns
    again = scene_faces(tmp_path / "s", spec, tmp_path / "cache")
    assert np.array_equal(again.views, found.views)
    assert kept.stat().st_mtime_ns == before
    scene_faces(tmp_path / "s", CropSpec("rotate", 64, 1.35), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
