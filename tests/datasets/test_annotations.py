from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskgate.datasets.annotations import AnnotatedSet, fit_box, order_labels, picture_size
from maskgate.errors import DataError
from maskgate.images import read_image


def test_rename(scenes: AnnotatedSet) -> None:
    assert scenes.counts == {"mask": 2, "no_mask": 1, "incorrect": 1}
    renamed = scenes.rename({"mask": "worn", "incorrect": "worn"})
    assert renamed.labels == ("worn", "no_mask")
    assert renamed.counts == {"worn": 3, "no_mask": 1}
    boxes = [[a.box for a in p.annotations] for p in scenes.pictures]
    assert [[a.box for a in p.annotations] for p in renamed.pictures] == boxes
    swapped = scenes.rename({"mask": "no_mask", "no_mask": "mask"})
    assert swapped.counts == {"mask": 1, "no_mask": 2, "incorrect": 1}
    with pytest.raises(DataError, match="no label is named 'Mask'; there are mask, no_mask, incorrect"):
        scenes.rename({"Mask": "mask"})


def test_order_of_labels() -> None:
    assert order_labels({"zebra", "incorrect", "ape", "mask"}) == ("mask", "incorrect", "ape", "zebra")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_the_upright_one(tmp_path: Path, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    Pillow.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    height, width = read_image(tmp_path / "a.jpg").shape[:2]
    assert picture_size(tmp_path / "a.jpg") == (width, height)


def test_size_of_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"?")
    for name in ("a.jpg", "gone.jpg"):
        with pytest.raises(DataError, match=name):
            picture_size(tmp_path / name)


def test_boxes_at_the_edge() -> None:
    assert fit_box((-1, -0.5, 101, 50.25), 100, 50, "x") == (0, 0, 100, 50)
    assert fit_box((1.5, 2, 3, 4), 100, 50, "x") == (1.5, 2, 3, 4)
    for box in ((-1.1, 0, 5, 5), (0, 0, 5, 51.1), (100, 0, 100.5, 5), (-9, -9, -1, -1)):
        with pytest.raises(DataError, match=r"here has a box .* outside its picture of 100×50 pixels"):
            fit_box(box, 100, 50, "here")
    for box in ((5, 5, 5, 9), (9, 5, 5, 9), (float("nan"), 0, 5, 5)):
        with pytest.raises(DataError, match="here has an empty box"):
            fit_box(box, 100, 50, "here")
