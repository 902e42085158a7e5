from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402

from maskgate.training.export import Storage, export_onnx  # noqa: E402

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


@pytest.mark.parametrize(("storage", "off"), [("float32", 2e-5), ("float16", 3e-3), ("int8", 3e-2)])
def test_graph_answers_as_the_network(net: Net, tmp_path: Path, storage: Storage, off: float) -> None:
    file = tmp_path / "net.onnx"
    export_onnx(net, torch.zeros(1, 3, 12, 10), file, AXES, storage)
    session = ort.InferenceSession(str(file))
    assert [n.name for n in session.get_inputs()] == ["x"]
    assert [n.name for n in session.get_outputs()] == ["y"]
    for batch, height in ((1, 12), (3, 8)):  # free dimensions
        x = torch.randn(batch, 3, height, 10)
        with torch.inference_mode():
            wanted = net.eval()(x).numpy()
        (y,) = session.run(None, {"x": x.numpy()})
        assert y.dtype == np.float32
        assert y == pytest.approx(wanted, abs=off)
    assert [f.name for f in tmp_path.iterdir()] == ["net.onnx"]


def test_smaller_storage_makes_smaller_files(net: Net, tmp_path: Path) -> None:
    storages: tuple[Storage, ...] = ("float32", "float16", "int8")
    for storage in storages:
        export_onnx(net, torch.zeros(1, 3, 12, 10), tmp_path / storage, AXES, storage)
    full, half, quarter = ((tmp_path / s).stat().st_size for s in storages)
    weights = 4 * (16 * 3 * 9 + 16 * 200)
    assert full > weights
    assert full - half > 0.9 * weights / 2 - 500
    assert full - quarter > 0.9 * weights * 3 / 4 - 2000  # the scales take some
    wanted = {"float16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}
    for storage, kind in wanted.items():  # short vectors stay as they are
        kinds = {t.data_type for t in onnx.load(tmp_path / storage).graph.initializer}
        assert kinds == {kind, onnx.TensorProto.FLOAT}


def test_int8_rounds_by_channel(tmp_path: Path) -> None:
    """Against rounding by hand: a channel of small weights keeps its detail beside a large one."""
    net = nn.Linear(300, 2)
    nn.init.zeros_(net.bias)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 300)).astype(np.float32) * np.array([[1e-3], [10]], np.float32)
    net.weight.data[:] = torch.from_numpy(weights)
    export_onnx(net, torch.zeros(1, 300), tmp_path / "n.onnx", {"x": {0: "n"}, "y": {0: "n"}}, "int8")
    session = ort.InferenceSession(str(tmp_path / "n.onnx"))
    kept = session.run(None, {"x": np.eye(300, dtype=np.float32)})[0].T
    step = np.abs(weights).max(1, keepdims=True) / 127
    assert np.abs(kept - weights).max(1) == pytest.approx(step[:, 0] / 2, rel=0.05)
    assert kept == pytest.approx(np.round(weights / step) * step, rel=1e-5)


def test_failed_export_leaves_the_old_file(net: Net, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        export_onnx(net, torch.zeros(1, 5, 12, 10), file, AXES)
    assert file.read_bytes() == b"old"
