from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402


def step(net: FaceClassifier) -> None:
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01)
    x = torch.rand(4, 3, 64, 64) * 255
    for _ in range(2):
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), torch.tensor([0, 1, 2, 0])).backward()
        optimiser.step()


@pytest.mark.parametrize("name", ["mobilenet025", "face-resnet7", "resnet18-layer2", "iresnet18"])
def test_frozen_groups_keep_every_bit(name: str) -> None:
    torch.manual_seed(0)
    net = FaceClassifier(create_backbone(name, size=64))
    stages = net.backbone.stages
    for frozen in (len(stages), len(stages) - 1, 0):
        net.freeze(frozen)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        step(net)
        after = net.state_dict()
        kept = tuple(f"backbone.{n}." for stage in stages[:frozen] for n in stage)
        for key, value in before.items():
            if key.startswith(kept) and kept:
                assert torch.equal(value, after[key]), key  # statistics of normalisation included
        assert not torch.equal(before["fc.weight"], after["fc.weight"])
        if frozen < len(stages):
            last = f"backbone.{stages[-1][0]}."
            assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith(last))


def test_the_last_scale_of_iresnet_never_learns() -> None:
    net = FaceClassifier(create_backbone("iresnet18", size=64))
    net.freeze(3)
    net.freeze(0)
    assert not net.backbone.features.weight.requires_grad
    assert all(p.requires_grad for n, p in net.named_parameters() if n != "backbone.features.weight")


def test_scores_are_a_linear_layer_over_features() -> None:
    net = FaceClassifier(create_backbone("mobilenet025"), dropout=0.9).eval()
    x = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        torch.testing.assert_close(net(x), F.linear(net.backbone(x), net.fc.weight, net.fc.bias))
    assert not torch.equal(net.train()(x), net(x))  # the dropout is at work


@pytest.mark.parametrize("name", ["mobilenet025", "face-resnet7"])
def test_freezing_nothing_undoes_it(name: str) -> None:
    torch.manual_seed(0)
    net = FaceClassifier(create_backbone(name, size=64))
    net.freeze(len(net.backbone.stages))
    step(net)
    net.freeze(0)
    assert all(module.training for module in net.modules())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    step(net)
    after = net.state_dict()
    for stage in net.backbone.stages:
        for part in stage:
            keys = [k for k in before if k.startswith(f"backbone.{part}.")]
            assert any(not torch.equal(before[k], after[k]) for k in keys), part
    for key in before:
        if "running" in key:
            assert not torch.equal(before[key], after[key]), key


def test_freezing_keeps_the_mode() -> None:
    net = FaceClassifier(create_backbone("mobilenet025")).eval()
    net.freeze(1)
    assert not any(module.training for module in net.modules())
    net.train()
    assert not net.backbone.stage1.training
    assert net.backbone.stage2.training
