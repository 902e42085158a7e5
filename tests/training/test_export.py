from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402

from maskgate.training.export import export_onnx  # noqa: E402

AXES = {"x": {0: "batch", 2: "height"}, "y": {0: "batch"}}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(16, 200)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x).mean((2, 3)))
        return y


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(4, 3, 9, 9))  # statistics for the normalisation
    return net


@pytest.mark.parametrize("half", [False, True])
def test_graph_answers_as_the_network(net: Net, tmp_path: Path, half: bool) -> None:
    file = tmp_path / "net.onnx"
    export_onnx(net, torch.zeros(1, 3, 12, 10), file, AXES, half_weights=half)
    session = ort.InferenceSession(str(file))
    assert [n.name for n in session.get_inputs()] == ["x"]
    assert [n.name for n in session.get_outputs()] == ["y"]
    for batch, height in ((1, 12), (3, 8)):  # free dimensions
        x = torch.randn(batch, 3, height, 10)
        with torch.inference_mode():
            wanted = net.eval()(x).numpy()
        (y,) = session.run(None, {"x": x.numpy()})
        assert y.dtype == np.float32
        assert y == pytest.approx(wanted, abs=3e-3 if half else 2e-5)
    assert [f.name for f in tmp_path.iterdir()] == ["net.onnx"]


def test_half_weights_halve_the_file(net: Net, tmp_path: Path) -> None:
    for half in (False, True):
        export_onnx(net, torch.zeros(1, 3, 12, 10), tmp_path / f"{half}.onnx", AXES, half_weights=half)
    full, small = ((tmp_path / f"{h}.onnx").stat().st_size for h in (False, True))
    weights = 4 * (16 * 3 * 9 + 16 * 200)
    assert full > weights
    assert full - small > 0.9 * weights / 2 - 500
    kinds = {t.data_type for t in onnx.load(tmp_path / "True.onnx").graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT}  # short vectors stay as they are


def test_failed_export_leaves_the_old_file(net: Net, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        export_onnx(net, torch.zeros(1, 5, 12, 10), file, AXES)
    assert file.read_bytes() == b"old"
