from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from maskgate.detection.anchors import make_anchors  # noqa: E402
from maskgate.nets.retinaface import (  # noqa: E402
    Backbone,
    ExportedRetinaFace,
    FeaturePyramid,
    Head,
    RetinaFace,
    load_published,
)
from maskgate.training.export import export_onnx  # noqa: E402

AXES = {
    "input": {0: "batch", 2: "height", 3: "width"},
    "loc": {0: "batch", 1: "anchors"},
    "conf": {0: "batch", 1: "anchors"},
    "landmarks": {0: "batch", 1: "anchors"},
}


def made(backbone: Backbone, leaky: bool = False) -> RetinaFace:
    """Random weights with statistics that keep the maps alive."""
    torch.manual_seed(3)
    net = RetinaFace(backbone, leaky=leaky)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.1)
    return net.eval()


@pytest.mark.parametrize(
    ("backbone", "leaky"), [("mobilenet0.25", False), ("mobilenet0.25", True), ("resnet50", False)]
)
def test_graph_answers_as_the_network(tmp_path: Path, backbone: Backbone, leaky: bool) -> None:
    net = made(backbone, leaky)
    file = tmp_path / "net.onnx"
    export_onnx(ExportedRetinaFace(net), torch.zeros(1, 3, 64, 96), file, AXES)
    session = ort.InferenceSession(str(file))
    assert [node.name for node in session.get_inputs()] == ["input"]
    assert [node.name for node in session.get_outputs()] == ["loc", "conf", "landmarks"]
    rng = np.random.default_rng(0)
    for shape in ((1, 3, 64, 96), (2, 3, 65, 33)):
        x = rng.normal(0, 40, shape).astype(np.float32)
        with torch.inference_mode():
            loc, scores, landmarks = (out.numpy() for out in net(torch.from_numpy(x)))
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = (loc, powers / powers.sum(-1, keepdims=True), landmarks)
        anchors = len(make_anchors(shape[2], shape[3], ((1, 2), (1, 2), (1, 2))))
        for got, want, width in zip(session.run(None, {"input": x}), wanted, (4, 2, 10), strict=True):
            assert got.shape == (shape[0], anchors, width)
            np.testing.assert_allclose(got, want, atol=2e-3 * np.abs(want).max())


def test_the_variants_differ_in_no_tensor_but_in_their_answers() -> None:
    plain, leaky = made("mobilenet0.25"), made("mobilenet0.25", leaky=True)
    assert list(plain.state_dict()) == list(leaky.state_dict())
    leaky.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(plain(x)[0], leaky(x)[0])


@pytest.mark.parametrize(("backbone", "count"), [("mobilenet0.25", 300), ("resnet50", 456)])
def test_names_are_those_of_published_weights(backbone: Backbone, count: int) -> None:
    with torch.device("meta"):
        names = set(RetinaFace(backbone).state_dict())
    assert len(names) == count
    for level in (1, 2, 3):
        assert {f"fpn.output{level}.0.weight", f"ssh{level}.conv7x7_3.1.running_var"} <= names
    for head in ("ClassHead", "BboxHead", "LandmarkHead"):
        assert {f"{head}.{k}.conv1x1.bias" for k in range(3)} <= names
    body = "body.stage2.3.4.running_mean" if backbone == "mobilenet0.25" else "body.layer3.5.conv2.weight"
    assert body in names
    assert not any(name.startswith("body.fc") for name in names)


def test_published_weights_load(shared: Path) -> None:
    file = shared / "weights" / "detection" / "retinaface_mnet025_relu.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    net = RetinaFace("mobilenet0.25")
    load_published(net, state)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state.get(name, state.get(f"module.{name}")).to(tensor.dtype)), name


def test_wrapped_weights_with_a_head_load() -> None:
    source = made("mobilenet0.25")
    state = {f"module.{k}": v for k, v in source.state_dict().items() if "num_batches" not in k}
    state["module.body.fc.weight"] = torch.zeros(3, 3)
    net = RetinaFace("mobilenet0.25").eval()
    load_published(net, state)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for one, other in zip(net(x), source(x), strict=True):
            torch.testing.assert_close(one, other)


def test_weights_that_do_not_fit_are_named() -> None:
    state = made("mobilenet0.25").state_dict()
    missing = {k: v for k, v in state.items() if k != "fpn.merge1.0.weight"}
    with pytest.raises(KeyError, match=r"fpn\.merge1\.0\.weight"):
        load_published(RetinaFace("mobilenet0.25"), missing)
    with pytest.raises(KeyError, match=r"BboxHead\.0\.conv1x1\.bias"):
        load_published(RetinaFace("mobilenet0.25"), state | {"BboxHead.0.conv1x1.bias": torch.zeros(3)})


