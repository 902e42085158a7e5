from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import ExportedRetinaFace, RetinaFace  # noqa: E402
from maskgate.training.blending import BlendRecipe, blend  # noqa: E402
from maskgate.training.exported_start import fold_norms, read_convolutions  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.recipe import build  # noqa: E402


def single(weight: float, bias: float, mean: float, scale: float) -> nn.Sequential:
    """A 1×1 convolution and a normalisation: (weight x + bias - mean) * scale."""
    conv, norm = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=0)
    with torch.no_grad():
        conv.weight.fill_(weight)
        conv.bias.fill_(bias)
        norm.weight.fill_(scale)
        norm.running_mean.fill_(mean)
    return nn.Sequential(conv, norm).eval()


def detector(seed: int) -> RetinaFace:
    torch.manual_seed(seed)
    net = RetinaFace("mobilenet0.25").train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(4, 3, 64, 64) * 60)
    return net.eval()


def test_worked_out_by_hand() -> None:
    mixed = blend(single(2, 0, 1, 3), [single(4, 2, 0, 0.5), single(-1, 0, 0, 1)], [0.25, 0.25])
    # of three ones: 0.5 * (6 - 1) * 3 + 0.25 * (12 + 2) * 0.5 + 0.25 * -3
    assert mixed(torch.ones(1, 3, 1, 1)).item() == pytest.approx(8.5, rel=1e-5)


@pytest.mark.parametrize(("share", "like"), [(0.0, 1), (1.0, 2)])
def test_ends_are_the_networks_themselves(share: float, like: int) -> None:
    nets = [detector(1), detector(2)]
    x = torch.randn(2, 3, 96, 64) * 60
    with torch.no_grad():
        for a, b in zip(
            ExportedRetinaFace(blend(nets[0], nets[1:], [share]))(x),  # type: ignore[arg-type]
            ExportedRetinaFace(nets[like - 1])(x), strict=True,
        ):  # fmt: skip
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_networks_stay_as_they_are() -> None:
    nets = [detector(1), detector(2)]
    before = [{k: v.clone() for k, v in net.state_dict().items()} for net in nets]
    blend(nets[0], nets[1:], [0.5])
    for net, state in zip(nets, before, strict=True):
        for key, value in net.state_dict().items():
            assert torch.equal(value, state[key])


def test_folds_as_the_export_does(tmp_path: Path) -> None:
    net = detector(3)
    export_detector(net, tmp_path / "m.onnx")
    wanted = read_convolutions(tmp_path / "m.onnx")
    own = fold_norms(net)
    assert len(own) == len(wanted)
    for a, b in zip(own, wanted, strict=True):
        assert a.stride == b.stride
        torch.testing.assert_close(a.weight, b.weight, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(a.bias, b.bias, rtol=1e-4, atol=1e-5)


def test_another_architecture() -> None:
    with pytest.raises(DataError, match="another architecture"):
        blend(detector(1), [RetinaFace("mobilenet0.25", widths=(48, 16, 16)).eval()], [0.5])


@pytest.mark.parametrize(
    ("table", "message"),
    [({"networks": [], "shares": []}, "a share for each"),
     ({"networks": ["a"], "shares": [0.1, 0.2]}, "a share for each"),
     ({"networks": ["a"], "shares": [-0.1]}, "none under 0"),
     ({"networks": ["a", "b"], "shares": [0.6, 0.6]}, "together 1 at most")],
)  # fmt: skip
def test_recipes_that_cannot_be(table: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(BlendRecipe, table, "[blend]")
