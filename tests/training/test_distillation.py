from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.face_resnet import BLOCKS, FaceResNet  # noqa: E402
from maskgate.training.classifier_export import export_classifier  # noqa: E402
from maskgate.training.distillation import Distillation, Teachers  # noqa: E402


@pytest.fixture
def teachers(tmp_path: Path) -> list[FaceClassifier]:
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        net = FaceClassifier(FaceResNet(BLOCKS[:1])).eval()
        torch.nn.init.normal_(net.fc.weight, std=0.5)
        export_classifier(net, 1.0, 64, tmp_path / f"{seed}.onnx", "float32")
        nets.append(net)
    return nets


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(("share", "t"), [(0.7, 2.0), (0.0, 1.0), (1.0, 1.0), (0.5, 4.0)])
def test_mixture_by_hand(teachers: list[FaceClassifier], tmp_path: Path, share: float, t: float) -> None:
    settings = Distillation(("0.onnx", "1.onnx"), share, t)
    x = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    scores, loss = torch.randn(5, 3), torch.tensor(1.25)
    got = Teachers(settings, [tmp_path]).mix(loss, scores, x).item()
    with torch.inference_mode():
        said = [softmax(net(x.float()).double().numpy()) for net in teachers]
    together = softmax(np.log(np.maximum(said, 1e-7)).mean(0) / t)
    own = softmax(scores.double().numpy() / t)
    apart = (together * (np.log(together) - np.log(own))).sum(1).mean() * t * t
    assert got == pytest.approx((1 - share) * 1.25 + share * apart, rel=1e-3)


def test_one_who_agrees_has_no_distance(teachers: list[FaceClassifier], tmp_path: Path) -> None:
    x = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        scores = teachers[0](x.float())
    own = Teachers(Distillation(("0.onnx",), 1.0, 1.0), [tmp_path])
    assert own.mix(torch.tensor(9.0), scores, x).item() == pytest.approx(0, abs=1e-4)


def test_a_teacher_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"teacher gone\.onnx, which is not there; train it first"):
        Teachers(Distillation(("gone.onnx",)), [tmp_path])


def test_a_teacher_that_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"teacher bad\.onnx, which is no ONNX network"):
        Teachers(Distillation(("bad.onnx",)), [tmp_path])


def test_the_first_folder_that_has_it_counts(teachers: list[FaceClassifier], tmp_path: Path) -> None:
    for folder, own in (("a", "1.onnx"), ("b", "0.onnx")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.onnx").write_bytes((tmp_path / own).read_bytes())
    x = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    both = Teachers(Distillation(("t.onnx",)), [tmp_path / k for k in ("none", "a", "b")])
    with torch.inference_mode():
        wanted = teachers[1](x.float()).log_softmax(1)
    torch.testing.assert_close(both.log_probabilities(x), wanted, atol=1e-3, rtol=1e-3)


def test_gradients_go_to_the_pupil(teachers: list[FaceClassifier], tmp_path: Path) -> None:
    """Of the divergence: t * (own - wanted) a sample, where own and wanted are softened."""
    x = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    scores = torch.randn(4, 3, requires_grad=True)
    Teachers(Distillation(("0.onnx",), 1.0, 3.0), [tmp_path]).mix(torch.tensor(0.0), scores, x).backward()
    with torch.inference_mode():
        wanted = (teachers[0](x.float()) / 3).softmax(1)
        expected = 3 * ((scores / 3).softmax(1) - wanted) / 4
    torch.testing.assert_close(scores.grad, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("bad", [{"teachers": ()}, {"share": 1.5}, {"share": -0.1}, {"temperature": 0.0}])
def test_impossible_settings(bad: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"\[distil\] wants"):
        Distillation(**({"teachers": ("a.onnx",)} | bad))  # type: ignore[arg-type]


def test_a_teacher_of_another_size(teachers: list[FaceClassifier], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"teacher 0\.onnx, which takes crops of 64 pixels, not 80"):
        Teachers(Distillation(("0.onnx",)), [tmp_path]).log_probabilities(
            torch.zeros(1, 3, 80, 80, dtype=torch.uint8)
        )
