"""Reading of annotated scenes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes
from maskgate.types import LABELS

GOOD: dict[str, Any] = {
    # ids neither in order nor from 1: they are looked up
    "categories": [{"id": 9, "name": "incorrect"}, {"id": 4, "name": "mask"}, {"id": 7, "name": "no_mask"}],
    "images": [
        {"id": 12, "file_name": "b.jpg", "width": 100, "height": 80},
        {"id": 3, "file_name": "sub/a.jpg", "width": 60, "height": 50},
    ],
    "annotations": [
        {"id": 1, "image_id": 12, "category_id": 4, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"id": 2, "image_id": 12, "category_id": 9, "bbox": [80.5, 0, 20, 30.25], "iscrowd": 1},
        {"id": 3, "image_id": 12, "category_id": 7, "bbox": [-0.5, 5, 20, 20]},
    ],
}


def write(folder: Path, content: object) -> Path:
    (folder / "images" / "sub").mkdir(parents=True)
    for name in ("b.jpg", "sub/a.jpg"):
        (folder / "images" / name).write_bytes(b"")
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_reads_what_is_written(tmp_path: Path) -> None:
    first, second = read_scenes(write(tmp_path, GOOD))
    assert first.path == tmp_path / "images" / "b.jpg"
    assert (first.width, first.height) == (100, 80)
    assert first.boxes.dtype == np.float32
    # the second is cut at the right edge, the third at the left
    expected = np.array([[10, 20, 40, 60], [80.5, 0, 100, 30.25], [0, 5, 19.5, 25]], np.float32)
    np.testing.assert_array_equal(first.boxes, expected)
    assert [str(LABELS[i]) for i in first.labels] == ["mask", "incorrect", "no_mask"]
    assert first.ignore.tolist() == [False, True, False]
    assert second.path == tmp_path / "images" / "sub" / "a.jpg"
    assert second.boxes.shape == (0, 4)
    assert len(second) == 0


def test_reads_the_train_scenes_as_pycocotools_does(shared: Path) -> None:
    folder = shared / "data" / "scenes" / "fmd"
    scenes = read_scenes(folder)
    coco = COCO(str(folder / "annotations.json"))
    assert len(scenes) == len(coco.imgs)
    names = {category["id"]: category["name"] for category in coco.cats.values()}
    for scene, (identifier, image) in zip(scenes, coco.imgs.items(), strict=True):
        annotations = coco.imgToAnns[identifier]
        assert scene.path.name == image["file_name"]
        assert [str(LABELS[i]) for i in scene.labels] == [names[a["category_id"]] for a in annotations]
        xywh = np.concatenate([scene.boxes[:, :2], scene.boxes[:, 2:] - scene.boxes[:, :2]], 1)
        np.testing.assert_allclose(xywh, [a["bbox"] for a in annotations], atol=1e-3)


Change = Callable[[dict[str, Any]], object]


def put(name: str, place: int, key: str, value: object) -> Change:
    return lambda content: content[name][place].update({key: value})


def drop(name: str, place: int, key: str) -> Change:
    return lambda content: content[name][place].pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "has no 'annotations'"),
        (lambda c: c.update(images={}), "'images' is not a list"),
        (lambda c: c.update(images=[], annotations=[]), "'images' is empty"),
        (lambda c: c["annotations"].append(3), "annotations[3] is not an object"),
        (put("categories", 1, "name", "masked"), "categories[1] is named 'masked'; the names are mask,"),
        (put("categories", 1, "name", "no_mask"), "categories[2] repeats"),
        (put("categories", 1, "id", 9), "categories[1] repeats"),
        (put("categories", 1, "id", None), "categories[1] has id None"),
        (drop("images", 0, "file_name"), "images[0] has no 'file_name'"),
        (put("images", 0, "file_name", "c.jpg"), "images[0] has file_name 'c.jpg', but"),
        (put("images", 0, "file_name", "x" * 5000), "is missing"),
        (put("images", 0, "file_name", "../annotations.json"), "leads out of images/"),
        (put("images", 0, "file_name", "/etc/hostname"), "leads out of images/"),
        (put("images", 0, "file_name", 5), "images[0] has file_name 5"),
        (put("images", 1, "file_name", "b.jpg"), "images[1] repeats"),
        (put("images", 1, "id", 12), "images[1] repeats"),
        (put("images", 1, "width", 0), "images[1] has width 0"),
        (put("images", 1, "height", "50"), "images[1] has height '50'"),
        (put("annotations", 0, "image_id", 99), "annotations[0] has image_id 99"),
        (put("annotations", 0, "image_id", []), "annotations[0] has image_id []"),
        (put("annotations", 0, "category_id", 1), "annotations[0] has category_id 1"),
        (drop("annotations", 2, "bbox"), "annotations[2] has no 'bbox'"),
        (put("annotations", 2, "bbox", [1, 2, 3]), "give four numbers"),
        (put("annotations", 2, "bbox", [1, 2, 3, float("nan")]), "give four numbers"),
        (put("annotations", 2, "bbox", [1, 2, 3, 10**400]), "give four numbers"),
        (put("annotations", 2, "bbox", [1, 2, 0, 4]), "must be above 0"),
        (put("annotations", 2, "bbox", [90, 2, 20, 4]), "outside its picture of 100×80 pixels"),
        (put("annotations", 2, "bbox", [-5, 2, 20, 4]), "outside its picture"),
        (put("annotations", 2, "bbox", [100, 2, 1, 4]), "outside its picture"),
        (put("annotations", 2, "iscrowd", "no"), "annotations[2] has iscrowd 'no'"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path: Path, change: Change, message: str) -> None:
    content = copy.deepcopy(GOOD)
    change(content)
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_scenes(write(tmp_path, content))
    assert "annotations.json" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff"])
def test_a_file_that_is_not_coco(tmp_path: Path, text: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "annotations.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"annotations\.json (is not JSON|holds no JSON object)"):
        read_scenes(tmp_path)


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_scenes(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder images/"):
        read_scenes(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"annotations\.json is missing"):
        read_scenes(tmp_path)
