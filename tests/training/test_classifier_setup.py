from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.training.classifier_data import INCORRECT, MASK, NO_MASK, ClassifierAugmentation  # noqa: E402
from maskgate.training.classifier_setup import ClassifierData, pseudo_labels  # noqa: E402
from maskgate.training.crops import SIDE, UNKNOWN, FaceCrops  # noqa: E402
from maskgate.training.export import export_onnx  # noqa: E402
from maskgate.training.occlusion.shares import OcclusionShares  # noqa: E402
from maskgate.training.recipe import Source  # noqa: E402
from maskgate.training.splits import TEST, TRAINING, VALIDATION  # noqa: E402

SMALL = ClassifierAugmentation(size=64)

MakeCrops = Callable[..., FaceCrops]


class Left(nn.Module):
    """Says mask as far as the left half of the view is bright, and no_mask as far as it is not."""

    def forward(self, crops: Tensor) -> Tensor:
        left = crops[:, :, : crops.shape[2] // 2].float().mean((1, 2, 3)) / 255
        return torch.stack([left, 1 - left, 0 * left], 1)


def test_pseudo_labels(tmp_path: Path, noise_crops: MakeCrops) -> None:
    axes = {"crops": {0: "batch"}, "probabilities": {0: "batch"}}
    export_onnx(Left(), torch.zeros(2, 64, 64, 3, dtype=torch.uint8), tmp_path / "l.onnx", axes)
    crops = noise_crops([UNKNOWN, UNKNOWN, UNKNOWN, INCORRECT, UNKNOWN, UNKNOWN])
    for i, (left, right) in enumerate([(255, 255), (255, 179), (0, 0), (255, 255), (255, 179), (255, 0)]):
        crops.images[i, :, : SIDE // 2], crops.images[i, :, SIDE // 2 :] = left, right
    crops.sources[4] = 1  # mean over the view and its mirror image: 0.85
    sources = [Source("a", "photos", confident=0.9), Source("b", "photos", confident=0.8)]
    named = pseudo_labels(crops, sources, tmp_path / "l.onnx", SMALL)
    assert named.pictures == ["0.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert named.labels.tolist() == [MASK, NO_MASK, INCORRECT, MASK]  # what had a label keeps it
    assert crops.labels.tolist() == [UNKNOWN] * 3 + [INCORRECT] + [UNKNOWN] * 2
    assert np.array_equal(named.images[3], crops.images[4])


def faces(crops: FaceCrops, sides: list[int], sources: list[Source]) -> ClassifierData:
    shares = OcclusionShares()
    return ClassifierData(crops, np.array(sides), sources, SMALL, 1, None, shares, (), ())


def test_who_judges(noise_crops: MakeCrops) -> None:
    """Held-out faces that people labelled, unless they are tiny."""
    crops = noise_crops([MASK, NO_MASK, MASK, NO_MASK, MASK, NO_MASK])
    crops.sources[3] = 1
    crops.sizes[2] = 12
    sources = [Source("a", "photos", labels={"m": "mask"}), Source("b", "photos", confident=0.9)]
    data = faces(crops, [VALIDATION, VALIDATION, VALIDATION, VALIDATION, TEST, TRAINING], sources)
    real = data.validation.kinds == 0
    assert data.validation.labels[real].tolist() == [MASK, NO_MASK]
    assert data.test.pictures == ["4.jpg"]
    assert data.learnt.pictures == ["5.jpg"]
    lines = ["picture,label,side", "0.jpg,mask,validation", "1.jpg,no_mask,validation"]
    assert data.table().splitlines()[:3] == lines
    counts = {"a": {"mask": 3, "no_mask": 2, "incorrect": 0}, "b": {"mask": 0, "no_mask": 1, "incorrect": 0}}
    assert data.counts() == counts


def test_nobody_judges(noise_crops: MakeCrops) -> None:
    data = faces(noise_crops([MASK, NO_MASK]), [TRAINING, TRAINING], [Source("a", "crops", bare=(".",))])
    with pytest.raises(DataError, match="no labelled face is on the validation side"):
        _ = data.validation
