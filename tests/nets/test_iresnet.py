from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from maskgate.nets.iresnet import ImprovedBlock, IResNet  # noqa: E402


def test_names_and_shapes_of_the_published_file() -> None:
    """Some tensors of InsightFace's iresnet50, written down by hand."""
    state = IResNet("iresnet50").state_dict()
    wanted = {
        "conv1.weight": (64, 3, 3, 3), "bn1.running_mean": (64,), "prelu.weight": (64,),
        "layer1.0.bn1.weight": (64,), "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.0.downsample.0.weight": (64, 64, 1, 1), "layer1.0.downsample.1.running_var": (64,),
        "layer2.0.conv1.weight": (128, 64, 3, 3), "layer2.0.prelu.weight": (128,),
        "layer3.13.conv2.weight": (256, 256, 3, 3), "layer4.2.bn3.bias": (512,),
        "bn2.weight": (512,), "fc.weight": (512, 25088), "fc.bias": (512,), "features.running_var": (512,),
    }  # fmt: skip
    assert {name: tuple(state[name].shape) for name in wanted} == wanted
    assert "layer3.14.conv1.weight" not in state
    assert "layer1.1.downsample.0.weight" not in state


@pytest.mark.parametrize(
    ("name", "millions"), [("iresnet18", 24.03), ("iresnet34", 34.14), ("iresnet50", 43.59)]
)
def test_number_of_weights(name: str, millions: float) -> None:
    count = sum(p.numel() for p in IResNet(name).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(("inp", "out", "stride"), [(4, 4, 1), (4, 6, 2)])
def test_block_step_by_step(inp: int, out: int, stride: int) -> None:
    torch.manual_seed(0)
    block = ImprovedBlock(inp, out, stride).train()
    block(torch.randn(8, inp, 6, 6))  # statistics
    block.eval()
    x = torch.randn(2, inp, 6, 6)

    def norm(bn: torch.nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        centred = x - bn.running_mean[None, :, None, None]
        scale = bn.weight / torch.sqrt(bn.running_var + 1e-5)
        return centred * scale[None, :, None, None] + bn.bias[None, :, None, None]

    y = F.conv2d(norm(block.bn1, x), block.conv1.weight, padding=1)
    y = norm(block.bn2, y)
    y = torch.where(y > 0, y, y * block.prelu.weight[None, :, None, None])
    y = norm(block.bn3, F.conv2d(y, block.conv2.weight, stride=stride, padding=1))
    short = (
        x
        if block.downsample is None
        else norm(block.downsample[1], F.conv2d(x, block.downsample[0].weight, stride=stride))
    )
    with torch.inference_mode():
        torch.testing.assert_close(block(x), y + short, atol=1e-5, rtol=1e-4)


def test_input_is_scaled_to_one() -> None:
    net = IResNet("iresnet18", size=32).eval()
    x = torch.rand(2, 3, 32, 32) * 255
    seen = []
    net.conv1.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.inference_mode():
        assert net(x).shape == (2, 512)
    torch.testing.assert_close(seen[0], x / 127.5 - 1, atol=1e-5, rtol=1e-4)


def test_the_last_scale_never_learns() -> None:
    torch.manual_seed(0)
    net = IResNet("iresnet18", size=32).train()
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    assert torch.equal(before["features.weight"], torch.ones(512))
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    net(torch.rand(4, 3, 32, 32) * 255)[:, :8].square().sum().backward()
    optimiser.step()
    kept = [name for name, value in net.named_parameters() if torch.equal(value, before[name])]
    assert kept == ["features.weight"]


def test_dropout_comes_before_the_linear_layer() -> None:
    torch.manual_seed(0)
    net = IResNet("iresnet18", size=32, dropout=0.5).eval()
    seen = []
    net.fc.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    net.dropout.train()
    with torch.inference_mode():
        net(torch.rand(2, 3, 32, 32) * 255)
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
