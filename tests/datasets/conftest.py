"""The detector that ships, pictures with it in mind, and sets of boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from maskgate.datasets.annotations import AnnotatedPicture, AnnotatedSet, Annotation
from maskgate.detection import Detector, create_detector
from maskgate.images import write_image
from maskgate.models.sessions import RuntimeOptions


@pytest.fixture(scope="session")
def detector() -> Detector:
    return create_detector(None, RuntimeOptions(threads=1))


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int, int], np.ndarray]:
    """Pictures (width, height, seed) that no two seeds make alike."""

    def make(width: int, height: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (16, 17, 3)).astype(np.uint8)
        rows, columns = np.arange(height) * 16 // height, np.arange(width) * 17 // width
        return np.ascontiguousarray(coarse[rows][:, columns])

    return make


@pytest.fixture
def scenes(tmp_path: Path, noise: Callable[[int, int, int], np.ndarray]) -> AnnotatedSet:
    """Two pictures below ``set/images``, the second in a folder there, and an empty third."""
    sizes = {"a.jpg": (640, 480), "more/b.png": (123, 77), "c.jpg": (50, 50)}
    boxes = {
        "a.jpg": [
            Annotation("mask", (10.0, 20.0, 110.0, 220.0)),
            Annotation("no_mask", (600.25, 0.0, 640.0, 33.125)),
            Annotation("mask", (300.0, 300.0, 400.0, 480.0), ignore=True),
        ],
        "more/b.png": [Annotation("incorrect", (0.0, 0.0, 123.0, 77.0))],
        "c.jpg": [],
    }
    pictures = []
    for i, (name, (width, height)) in enumerate(sizes.items()):
        path = tmp_path / "set" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, noise(width, height, i))
        pictures.append(AnnotatedPicture(path, PurePosixPath(name), width, height, tuple(boxes[name])))
    return AnnotatedSet(("mask", "no_mask", "incorrect"), tuple(pictures))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(name="tree")
def tree_fixture() -> Callable[[Path], dict[str, bytes]]:
    return tree
