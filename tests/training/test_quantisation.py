from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.training.export import export_onnx  # noqa: E402
from maskgate.training.quantisation import quantise  # noqa: E402


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 4, 1),
    )  # fmt: skip
    free = {0: "batch", 2: "height", 3: "width"}
    export_onnx(net, torch.zeros(1, 3, 16, 16), tmp_path / "net.onnx", {"input": free, "output": free})
    return tmp_path / "net.onnx"


def pictures(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, (1, 3, 12, 20)).astype(np.float32) for _ in range(6)]


def kept_in_float(file: Path) -> list[str]:
    """Convolutions whose weights are plain tensors."""
    graph = onnx.load(file).graph
    plain = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    return [n.name for n in graph.node if n.op_type == "Conv" and n.input[1] in plain]


def test_answers_are_nearly_those_of_the_network(network: Path, tmp_path: Path) -> None:
    quantise(network, pictures(0), tmp_path / "all.onnx", lambda name: False)
    quantise(network, pictures(0), tmp_path / "some.onnx", lambda name: "/0/" in name)
    x = pictures(1)[0]
    wanted = ort.InferenceSession(str(network)).run(None, {"input": x})[0]
    errors = []
    for name in ("all.onnx", "some.onnx"):
        got = ort.InferenceSession(str(tmp_path / name)).run(None, {"input": x})[0]
        errors.append(float(np.abs(got - wanted).max()) / float(np.abs(wanted).max()))
    assert 0 < errors[0] < 0.1
    assert 0 < errors[1] < 0.1


def test_what_stays_float(network: Path, tmp_path: Path) -> None:
    names = [n.name for n in onnx.load(network).graph.node if n.op_type == "Conv"]
    quantise(network, pictures(0), tmp_path / "a.onnx", lambda name: name == names[2])
    assert kept_in_float(tmp_path / "a.onnx") == [names[2]]
    assert kept_in_float(network) == names


def test_weights_keep_a_bit_free(network: Path, tmp_path: Path) -> None:
    """So that two products of bytes fit into sixteen bits."""
    quantise(network, pictures(0), tmp_path / "a.onnx", lambda name: False)
    tensors = [onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "a.onnx").graph.initializer]
    weights = [t for t in tensors if t.dtype == np.int8 and t.ndim == 4]
    assert len(weights) == 3
    assert all(np.abs(w.astype(int)).max() <= 64 for w in weights)
