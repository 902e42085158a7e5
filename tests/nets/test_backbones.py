from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from maskgate.errors import InputError  # noqa: E402
from maskgate.nets.backbones import ARCHITECTURES, MobileNetFeatures, ResNetFeatures, create_backbone  # noqa: E402
from maskgate.nets.resnet import ResNet  # noqa: E402

LIGHT = [name for name in ARCHITECTURES if name not in ("resnet34", "resnet50", "iresnet34", "iresnet50")]


@pytest.mark.parametrize("name", LIGHT)
def test_every_one_gives_features(name: str) -> None:
    net = create_backbone(name).eval()
    with torch.inference_mode():
        out = net(torch.rand(2, 3, 112, 112) * 255)
    assert out.shape == (2, net.channels)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_stages_name_every_weight_once(name: str) -> None:
    net = create_backbone(name)
    parts = [net.get_submodule(n) for stage in net.stages for n in stage]
    listed = [id(p) for part in parts for p in part.parameters()]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in net.parameters()}


@pytest.mark.parametrize("cut", [2, 3, 4])
@pytest.mark.parametrize("stride_in", ["conv1", "conv2"])
def test_cut_network_is_the_beginning_of_the_whole(cut: int, stride_in: str) -> None:
    torch.manual_seed(0)
    whole = ResNet("resnet50", stride_in=stride_in).eval()
    part = ResNetFeatures("resnet50", cut, stride_in).eval()
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if k in part.state_dict()})
    x = torch.rand(1, 3, 64, 64) * 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (x / 255 - mean[None, :, None, None]) / deviation[None, :, None, None]
    with torch.inference_mode():
        wanted = whole.features(normal)[cut - 2].mean((2, 3))
        torch.testing.assert_close(part(x), wanted, rtol=1e-3, atol=1e-5)
    assert part.channels == wanted.shape[1]


def test_light_ones_are_light() -> None:
    count = {n: sum(p.numel() for p in create_backbone(n).parameters()) for n in
             ("mobilenet025", "face-resnet11", "resnet50-layer2", "resnet50-layer3")}  # fmt: skip
    assert count["mobilenet025"] < 0.3e6
    assert count["resnet50-layer2"] < 1.5e6
    assert count["face-resnet11"] < 2.1e6
    assert count["resnet50-layer3"] < 8.6e6
    assert MobileNetFeatures().channels == 256


def test_unknown_name() -> None:
    with pytest.raises(InputError, match=r"no architecture 'resnet19'; known are face-resnet3"):
        create_backbone("resnet19")


@pytest.mark.parametrize("name", ["mobilenet025", "resnet18-layer2"])
def test_pictures_are_normalised_as_for_imagenet(name: str) -> None:
    net = create_backbone(name).eval()
    first = net.conv1 if name.startswith("resnet") else net.stage1
    seen = []
    first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = torch.zeros(1, 3, 64, 64)
    x[0, :, 0, 1] = torch.tensor([255.0, 51, 102])
    with torch.inference_mode():
        net(x)
    black = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    colour = [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.4 - 0.406) / 0.225]
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(black, abs=1e-5)
    assert seen[0][0, :, 0, 1].tolist() == pytest.approx(colour, abs=1e-5)


def test_only_the_bottleneck_network_minds_where_the_stride_is() -> None:
    x = torch.rand(1, 3, 64, 64) * 255
    for name, alike in (("resnet18-layer2", True), ("resnet50-layer2", False)):
        first, second = (create_backbone(name, stride_in=place).eval() for place in ("conv1", "conv2"))
        second.load_state_dict(first.state_dict())
        with torch.inference_mode():
            assert torch.equal(first(x), second(x)) == alike
