from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")

from maskgate.training.crop_cache import cached_faces, crops_key
from maskgate.training.crops import cut_faces
from maskgate.training.recipe import Source
from maskgate.types import Faces, Label

SOURCES = [Source("own", "photos", labels={"mask": "mask"})]


@pytest.fixture
def root(tmp_path: Path, astronaut: np.ndarray) -> Path:
    (tmp_path / "data" / "own" / "mask").mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "data" / "own" / "mask" / f"{name}.png"), astronaut[..., ::-1])
    return tmp_path / "data"


@pytest.fixture
def found(astronaut_face: Faces) -> dict[str, Faces]:
    return {f"own/mask/{name}.png": astronaut_face for name in ("a", "b")}


def test_cut_once(root: Path, found: dict[str, Faces], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = cached_faces(SOURCES, root, found, {}, cache)
    (folder,) = cache.iterdir()
    before = {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
    again = cached_faces(SOURCES, root, found, {}, cache)
    assert {f.name: f.stat().st_mtime_ns for f in folder.iterdir()} == before
    for name in ("images", "landmarks", "labels", "sources", "sizes"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert first.pictures == again.pictures == ["own/mask/a.png", "own/mask/b.png"]
    assert isinstance(again.images, np.memmap)
    plain = cut_faces(SOURCES, root, found, {})
    assert len(plain) == 2
    for name in ("images", "landmarks", "labels", "sources", "sizes"):
        assert np.array_equal(getattr(plain, name), getattr(again, name))


def test_each_key_has_a_folder(root: Path, found: dict[str, Faces], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert len(cached_faces(SOURCES, root, found, {}, cache)) == 2
    left_out: dict[str, Label | None] = {"own/mask/a.png": None}
    assert cached_faces(SOURCES, root, found, left_out, cache).pictures == ["own/mask/b.png"]
    assert len(list(cache.iterdir())) == 2
    assert len(cached_faces(SOURCES, root, found, {}, cache)) == 2
    assert len(list(cache.iterdir())) == 2


def test_what_a_killed_process_left(root: Path, found: dict[str, Faces], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    key = crops_key(SOURCES, root, found, {})
    for process in (os.getpid(), 1):  # its number may have come round again
        part = cache / f".crops-{key[:16]}.{process}"
        part.mkdir(parents=True)
        (part / "images.npy").write_bytes(b"half")
        (part / "made-of.json").write_text("{}")
    crops = cached_faces(SOURCES, root, found, {}, cache)
    assert np.array_equal(crops.images, cut_faces(SOURCES, root, found, {}).images)
    assert (cache / f"crops-{key[:16]}" / "made-of.json").is_file()


def test_what_makes_another_key(root: Path, found: dict[str, Faces]) -> None:
    keys = {crops_key(SOURCES, root, found, {})}
    keys.add(crops_key(SOURCES, root, found, {"own/mask/a.png": None}))
    keys.add(crops_key(SOURCES, root, found, {"own/mask/a.png": Label.INCORRECT}))
    moved = dict(found)
    face = moved["own/mask/a.png"]
    moved["own/mask/a.png"] = Faces(face.boxes + 1, face.scores, face.landmarks)
    keys.add(crops_key(SOURCES, root, moved, {}))
    keys.add(crops_key([Source("own", "crops", labels={"mask": "mask"})], root, found, {}))
    keys.add(crops_key([Source("own", "photos", labels={"mask": "no_mask"})], root, found, {}))
    (root / "own" / "mask" / "b.png").write_bytes((root / "own" / "mask" / "b.png").read_bytes() + b"x")
    keys.add(crops_key(SOURCES, root, found, {}))
    about = (root / "own" / "mask" / "b.png").stat()
    os.utime(root / "own" / "mask" / "b.png", ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000_000))
    keys.add(crops_key(SOURCES, root, found, {}))
    (root / "own" / "mask" / "c.png").write_bytes((root / "own" / "mask" / "b.png").read_bytes())
    keys.add(crops_key(SOURCES, root, found, {}))
    assert len(keys) == 9


def test_what_makes_none(root: Path, found: dict[str, Faces]) -> None:
    key = crops_key(SOURCES, root, found, {})
    for change in ({"weight": 2.0}, {"confident": 0.9}, {"side": "test"}, {"together": "folder"}):
        assert crops_key([replace(SOURCES[0], **change)], root, found, {}) == key  # type: ignore[arg-type]


def test_a_cache_that_was_never_finished(root: Path, found: dict[str, Faces], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = cached_faces(SOURCES, root, found, {}, cache)
    (folder,) = cache.iterdir()
    (folder / "made-of.json").unlink()  # written last
    (folder / "images.npy").unlink()  # it is mapped: no writing into it
    (folder / "images.npy").write_bytes(b"half")
    assert np.array_equal(cached_faces(SOURCES, root, found, {}, cache).images, whole.images)


def test_boxes_drawn_in_scenes_are_part_of_the_key(tmp_path: Path, astronaut: np.ndarray) -> None:
    """Their labels come from the annotations alone."""
    (tmp_path / "s" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "s" / "images" / "a.png"), astronaut[..., ::-1])
    categories = [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}]
    images = [{"id": 1, "file_name": "a.png", "width": 512, "height": 512}]
    sources, nobody = [Source("s", "scenes")], {"s/images/a.png": Faces.empty()}
    labels = []
    for category in (1, 2):
        box = {"id": 1, "image_id": 1, "category_id": category, "bbox": [179, 58, 92, 119]}
        content = {"images": images, "categories": categories, "annotations": [box]}
        (tmp_path / "s" / "annotations.json").write_text(json.dumps(content, indent=category))
        labels += cached_faces(sources, tmp_path, nobody, {}, tmp_path / "cache").labels.tolist()
    assert labels == [0, 1]


def test_a_failed_one_leaves_nothing(
    root: Path, found: dict[str, Faces], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, save = tmp_path / "cache", np.save

    def full(file: Path, values: np.ndarray) -> None:
        if "labels" in file.name:
            raise OSError(28, "No space left on device")
        save(file, values)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        cached_faces(SOURCES, root, found, {}, cache)
    assert list(cache.iterdir()) == []
    monkeypatch.undo()
    assert len(cached_faces(SOURCES, root, found, {}, cache)) == 2
