from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from maskgate.nets.resnet import BasicBlock, Bottleneck, ResNet  # noqa: E402

# parameters that He et al.'s networks have as torchvision counts them, 1,000 classes
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet(name, 1000).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "widths"), [("resnet18", (128, 256, 512)), ("resnet50", (512, 1024, 2048))])
def test_maps_at_three_strides(name: str, widths: tuple[int, int, int]) -> None:
    net = ResNet(name).eval()
    assert net.channels == widths
    with torch.inference_mode():
        maps = net(torch.zeros(1, 3, 65, 96))
    for features, channels, stride in zip(maps, widths, (8, 16, 32), strict=True):
        assert features.shape == (1, channels, -(-65 // stride), 96 // stride)


def test_names_are_those_of_published_weights() -> None:
    with torch.device("meta"):
        names = set(ResNet("resnet50", 1000).state_dict())
    assert len(names) == 320
    for name in (
        "conv1.weight", "bn1.running_var", "layer1.0.conv3.weight", "layer1.0.downsample.0.weight",
        "layer2.3.bn2.num_batches_tracked", "layer4.2.conv3.weight", "layer4.0.downsample.1.bias", "fc.bias",
    ):  # fmt: skip
        assert name in names
    assert "layer1.1.downsample.0.weight" not in names


def test_scores_are_of_the_mean_map() -> None:
    torch.manual_seed(0)
    net = ResNet("resnet18", 7).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        mean = net.features(x)[2].flatten(2).mean(2)
        wanted = mean @ net.fc.weight.T + net.fc.bias
        torch.testing.assert_close(net(x), wanted)


@pytest.mark.parametrize(("place", "convolution"), [("conv1", "conv1"), ("conv2", "conv2")])
def test_place_of_the_stride(place: str, convolution: str) -> None:
    net = ResNet("resnet50", stride_in=place)
    block = net.get_submodule("layer3.0")
    strides = {name: getattr(block, name).stride for name in ("conv1", "conv2", "conv3")}
    assert strides.pop(convolution) == (2, 2)
    assert set(strides.values()) == {(1, 1)}


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_whose_branch_is_zero_passes_its_input_on(block: type[BasicBlock | Bottleneck]) -> None:
    torch.manual_seed(0)
    made = block(4 * block.expansion, 4, 1, "conv2").eval()
    last = made.bn3 if isinstance(made, Bottleneck) else made.bn2
    torch.nn.init.zeros_(last.weight)
    x = torch.randn(1, 4 * block.expansion, 6, 6)
    assert made.downsample is None
    torch.testing.assert_close(made(x), x.clamp(min=0))
