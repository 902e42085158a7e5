from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from maskgate.nets.inception_resnet import (  # noqa: E402
    ExportedFaceNet,
    InceptionResNetV1,
    load_published,
    unpacked,
    whiten,
)

FILE = "weights/face/facenet_inception_resnet_v1_int8.safetensors"


def lively(seed: int) -> InceptionResNetV1:
    """Random weights, and statistics as if it had learnt."""
    torch.manual_seed(seed)
    net = InceptionResNetV1().eval()
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(0, 0.1)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5)
    return net


def plain(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network as the paper's figures have it, read off the tensors' names and shapes."""

    def unit(x: Tensor, name: str, stride: int = 1, pad: bool = True) -> Tensor:
        w = state[f"{name}.conv.weight"]
        rim = (w.shape[2] // 2, w.shape[3] // 2) if pad else 0
        x = F.conv2d(x, w, None, stride, rim)
        g, b, m, v = (state[f"{name}.bn.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
        scale = g / (v + 0.001) ** 0.5
        return (x * scale[:, None, None] + (b - m * scale)[:, None, None]).clamp(min=0)

    def path(x: Tensor, name: str, count: int) -> Tensor:
        for i in range(count):
            x = unit(x, f"{name}.{i}")
        return x

    def residual(x: Tensor, name: str, counts: tuple[int, ...], scale: float) -> Tensor:
        parts = [unit(x, f"{name}.branch0")]
        parts += [path(x, f"{name}.branch{i + 1}", count) for i, count in enumerate(counts)]
        up = F.conv2d(torch.cat(parts, 1), state[f"{name}.conv2d.weight"], state[f"{name}.conv2d.bias"])
        return x + scale * up

    x = unit(unit(unit(x, "conv2d_1a", 2, False), "conv2d_2a", 1, False), "conv2d_2b")
    x = unit(unit(F.max_pool2d(x, 3, 2), "conv2d_3b"), "conv2d_4a", 1, False)
    x = unit(x, "conv2d_4b", 2, False)
    for i in range(5):
        x = residual(x, f"repeat_1.{i}", (2, 3), 0.17).clamp(min=0)
    six = [unit(x, "mixed_6a.branch0", 2, False)]
    six += [unit(path(x, "mixed_6a.branch1", 2), "mixed_6a.branch1.2", 2, False), F.max_pool2d(x, 3, 2)]
    x = torch.cat(six, 1)
    for i in range(10):
        x = residual(x, f"repeat_2.{i}", (3,), 0.1).clamp(min=0)
    seven = [unit(path(x, f"mixed_7a.branch{i}", n), f"mixed_7a.branch{i}.{n}", 2, False)
             for i, n in enumerate((1, 1, 2))]  # fmt: skip
    x = torch.cat([*seven, F.max_pool2d(x, 3, 2)], 1)
    for i in range(5):
        x = residual(x, f"repeat_3.{i}", (3,), 0.2).clamp(min=0)
    x = residual(x, "block8", (3,), 1.0)
    x = x.mean((2, 3)) @ state["last_linear.weight"].T
    g, b, m, v = (state[f"last_bn.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
    x = (x - m) / (v + 0.001) ** 0.5 * g + b
    return x / (x**2).sum(1, keepdim=True) ** 0.5


def test_against_a_plain_pass() -> None:
    net, x = lively(1), torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), plain(net.state_dict(), x), rtol=1e-3, atol=1e-4)


def test_smallest_input() -> None:
    net = lively(2)
    with torch.inference_mode():
        assert net(torch.randn(1, 3, 75, 75)).shape == (1, 128)
        with pytest.raises(RuntimeError):
            net(torch.randn(1, 3, 74, 74))


def test_whiten_against_numpy() -> None:
    pictures = np.random.default_rng(0).normal(90, 30, (2, 3, 8, 9)).astype(np.float32)
    wanted = [(p - p.mean()) / p.std() for p in pictures]
    np.testing.assert_allclose(whiten(torch.from_numpy(pictures)).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_plain_picture_stays_plain() -> None:
    flat = torch.full((1, 3, 4, 4), 7.0)
    flat[0, 0, 0, 0] = 7.001
    assert float(whiten(flat).abs().max()) < 0.01  # its own deviation would make it 6.8


def test_unpacked_by_hand() -> None:
    whole = torch.tensor([[[[1, -2]]], [[[3, 127]]]], dtype=torch.int8)
    state = {"a.weight": whole, "a.weight.scale": torch.tensor([0.5, 2]), "b.scale": torch.ones(1)}
    plain_state = unpacked(state)
    assert sorted(plain_state) == ["a.weight", "b.scale"]
    assert plain_state["a.weight"].flatten().tolist() == [0.5, -1, 6, 254]


def test_load_published_finds_the_width_and_drops_a_head() -> None:
    state = InceptionResNetV1(512).state_dict()
    net = load_published(state | {"logits.weight": torch.zeros(9, 512)})
    assert not net.training
    assert net.last_linear.out_features == 512


def test_load_published_names_what_does_not_fit() -> None:
    state = InceptionResNetV1().state_dict()
    with pytest.raises(KeyError, match=r"block8\.conv2d\.bias"):
        load_published({k: v for k, v in state.items() if k != "block8.conv2d.bias"})
    with pytest.raises(KeyError, match=r"conv2d_1a\.conv\.weight"):
        load_published(state | {"conv2d_1a.conv.weight": torch.zeros(1)})


def test_published_weights_know_one_face_from_another(shared: Path, astronaut: np.ndarray) -> None:
    state = load_file(shared / FILE)
    net = ExportedFaceNet(load_published(state))
    assert set(unpacked(state)) == set(net.net.state_dict())
    face = astronaut[45:195, 150:300]
    darker = cv2.convertScaleAbs(astronaut[35:185, 140:290], alpha=0.6, beta=10)
    other = cv2.imread(str(min((shared / "data" / "crops" / "celeb12k" / "no_mask").iterdir())))[..., ::-1]
    crops = np.stack([cv2.resize(np.ascontiguousarray(c), (160, 160)) for c in (face, darker, other)])
    with torch.inference_mode():
        embeddings = net(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose((embeddings**2).sum(1), 1, rtol=1e-4)
    alike = embeddings @ embeddings.T
    assert alike[0, 1] > 0.85
    assert alike[0, 2] < 0.5
    assert alike[1, 2] < 0.5
