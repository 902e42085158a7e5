from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.mobilenet import MobileNetV1  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.detector_network import DetectorNetwork, create_network  # noqa: E402
from maskgate.training.labelling import export_detector  # noqa: E402


def inputs() -> list[Tensor]:
    return [torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 40]


def never() -> list[Tensor]:
    raise AssertionError("pictures are not needed")


def made(start: Path | str, pictures: Any = never, starts: Any = None, **fields: Any) -> RetinaFace:
    network = DetectorNetwork(str(start), **fields)
    return create_network(network, starts or {}, [], 3, pictures).eval()


def save(net: torch.nn.Module, file: Path, prefix: str = "") -> Path:
    save_file({prefix + k: v.contiguous() for k, v in net.state_dict().items()}, file)
    return file


def test_from_nothing() -> None:
    one, other = made("scratch"), made("scratch")
    assert torch.equal(one.fpn.output1[0].weight, other.fpn.output1[0].weight)
    assert one.widths == (64, 32, 16)
    assert made("scratch", widths=(48, 16, 16)).widths == (48, 16, 16)


def test_from_a_detector(tmp_path: Path) -> None:
    torch.manual_seed(1)
    detector = RetinaFace()
    net = made(save(detector, tmp_path / "model.safetensors", "module."))
    for name, tensor in detector.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name
    small = made(tmp_path / "model.safetensors", widths=(48, 16, 16))
    assert small.widths == (48, 16, 16)
    assert torch.equal(small.body.stage3[1][3].weight, detector.body.stage3[1][3].weight)
    chosen = small.fpn.merge1[0].weight
    assert chosen.shape == (48, 48, 3, 3)
    assert np.isin(chosen.detach().numpy(), detector.fpn.merge1[0].weight.detach().numpy()).all()


@pytest.mark.parametrize("widths", [(), (48, 16, 16)])
def test_from_an_exported_detector(tmp_path: Path, widths: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    detector = RetinaFace(widths=(48, 24, 16)) if widths else RetinaFace()
    export_detector(detector, tmp_path / "model.onnx")
    net = made(tmp_path / "model.onnx", inputs, widths=widths)
    assert net.widths == (widths or (64, 32, 16))
    x = inputs()[0]
    with torch.inference_mode():
        wanted, got = detector.eval()(x)[1], net(x)[1]
    if not widths:
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)
    else:  # cut from a file that is narrow already
        assert got.shape == wanted.shape


def test_imagenet_backbone_sees_what_it_was_trained_on(tmp_path: Path) -> None:
    """RGB over 255, less the mean, over the deviation, there; BGR less the mean here."""
    torch.manual_seed(1)
    body = MobileNetV1()
    net = made(save(body, tmp_path / "backbone.safetensors"))
    rgb = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    mean, deviation = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    theirs = (rgb / 255 - mean) / deviation
    ours = rgb.flip(1) - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
    with torch.inference_mode():
        first = body.stage1[0][0](theirs)
        assert (net.body.stage1[0][0](ours) - first).abs().max() < 0.02 * first.abs().max()


def test_resnet_with_its_stride(tmp_path: Path) -> None:
    torch.manual_seed(1)
    body = RetinaFace("resnet50", stride_in="conv1").body
    save(body, tmp_path / "resnet50.safetensors")
    starts = {"own": {"file": str(tmp_path / "resnet50.safetensors"), "stride": "conv1"}}
    net = made("own", starts=starts, backbone="resnet50")
    assert net.body.layer2[0].conv1.stride == (2, 2)
    assert net.body.layer2[0].conv2.stride == (1, 1)
    assert torch.equal(net.body.layer4[2].conv3.weight, body.layer4[2].conv3.weight)
    assert net.widths == (256, 128, 64)


def test_start_of_another_network(tmp_path: Path) -> None:
    detector = save(RetinaFace(), tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="is no start for resnet50"):
        made(detector, backbone="resnet50", widths=(64, 32, 16))
    with pytest.raises(DataError, match="cannot become"):
        made(detector, widths=(96, 32, 16))
    body = save(MobileNetV1(16), tmp_path / "wide.safetensors")
    with pytest.raises(DataError, match="another network"):
        made(body)
    with pytest.raises(DataError, match="needs the file gone"):
        made("gone.pth")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backbone": "vgg"}, "no backbone 'vgg'"),
        ({"widths": [64, 32]}, "three numbers"),
        ({"widths": [64, 32, 0]}, "three numbers"),
        ({"storage": "int4"}, "storage = 'int4'"),
        ({"frozen": "body"}, "frozen = 'body'"),
    ],
)
def test_fields_that_mean_nothing(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        DetectorNetwork.of({"start": "scratch", **fields, "loop": {}})
