from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.detector_pruning import prune, widths_of  # noqa: E402

PRODUCERS = ("fpn.output1", "fpn.output2", "fpn.output3", "fpn.merge1", "fpn.merge2")


def network(labels: int = 0) -> RetinaFace:
    torch.manual_seed(4)
    net = RetinaFace(labels=labels)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def silence(net: RetinaFace, layer: str, channels: list[int]) -> None:
    """Makes channels carry nothing."""
    norm = net.get_submodule(f"{layer}.1")
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight[channels] = 0
        norm.bias[channels] = 0


@pytest.mark.parametrize("labels", [0, 3])
def test_channels_that_do_nothing_are_cut_and_nothing_changes(labels: int) -> None:
    net = network(labels)
    rng = torch.Generator().manual_seed(1)
    lots = {n: torch.randperm(n, generator=rng)[: n - k].tolist() for n, k in ((64, 48), (32, 16), (16, 12))}
    for layer in PRODUCERS:
        silence(net, layer, lots[64])  # the pyramid's channels are shared by its layers
    for k in (1, 2, 3):
        silence(net, f"ssh{k}.conv3X3", lots[32])
        for part in ("conv5X5_1", "conv5X5_2", "conv7X7_2", "conv7x7_3"):
            silence(net, f"ssh{k}.{part}", lots[16])
    small = RetinaFace(widths=(48, 16, 12), labels=labels).eval()
    state = prune(net.state_dict(), (48, 16, 12))
    assert widths_of(state) == (48, 16, 12)
    small.load_state_dict(state)
    x = torch.randn(2, 3, 96, 64) * 40
    with torch.inference_mode():
        for one, other in zip(small(x), net(x), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_nothing_to_cut() -> None:
    net = network()
    state = prune(net.state_dict(), (64, 32, 16))
    for name, tensor in net.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_what_is_cut_is_not_changed_in_place() -> None:
    net = network()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    prune(net.state_dict(), (32, 16, 16))
    for name, tensor in net.state_dict().items():
        assert torch.equal(before[name], tensor), name


def test_it_cannot_grow() -> None:
    with pytest.raises(DataError, match=r"\(64, 32, 16\), which cannot become \(64, 48, 16\)"):
        prune(network().state_dict(), (64, 48, 16))