def test_unknown_backbone() -> None:
    with pytest.raises(ValueError, match="vgg"):
        RetinaFace("vgg")  # type: ignore[arg-type]


def test_head_gives_anchors_of_a_cell_together_row_by_row() -> None:
    torch.manual_seed(0)
    head = Head(5, 4, 2)
    x = torch.randn(2, 5, 3, 7)
    out = head(x)
    assert out.shape == (2, 3 * 7 * 2, 4)
    kernel, bias = head.conv1x1.weight[:, :, 0, 0], head.conv1x1.bias
    for row, column, anchor in ((0, 0, 0), (0, 6, 1), (2, 3, 1)):
        channels = kernel @ x[1, :, row, column] + bias
        wanted = channels[4 * anchor : 4 * anchor + 4]
        torch.testing.assert_close(out[1, (row * 7 + column) * 2 + anchor], wanted)


def test_pyramid_adds_the_coarser_map_from_above() -> None:
    """With identities for all convolutions: 1 + 10 + 100, each level enlarged by repeating."""
    pyramid = FeaturePyramid((1, 1, 1), 1, 0.0).eval()
    for name, module in pyramid.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            middle = module.kernel_size[0] // 2
            module.weight.data[0, 0, middle, middle] = 1
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
            assert module.num_features == 1, name
    coarse = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    middle = torch.full((1, 1, 4, 3), 10.0)
    fine = torch.full((1, 1, 7, 6), 100.0)
    p3, p4, p5 = pyramid((fine, middle, coarse))
    torch.testing.assert_close(p5, coarse)
    # 4 × 3 cells over 2 × 2: rows 0 0 1 1, columns 0 0 1
    rows, columns = [0, 0, 1, 1], [0, 0, 1]
    torch.testing.assert_close(p4[0, 0], 10 + coarse[0, 0][rows][:, columns])
    rows, columns = [4 * i // 7 for i in range(7)], [i // 2 for i in range(6)]
    torch.testing.assert_close(p3[0, 0], 100 + p4[0, 0][rows][:, columns])


class TestLabels:
    def test_scores_of_labels_beside_what_it_was(self) -> None:
        plain = made("mobilenet0.25")
        net = RetinaFace(labels=3).eval()
        before = {k: v.clone() for k, v in net.state_dict().items() if k.startswith("LabelHead.")}
        assert len(before) == 6
        load_published(net, plain.state_dict(), new=("LabelHead.",))
        for name, tensor in before.items():  # as random as it was
            assert torch.equal(net.state_dict()[name], tensor)
        x = torch.randn(2, 3, 65, 40) * 40
        with torch.inference_mode():
            *own, labels = net(x)
            for one, other in zip(own, plain(x), strict=True):
                assert torch.equal(one, other)
            maps = [
                ssh(p) for ssh, p in zip((net.ssh1, net.ssh2, net.ssh3), net.fpn(net.body(x)), strict=True)
            ]
            wanted = torch.cat([head(m) for head, m in zip(net.LabelHead, maps, strict=True)], 1)
        assert labels.shape == (2, own[0].shape[1], 3)
        assert torch.equal(labels, wanted)

    def test_weights_of_such_a_network_are_loaded_whole(self) -> None:
        torch.manual_seed(1)
        source, net = RetinaFace(labels=3), RetinaFace(labels=3)
        load_published(net, source.state_dict(), new=("LabelHead.",))
        for name, tensor in source.state_dict().items():
            assert torch.equal(net.state_dict()[name], tensor), name

    def test_only_what_is_new_may_be_missing(self) -> None:
        state = made("mobilenet0.25").state_dict()
        with pytest.raises(KeyError, match=r"LabelHead\.0"):
            load_published(RetinaFace(labels=3), state)
        del state["BboxHead.1.conv1x1.bias"]
        with pytest.raises(KeyError, match=r"BboxHead\.1\.conv1x1\.bias"):
            load_published(RetinaFace(labels=3), state, new=("LabelHead.",))
        two = RetinaFace(labels=2).state_dict()
        with pytest.raises(KeyError, match=r"LabelHead\.0\.conv1x1\.weight"):
            load_published(RetinaFace(labels=3), two, new=("LabelHead.",))
