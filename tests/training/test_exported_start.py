from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from torch import nn  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.models.registry import find_card  # noqa: E402
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.classifier_export import export_classifier  # noqa: E402
from maskgate.training.export import Storage  # noqa: E402
from maskgate.training.exported_start import (  # noqa: E402
    input_batches,
    load_convolutions,
    load_exported,
    read_convolutions,
    restore_norms,
    stride_of_export,
)
from maskgate.training.labelling import export_detector  # noqa: E402
from maskgate.training.starts import find_start  # noqa: E402

SIZE = 32


def trained(architecture: str, stride: str = "conv2", seed: int = 3) -> FaceClassifier:
    """A network whose normalisations are far from the fresh ones."""
    torch.manual_seed(seed)
    net = FaceClassifier(create_backbone(architecture, SIZE, stride))  # type: ignore[arg-type]
    net.train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        for _ in range(3):
            net(torch.rand(16, 3, SIZE, SIZE) * 255)
    return net.eval()


def pictures(number: int = 64, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, 4, 4, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear").round()


@pytest.mark.parametrize(
    ("architecture", "stride"),
    [("resnet18-layer2", "conv2"), ("resnet50-layer2", "conv1"),
     ("face-resnet3", "conv2"), ("mobilenet025", "conv2")],
)  # fmt: skip
def test_gives_back_what_was_exported(architecture: str, stride: str, tmp_path: Path) -> None:
    net = trained(architecture, stride)
    file = tmp_path / "model.onnx"
    export_classifier(net, 1.0, SIZE, file, "float32")
    torch.manual_seed(99)
    other = create_backbone(architecture, SIZE, stride)  # type: ignore[arg-type]
    x = pictures()
    load_exported(other, file, x.split(32))
    with torch.no_grad():
        wanted = net.backbone(x)
        torch.testing.assert_close(other.eval()(x), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
        # and it is ready to learn: the statistics of a training step are those that it has
        torch.testing.assert_close(
            other.train()(x), wanted, rtol=1e-2, atol=5e-3 * float(wanted.abs().max())
        )  # fmt: skip


@pytest.mark.parametrize("stride", ["conv1", "conv2"])
def test_stride_is_read_from_the_graph(stride: str, tmp_path: Path) -> None:
    export_classifier(trained("resnet50-layer2", stride), 1.0, SIZE, tmp_path / "m.onnx", "int8")
    assert stride_of_export(tmp_path / "m.onnx") == stride
    start, file = find_start(str(tmp_path / "m.onnx"), {}, [], "resnet50-layer2")
    assert (start.stride_in, file) == (stride, tmp_path / "m.onnx")


def test_the_classifier_that_ships_is_a_start() -> None:
    card = find_card("face-resnet", "classification")
    start, file = find_start("face-resnet", {}, [], "resnet50-layer2")
    assert file == card.path
    assert card.version in start.description
    backbone = create_backbone("resnet50-layer2", 80, start.stride_in)
    x = torch.nn.functional.interpolate(pictures(8), 80)
    load_exported(backbone, file, [x])
    model = onnx.load(file)  # its own features, as the runtime computes them
    features = next(n.output[0] for n in model.graph.node if n.op_type == "ReduceMean")
    model.graph.output.append(onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString())
    wanted = session.run([features], {"crops": x.permute(0, 2, 3, 1).byte().numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(backbone.eval()(x).numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_a_table_goes_before_models_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.pth").touch()
    _, file = find_start("face-resnet", {"face-resnet": {"file": "own.pth"}}, [tmp_path], "resnet18")
    assert file == tmp_path / "own.pth"


class TestFaults:
    def test_another_network(self, tmp_path: Path) -> None:
        export_classifier(trained("resnet18-layer2"), 1.0, SIZE, tmp_path / "m.onnx")
        with pytest.raises(DataError, match=r"has 10 convolutions, not 24; it is of another network"):
            load_exported(create_backbone("resnet50-layer2"), tmp_path / "m.onnx", [pictures(2)])

    def test_the_other_stride(self, tmp_path: Path) -> None:
        export_classifier(trained("resnet50-layer2", "conv1"), 1.0, SIZE, tmp_path / "m.onnx")
        with pytest.raises(
            DataError, match=r"has layer2\.0\.conv1 as .* with stride \(2, 2\), not .* with \(1, 1\)"
        ):
            load_exported(create_backbone("resnet50-layer2"), tmp_path / "m.onnx", [pictures(2)])

    def test_normalisations_that_no_convolution_goes_before(self, tmp_path: Path) -> None:
        export_classifier(trained("iresnet18"), 1.0, SIZE, tmp_path / "m.onnx")
        with pytest.raises(DataError, match="start from a run folder instead"):
            load_exported(create_backbone("iresnet18", SIZE), tmp_path / "m.onnx", [pictures(2)])

    def test_no_graph(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(b"no graph at all")
        with pytest.raises(DataError, match=r"m\.onnx cannot be read as ONNX|holds no convolution"):
            load_exported(create_backbone("resnet18-layer2"), tmp_path / "m.onnx", [pictures(2)])
        start, file = find_start(str(tmp_path / "m.onnx"), {}, [], "resnet18")
        assert (start.stride, file) == ("conv2", tmp_path / "m.onnx"), "others may make sense of it"


def test_batches_are_whole() -> None:
    batches = input_batches((torch.full((3, 2, 2), i, dtype=torch.uint8) for i in range(7)), 3)
    assert [b[:, 0, 0, 0].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5]]
    assert batches[0].dtype == torch.float32


def lively() -> RetinaFace:
    """A network whose normalisations all do something."""
    torch.manual_seed(2)
    net = RetinaFace()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_detector(lively(), file)
    return file


def answers(net: nn.Module, x: torch.Tensor) -> list[np.ndarray]:
    with torch.inference_mode():
        loc, scores, points = net.eval()(x)
    return [loc.numpy(), scores.softmax(-1).numpy(), points.numpy()]


def test_the_network_answers_as_the_file(exported: Path) -> None:
    torch.manual_seed(9)
    net = RetinaFace()
    load_convolutions(net, read_convolutions(exported), exported)
    x = torch.randn(2, 3, 96, 64) * 40
    wanted = ort.InferenceSession(str(exported)).run(None, {"input": x.numpy()})
    for got, want in zip(answers(net, x), wanted, strict=True):
        assert got == pytest.approx(want, abs=2e-3)
    batches = [torch.randn(4, 3, 64, 64) * 40 for _ in range(3)]
    restore_norms(net, batches)
    for got, want in zip(answers(net, x), wanted, strict=True):
        assert got == pytest.approx(want, abs=2e-3)


def test_normalisations_are_those_of_the_pictures(exported: Path) -> None:
    """In training, when they go by the batch, the network answers on those pictures as it does in use."""
    net = RetinaFace()
    load_convolutions(net, read_convolutions(exported), exported)
    batch = torch.randn(6, 3, 64, 64) * 40
    wanted = answers(net, batch)
    net.train()
    with torch.inference_mode():
        before = net(batch)[0].numpy()
    load_convolutions(net, read_convolutions(exported), exported)  # that has moved its statistics
    restore_norms(net, [batch[:2], batch[2:]])
    norm = net.body.stage1[0][1]
    inputs = net.body.stage1[0][0](batch)
    assert norm.running_mean.numpy() == pytest.approx(inputs.mean((0, 2, 3)).detach().numpy(), abs=1e-3)
    variance = inputs.var((0, 2, 3), unbiased=False).detach().numpy()
    assert norm.running_var.numpy() == pytest.approx(variance, rel=1e-3)
    net.train()
    with torch.inference_mode():
        trained = net(batch)[0].numpy()
    spread = float(np.abs(wanted[0]).mean())
    assert np.abs(trained - wanted[0]).mean() < 0.02 * spread
    assert np.abs(before - wanted[0]).mean() > 0.2 * spread  # without it they would not


@pytest.mark.parametrize(("storage", "slack"), [("float16", 0.001), ("int8", 0.01)])
def test_stored_weights_are_read(tmp_path: Path, storage: Storage, slack: float) -> None:
    net = lively()
    for name, kind in (("a.onnx", storage), ("b.onnx", "float32")):
        export_detector(net, tmp_path / name, storage=kind)
    small, large = (read_convolutions(tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert (tmp_path / "a.onnx").stat().st_size < 0.62 * (tmp_path / "b.onnx").stat().st_size
    for one, other in zip(small, large, strict=True):
        weight, wanted = one.weight, other.weight
        largest = wanted.abs().flatten(1).max(1).values.view(-1, 1, 1, 1)
        assert ((weight - wanted).abs() <= slack * largest + 1e-7).all()
        torch.testing.assert_close(one.bias, other.bias, atol=1e-3, rtol=1e-3)


def test_a_detector_of_another_width(exported: Path) -> None:
    found = read_convolutions(exported)
    with pytest.raises(DataError, match="it is of another network"):
        load_convolutions(RetinaFace("resnet50"), found, exported)
    with pytest.raises(
        DataError, match=r"has fpn\.output1\.0 as \(64, 64, 1, 1\) with stride .*, not \(48, 64, 1, 1\)"
    ):
        load_convolutions(RetinaFace(widths=(48, 16, 16)), found, exported)
