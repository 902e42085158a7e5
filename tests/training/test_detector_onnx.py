from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.detector_onnx import load_convolutions, read_convolutions, restore_norms  # noqa: E402
from maskgate.training.export import Storage  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402


def lively() -> RetinaFace:
    """A network whose normalisations all do something."""
    torch.manual_seed(2)
    net = RetinaFace()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_detector(lively(), file)
    return file


def answers(net: nn.Module, x: torch.Tensor) -> list[np.ndarray]:
    with torch.inference_mode():
        loc, scores, points = net.eval()(x)
    return [loc.numpy(), scores.softmax(-1).numpy(), points.numpy()]


def test_the_network_answers_as_the_file(exported: Path) -> None:
    torch.manual_seed(9)
    net = RetinaFace()
    load_convolutions(net, read_convolutions(exported), exported)
    x = torch.randn(2, 3, 96, 64) * 40
    wanted = ort.InferenceSession(str(exported)).run(None, {"input": x.numpy()})
    for got, want in zip(answers(net, x), wanted, strict=True):
        assert got == pytest.approx(want, abs=2e-3)
    batches = [torch.randn(4, 3, 64, 64) * 40 for _ in range(3)]
    restore_norms(net, batches)
    for got, want in zip(answers(net, x), wanted, strict=True):
        assert got == pytest.approx(want, abs=2e-3)


def test_normalisations_are_those_of_the_pictures(exported: Path) -> None:
    """In training, when they go by the batch, the network answers on those pictures as it does in use."""
    net = RetinaFace()
    load_convolutions(net, read_convolutions(exported), exported)
    batch = torch.randn(6, 3, 64, 64) * 40
    wanted = answers(net, batch)
    net.train()
    with torch.inference_mode():
        before = net(batch)[0].numpy()
    load_convolutions(net, read_convolutions(exported), exported)  # that has moved its statistics
    restore_norms(net, [batch[:2], batch[2:]])
    norm = net.body.stage1[0][1]
    inputs = net.body.stage1[0][0](batch)
    assert norm.running_mean.numpy() == pytest.approx(inputs.mean((0, 2, 3)).detach().numpy(), abs=1e-3)
    variance = inputs.var((0, 2, 3), unbiased=False).detach().numpy()
    assert norm.running_var.numpy() == pytest.approx(variance, rel=1e-3)
    net.train()
    with torch.inference_mode():
        trained = net(batch)[0].numpy()
    spread = float(np.abs(wanted[0]).mean())
    assert np.abs(trained - wanted[0]).mean() < 0.02 * spread
    assert np.abs(before - wanted[0]).mean() > 0.2 * spread  # without it they would not


@pytest.mark.parametrize(("storage", "slack"), [("float16", 0.001), ("int8", 0.01)])
def test_stored_weights_are_read(tmp_path: Path, storage: Storage, slack: float) -> None:
    net = lively()
    for name, kind in (("a.onnx", storage), ("b.onnx", "float32")):
        export_detector(net, tmp_path / name, storage=kind)
    small, large = (read_convolutions(tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert (tmp_path / "a.onnx").stat().st_size < 0.62 * (tmp_path / "b.onnx").stat().st_size
    for (weight, bias), (wanted, wanted_bias) in zip(small, large, strict=True):
        largest = wanted.abs().flatten(1).max(1).values.view(-1, 1, 1, 1)
        assert ((weight - wanted).abs() <= slack * largest + 1e-7).all()
        torch.testing.assert_close(bias, wanted_bias, atol=1e-3, rtol=1e-3)


def test_file_of_another_network(exported: Path) -> None:
    found = read_convolutions(exported)
    with pytest.raises(DataError, match="convolutions, the network"):
        load_convolutions(RetinaFace("resnet50"), found, exported)
    with pytest.raises(DataError, match=r"has fpn\.output1\.0 as \(64, 64, 1, 1\), not \(48, 64, 1, 1\)"):
        load_convolutions(RetinaFace(widths=(48, 16, 16)), found, exported)


def test_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(DataError, match=r"a\.onnx cannot be read as ONNX"):
        read_convolutions(tmp_path / "a.onnx")
