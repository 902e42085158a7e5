from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from maskgate.alignment import CropSpec, align_five_points, rotate_and_crop
from maskgate.errors import InputError
from maskgate.types import Faces


@pytest.fixture(scope="module")
def faces() -> Faces:
    """The astronaut's face, and a place on her suit."""
    boxes = np.array([[178, 62, 272, 182], [60, 300, 160, 420]], np.float32)
    places = np.array([[0.3, 0.4], [0.7, 0.45], [0.5, 0.6], [0.35, 0.78], [0.65, 0.8]], np.float32)
    landmarks = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.array([0.9, 0.8], np.float32), landmarks)


def test_a_crop_spec_cuts_by_its_kind(astronaut: np.ndarray, faces: Faces) -> None:
    rotated = CropSpec("rotate", 64, 1.6).cut(astronaut, faces)
    np.testing.assert_array_equal(rotated, rotate_and_crop(astronaut, faces, size=64, margin=1.6))
    aligned = CropSpec("five-point", 64, 1.6).cut(astronaut, faces)
    np.testing.assert_array_equal(aligned, align_five_points(astronaut, faces, size=64))
    assert rotated.shape == aligned.shape == (2, 64, 64, 3)
    assert rotated.dtype == aligned.dtype == np.uint8
    assert not np.array_equal(rotated, aligned)


@pytest.mark.parametrize("kind", ["rotate", "five-point"])
def test_no_face_gives_no_crop(astronaut: np.ndarray, kind: Any) -> None:
    assert CropSpec(kind, 32).cut(astronaut, Faces.empty()).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    "fields", [{"kind": "square"}, {"size": 7}, {"margin": 0.4}, {"margin": 4.1}, {"margin": float("nan")}]
)
def test_a_crop_spec_out_of_range(fields: dict[str, Any]) -> None:
    (value,) = fields.values()
    with pytest.raises(InputError, match=f"^the crop's .*{value}"):
        CropSpec(**fields)


def test_a_crop_spec_stays_as_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        CropSpec().size = 224  # type: ignore[misc]
