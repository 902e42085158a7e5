from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from maskgate.datasets.annotations import AnnotatedSet
from maskgate.datasets.formats.coco import is_coco, read_coco, write_coco
from maskgate.errors import DataError
from maskgate.evaluation.coco import read_scenes


def test_pycocotools_reads_it(scenes: AnnotatedSet, tmp_path: Path) -> None:
    write_coco(scenes, tmp_path / "set")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "set" / "annotations.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["mask", "no_mask", "incorrect"]
    (picture,) = [i for i in coco.loadImgs(coco.getImgIds()) if i["file_name"] == "a.jpg"]
    assert (picture["width"], picture["height"]) == (640, 480)
    found = coco.loadAnns(coco.getAnnIds(imgIds=picture["id"], iscrowd=None))
    assert [a["bbox"] for a in found] == [
        [10, 20, 100, 200],
        [600.25, 0, 39.75, 33.125],
        [300, 300, 100, 180],
    ]
    assert [a["area"] for a in found] == pytest.approx([20000, 39.75 * 33.125, 18000], abs=1e-4)
    assert [a["iscrowd"] for a in found] == [0, 0, 1]
    assert len(coco.getAnnIds()) == 4


def test_evaluation_and_this_module_read_it_alike(scenes: AnnotatedSet, tmp_path: Path) -> None:
    write_coco(scenes, tmp_path / "set")
    assert is_coco(tmp_path / "set")
    again = read_coco(tmp_path / "set")
    assert again == scenes
    for scene, picture in zip(read_scenes(tmp_path / "set"), again.pictures, strict=True):
        assert scene.path == picture.path
        assert scene.boxes.tolist() == [list(a.box) for a in picture.annotations]
        assert [again.labels[i] for i in scene.labels] == [a.label for a in picture.annotations]
        assert scene.ignore.tolist() == [a.ignore for a in picture.annotations]


def test_classes_come_in_the_order_of_their_ids(scenes: AnnotatedSet, tmp_path: Path) -> None:
    write_coco(scenes, tmp_path / "set")
    file = tmp_path / "set" / "annotations.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": i, "name": n} for i, n in ((3, "c"), (10, "a"), (1, "b"), (2, "d"))]
    file.write_text(json.dumps(content))
    assert read_coco(tmp_path / "set").labels == ("b", "d", "c", "a")


BROKEN: list[tuple[list[Any], Any, str]] = [
    (["images"], None, "'images' is not a list"),
    (["images", 0], 7, r"images\[0\] is not an object"),
    (["images", 0, "id"], 1.5, r"images\[0\] has id 1.5"),
    (["images", 0, "id"], 2, r"images\[1\] repeats the id 2"),
    (["images", 0, "width"], 0, r"images\[0\] has width 0"),
    (["images", 0, "file_name"], "../a.jpg", r"images\[0\] has file_name '../a.jpg', which leads out"),
    (["images", 0, "file_name"], "gone.jpg", r"images\[0\] has file_name 'gone.jpg', but .* is missing"),
    (["images", 0, "file_name"], "c.jpg", r"images\[2\] repeats the file_name 'c.jpg'"),
    (["annotations", 1, "bbox"], [1, 2, 3], r"annotations\[1\] has bbox \[1, 2, 3\]"),
    (["annotations", 1, "bbox"], [1, 2, 3, float("inf")], r"annotations\[1\] has bbox"),
    (["annotations", 1, "bbox"], [600, 0, 50, 20], r"annotations\[1\] has a box .* outside its picture"),
    (["annotations", 1, "bbox"], [600, 0, 0, 20], r"annotations\[1\] has an empty box"),
    (["annotations", 1, "category_id"], 9, r"annotations\[1\] has category_id 9, which"),
    (["annotations", 1, "image_id"], 9, r"annotations\[1\] has image_id 9, which"),
    (["categories", 0, "name"], "", r"categories\[0\] has name ''"),
]


@pytest.mark.parametrize(("place", "value", "words"), BROKEN)
def test_errors_name_file_and_entry(
    scenes: AnnotatedSet, tmp_path: Path, place: list[Any], value: Any, words: str
) -> None:
    write_coco(scenes, tmp_path / "set")
    file = tmp_path / "set" / "annotations.json"
    content = json.loads(file.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotations\.json:? " + words):
        read_coco(tmp_path / "set")


@pytest.mark.parametrize(
    ("data", "words"), [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[]", "no JSON object")]
)
def test_what_is_no_coco_at_all(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match="is missing"):
        read_coco(tmp_path)
    (tmp_path / "annotations.json").write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_coco(tmp_path)
