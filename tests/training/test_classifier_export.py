from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from scipy.special import softmax as scipy_softmax

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.alignment import CropSpec  # noqa: E402
from maskgate.classification.resnet import ResNetClassifier  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.classifier_export import export_classifier  # noqa: E402
from maskgate.training.classifier_validation import logits_of  # noqa: E402
from maskgate.training.export import Storage  # noqa: E402


@pytest.mark.parametrize(("storage", "width", "off"), [("float16", 2, 0.01), ("int8", 1, 0.04)])
def test_exported_classifier_is_calibrated_and_small(
    tmp_path: Path, storage: Storage, width: int, off: float
) -> None:
    torch.manual_seed(0)
    net = FaceClassifier(FaceResNet(BLOCKS[:4]), dropout=0.2)
    nn.init.normal_(net.fc.weight, std=2.0)
    file = tmp_path / "model.onnx"
    before = {k: v.clone() for k, v in net.state_dict().items()}
    export_classifier(net, 1.7, 64, file, storage)
    views = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    classifier = ResNetClassifier(ort.InferenceSession(str(file)), CropSpec("rotate", 64, 1.35))
    probabilities = classifier.classify(views)
    assert probabilities == pytest.approx(scipy_softmax(logits_of(net, views) / 1.7, axis=1), abs=off)
    assert probabilities.sum(1) == pytest.approx(np.ones(5), abs=1e-5)
    size = sum(p.numel() for p in net.parameters())
    assert width * size < file.stat().st_size < 1.2 * width * size + 20_000
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
