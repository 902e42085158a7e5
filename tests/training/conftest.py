"""Fixtures of the training tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgate.training.crops import SIDE, FaceCrops
from maskgate.types import Faces


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Training sets thread counts of the whole process; later tests get theirs back."""
    before = cv2.getNumThreads()
    torch_before = None
    try:
        import torch
    except ModuleNotFoundError:
        torch = None  # type: ignore[assignment]
    if torch is not None:
        torch_before = torch.get_num_threads()
        torch.set_num_threads(min(torch_before, os.cpu_count() or 1))
    yield
    cv2.setNumThreads(before)
    if torch is not None and torch_before is not None:
        torch.set_num_threads(torch_before)


@pytest.fixture
def astronaut_face() -> Faces:
    """The astronaut's face as two published detectors see it, rounded to pixels."""
    landmarks = [[204, 101], [247, 103], [225, 129], [202, 138.5], [245.5, 140.5]]
    return Faces(
        np.array([[179, 58, 271, 177]], np.float32), np.ones(1, np.float32), np.array([landmarks], np.float32)
    )


def _noise_crops(labels: list[int], seed: int = 0) -> FaceCrops:
    rng = np.random.default_rng(seed)
    n = len(labels)
    images = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    points = np.array([[62, 70], [98, 70], [80, 90], [65, 108], [95, 108]], np.float32)
    return FaceCrops(
        images, np.repeat(points[None], n, 0), np.array(labels), np.zeros(n, np.int64),
        np.full(n, 60, np.float32), [f"{i}.jpg" for i in range(n)],
    )  # fmt: skip


@pytest.fixture
def noise_crops() -> Callable[..., FaceCrops]:
    """Makes crops of noise, one for each label, with landmarks where a face's would be."""
    return _noise_crops


def _few_scenes(data: Path, count: int, shared: Path) -> None:
    scenes = shared / "data" / "scenes" / "fmd"
    content = json.loads((scenes / "annotations.json").read_text())
    content["images"] = content["images"][:count]
    chosen = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in chosen]
    (data / "scenes" / "fmd" / "images").mkdir(parents=True)
    (data / "scenes" / "fmd" / "annotations.json").write_text(json.dumps(content))
    for image in content["images"]:
        name = Path("scenes") / "fmd" / "images" / image["file_name"]
        (data / name).symlink_to(shared / "data" / name)


@pytest.fixture
def few_scenes(shared: Path) -> Callable[[Path, int], None]:
    """Makes a data folder's ``scenes/fmd`` of the first pictures there are."""
    return lambda data, count: _few_scenes(data, count, shared)
