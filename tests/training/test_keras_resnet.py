from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch.nn import functional as F  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.training.keras_resnet import read_keras_resnet50, read_layers_model  # noqa: E402
from maskgate.training.starts import load_start  # noqa: E402

LETTERS = "abcdef"


def keras_weights() -> dict[str, np.ndarray]:
    """Random weights of Keras's ResNet-50 up to its second stage, by its names and in its layout; of the
    later stages a value a tensor, since only their names and shapes matter."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}

    def layer(convolution: str, norm: str, side: int, given: int, out: int) -> None:
        shape = (side, side, given, out)
        spread = np.float32(np.sqrt(2 / (side * side * given)))
        cheap = out > 256 or given > 512
        kernel = np.zeros(shape, np.float32) if cheap else rng.standard_normal(shape, np.float32) * spread
        arrays[f"{convolution}/kernel"] = kernel
        arrays[f"{convolution}/bias"] = rng.normal(0, 0.3, out)
        arrays[f"{norm}/gamma"] = rng.uniform(0.5, 1.5, out)
        arrays[f"{norm}/beta"] = rng.normal(0, 0.2, out)
        arrays[f"{norm}/moving_mean"] = rng.normal(0, 0.3, out)
        arrays[f"{norm}/moving_variance"] = rng.uniform(0.001, 1.5, out)

    layer("conv1", "bn_conv1", 7, 3, 64)
    given = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(count):
            name = f"{stage + 2}{LETTERS[block]}_branch"
            for letter, side, a, b in (
                ("a", 1, given, inner),
                ("b", 3, inner, inner),
                ("c", 1, inner, 4 * inner),
            ):
                layer(f"res{name}2{letter}", f"bn{name}2{letter}", side, a, b)
            if block == 0:
                layer(f"res{name}1", f"bn{name}1", 1, given, 4 * inner)
            given = 4 * inner
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def write_model(folder: Path, arrays: dict[str, np.ndarray], shards: int = 3) -> Path:
    """As TensorFlow.js lays a layers model out: one list of arrays over shards of equal size."""
    data = b"".join(array.tobytes() for array in arrays.values())
    cut = -(-len(data) // shards)
    names = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(data[i * cut : (i + 1) * cut])
    weights = [{"name": n, "shape": list(a.shape), "dtype": "float32"} for n, a in arrays.items()]
    (folder / "model.json").write_text(
        json.dumps({"weightsManifest": [{"paths": names, "weights": weights}]})
    )
    return folder / "model.json"


def keras_forward(arrays: dict[str, np.ndarray], picture: np.ndarray) -> torch.Tensor:
    """Keras's own arithmetic up to the end of its stage 2: BGR less a mean, biases, epsilon 1e-3."""

    def layer(x: Any, convolution: str, norm: str, stride: int = 1, pad: int = 0) -> Any:
        kernel = torch.from_numpy(arrays[f"{convolution}/kernel"].transpose(3, 2, 0, 1).copy())
        x = F.conv2d(x, kernel, torch.from_numpy(arrays[f"{convolution}/bias"]), stride, pad)
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        return F.batch_norm(x, *(torch.from_numpy(arrays[f"{norm}/{n}"]) for n in names), eps=1e-3)

    bgr = picture[..., ::-1].astype(np.float32) - 255 * np.array([0.406, 0.456, 0.485], np.float32)
    x = torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy())
    x = F.max_pool2d(F.relu(layer(x, "conv1", "bn_conv1", 2, 3)), 3, 2, 1)
    for block in "abc":
        name = f"2{block}_branch"
        y = F.relu(layer(x, f"res{name}2a", f"bn{name}2a"))
        y = F.relu(layer(y, f"res{name}2b", f"bn{name}2b", 1, 1))
        y = layer(y, f"res{name}2c", f"bn{name}2c")
        x = F.relu(y + (layer(x, f"res{name}1", f"bn{name}1") if block == "a" else x))
    return x


def test_the_network_computes_what_keras_does(tmp_path: Path) -> None:
    arrays = keras_weights()
    file = write_model(tmp_path, arrays)
    backbone = create_backbone("resnet50", stride_in="conv1").eval()
    load_start(backbone, file)
    seen = []
    backbone.layer1.register_forward_hook(lambda module, x, out: seen.append(out))
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        backbone(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float())
        wanted = keras_forward(arrays, picture)
    assert float((seen[0] - wanted).abs().max()) < 2e-3 * float(wanted.abs().max())


def test_files_that_are_none(tmp_path: Path) -> None:
    arrays = {"conv1/kernel": np.ones((7, 7, 3, 64), np.float32)}
    file = write_model(tmp_path, arrays, 2)
    assert np.array_equal(read_layers_model(file)["conv1/kernel"], arrays["conv1/kernel"])
    with pytest.raises(DataError, match="no tensor 'conv1/bias'"):
        read_keras_resnet50(file)
    (tmp_path / "group1-shard2of2.bin").write_bytes(b"")
    with pytest.raises(DataError, match="misses a part of conv1/kernel"):
        read_layers_model(file)
    (tmp_path / "group1-shard2of2.bin").unlink()
    with pytest.raises(DataError, match=r"group1-shard2of2\.bin cannot be read"):
        read_layers_model(file)
    for content, message in (
        ("[", "no TensorFlow.js"),
        ("{}", "no TensorFlow.js"),
        ("[1]", "no TensorFlow.js"),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            read_layers_model(file)
    weight = {"name": "a", "shape": [1], "dtype": "uint8"}
    file.write_text(json.dumps({"weightsManifest": [{"paths": [], "weights": [weight]}]}))
    with pytest.raises(DataError, match="a in uint8"):
        read_layers_model(file)
