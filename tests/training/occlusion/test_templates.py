from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskgate.errors import DataError
from maskgate.training.occlusion.masks import Wearing
from maskgate.training.occlusion.templates import MaskTemplate, read_templates, wear_template

CONFIG = """[plain]
template: masks/templates/plain.png
mask_a: 10, 20
mask_b: 100, 5
mask_c: 190, 20
mask_d: 25, 110
mask_e: 100, 145
mask_f: 175, 110

[empty]
note: a section without a picture

[gas]
template: masks/templates/gas.png
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One template of an opaque green mask on a clear ground."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "masks.cfg").write_text(CONFIG)
    rgba = np.zeros((150, 200, 4), np.uint8)
    outline = np.array([[10, 20], [100, 5], [190, 20], [175, 110], [100, 145], [25, 110]])
    cv2.fillPoly(rgba, [outline.reshape(-1, 1, 2).astype(np.int32)], (40, 220, 60, 255))
    cv2.imwrite(str(tmp_path / "templates" / "plain.png"), rgba[..., [2, 1, 0, 3]])
    return tmp_path


def test_read(folder: Path) -> None:
    (template,) = read_templates(folder)
    assert template.name == "plain"
    assert template.rgba[75, 100].tolist() == [40, 220, 60, 255]  # RGB, not BGR
    assert template.rgba[0, 0, 3] == 0
    assert template.anchors.tolist() == [[10, 20], [100, 5], [190, 20], [25, 110], [100, 145], [175, 110]]


def test_templates_of_the_data(shared: Path) -> None:
    templates = read_templates(shared / "data" / "mask-templates")
    assert len(templates) > 10
    assert not any(t.name.startswith("gas") for t in templates)
    for t in templates:
        assert t.rgba.shape[2] == 4
        height, width = t.rgba.shape[:2]
        assert (t.anchors >= -0.1 * width).all()
        assert (t.anchors <= [1.1 * width, 1.1 * height]).all()
        assert 0.2 < (t.rgba[..., 3] > 127).mean() < 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mask_e: 100, 145\n", "", r"\[plain\] wants mask_a to mask_f"),
        ("mask_e: 100, 145", "mask_e: 100, low", r"\[plain\] wants mask_a to mask_f"),
        ("mask_e: 100, 145", "mask_e: 100", r"\[plain\] wants mask_a to mask_f"),
        ("plain.png", "other.png", r"other\.png is not a picture with an alpha channel"),
        ("[plain]\n", "", r"masks\.cfg cannot be read: .*no section headers"),
        ("[gas]", "[plain]", r"masks\.cfg cannot be read: .*already exists"),
    ],
)
def test_broken_description_is_one_sentence(folder: Path, old: str, new: str, words: str) -> None:
    assert old in CONFIG
    (folder / "masks.cfg").write_text(CONFIG.replace(old, new))
    with pytest.raises(DataError, match=words) as caught:
        read_templates(folder)
    assert "\n" not in str(caught.value)


def test_folder_without_templates(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"masks\.cfg is missing"):
        read_templates(tmp_path)


def test_picture_without_alpha(folder: Path) -> None:
    cv2.imwrite(str(folder / "templates" / "plain.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="alpha channel"):
        read_templates(folder)


@pytest.fixture
def template(folder: Path) -> MaskTemplate:
    return read_templates(folder)[0]


@pytest.mark.parametrize(
    ("wearing", "covered", "bare"),
    [
        (Wearing.RIGHT, [(0.0, 0.5), (0.0, 1.0), (0.0, 1.5)], [(0.0, -0.3)]),
        (Wearing.NOSE_OUT, [(0.0, 1.1), (0.0, 1.5)], [(0.0, 0.45), (0.0, -0.3)]),
        (Wearing.CHIN, [(0.0, 1.8)], [(0.0, 0.5), (0.0, 1.0), (0.0, -0.3)]),
    ],
)
def test_what_is_covered_and_what_is_out(
    portrait: Any, template: MaskTemplate, wearing: Wearing, covered: list[Any], bare: list[Any]
) -> None:
    outs = [
        wear_template(portrait.image, portrait.landmarks, template, wearing, np.random.default_rng(s))
        for s in range(25)
    ]
    for place in covered:
        assert np.median([portrait.change(out, place) for out in outs]) > 30, place
    for place in bare:
        found = [portrait.change(out, place) for out in outs]
        assert np.median(found) < 3, place
        assert max(found) < 25, place


def test_cloth_keeps_its_colour_or_gets_another(portrait: Any, template: MaskTemplate) -> None:
    x, y = portrait.pixels((0.0, 1.1))[0]
    colours = [
        wear_template(portrait.image, portrait.landmarks, template, Wearing.RIGHT, np.random.default_rng(s))[
            y, x
        ].astype(int)
        for s in range(60)
    ]
    green = [c[1] > c[0] + 60 and c[1] > c[2] + 60 for c in colours]
    assert 15 < sum(green) < 45


def test_draws_repeat_and_degenerate_faces_stay(portrait: Any, template: MaskTemplate) -> None:
    def wear(points: np.ndarray, seed: int) -> np.ndarray:
        return wear_template(portrait.image, points, template, Wearing.RIGHT, np.random.default_rng(seed))

    assert np.array_equal(wear(portrait.landmarks, 1), wear(portrait.landmarks, 1))
    assert not np.array_equal(wear(portrait.landmarks, 1), wear(portrait.landmarks, 2))
    assert np.array_equal(wear(np.zeros((5, 2), np.float32), 1), portrait.image)
    assert np.array_equal(wear(portrait.landmarks - 900, 1), portrait.image)


def test_every_template_of_the_data_covers_mouth_and_nose(shared: Path, portrait: Any) -> None:
    for template in read_templates(shared / "data" / "mask-templates"):
        outs = [
            wear_template(
                portrait.image, portrait.landmarks, template, Wearing.RIGHT, np.random.default_rng(s)
            )
            for s in range(6)
        ]
        for place in ((0.0, 0.6), (0.0, 1.0)):
            assert np.median([portrait.change(out, place) for out in outs]) > 8, template.name
