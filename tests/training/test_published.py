"""Published weights as models: the answers are those of the published network, written down again here.

The reference takes nothing from our networks: its layers, their order and the tensors' names and shapes are
Pytorch_Retinaface's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from maskgate.detection import create_detector  # noqa: E402
from maskgate.detection.retinaface import RetinaFaceDetector  # noqa: E402
from maskgate.errors import DataError, InputError  # noqa: E402
from maskgate.models import ModelCard, RuntimeOptions  # noqa: E402
from maskgate.training import published  # noqa: E402
from maskgate.training.published import ImportOptions, Published, import_published  # noqa: E402

State = dict[str, Tensor]
MOBILENET, RESNET = "mobilenet0.25", "resnet50"

# (channels in, channels out, stride) of the separable convolutions
STAGES = {
    "stage1": [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)],
    "stage2": [(64, 128, 2), *[(128, 128, 1)] * 5],
    "stage3": [(128, 256, 2), (256, 256, 1)],
}
LAYERS = [("layer1", 64, 3, 1), ("layer2", 128, 4, 2), ("layer3", 256, 6, 2), ("layer4", 512, 3, 2)]
CONTEXT = ("conv3X3", "conv5X5_1", "conv5X5_2", "conv7X7_2", "conv7x7_3")


def shapes(backbone: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of the file: convolutions ``(out, in, k, k)``; one of a single size is a batch norm's."""

    def conv(name: str, norm: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm}.{part}", shape[:1]
        yield f"{norm}.num_batches_tracked", ()

    if backbone == MOBILENET:
        yield from conv("body.stage1.0.0", "body.stage1.0.1", 8, 3, 3, 3)
        for stage, blocks in STAGES.items():
            for i, (inp, out, _) in enumerate(blocks, 1 if stage == "stage1" else 0):
                at = f"body.{stage}.{i}"
                yield from conv(f"{at}.0", f"{at}.1", inp, 1, 3, 3)
                yield from conv(f"{at}.3", f"{at}.4", out, inp, 1, 1)
        inputs, width = (64, 128, 256), 64
    else:
        yield from conv("body.conv1", "body.bn1", 64, 3, 7, 7)
        inp = 64
        for layer, middle, depth, _ in LAYERS:
            for i in range(depth):
                at = f"body.{layer}.{i}"
                yield from conv(f"{at}.conv1", f"{at}.bn1", middle, inp, 1, 1)
                yield from conv(f"{at}.conv2", f"{at}.bn2", middle, middle, 3, 3)
                yield from conv(f"{at}.conv3", f"{at}.bn3", 4 * middle, middle, 1, 1)
                if i == 0:
                    yield from conv(f"{at}.downsample.0", f"{at}.downsample.1", 4 * middle, inp, 1, 1)
                inp = 4 * middle
        inputs, width = (512, 1024, 2048), 256
    for i, own in enumerate(inputs, 1):
        yield from conv(f"fpn.output{i}.0", f"fpn.output{i}.1", width, own, 1, 1)
    for name in ("merge1", "merge2"):
        yield from conv(f"fpn.{name}.0", f"fpn.{name}.1", width, width, 3, 3)
    for k in (1, 2, 3):
        sizes = [(width // 2, width), (width // 4, width), *[(width // 4, width // 4)] * 3]
        for name, (out, own) in zip(CONTEXT, sizes, strict=True):
            yield from conv(f"ssh{k}.{name}.0", f"ssh{k}.{name}.1", out, own, 3, 3)
    for head, values in (("ClassHead", 2), ("BboxHead", 4), ("LandmarkHead", 10)):
        for i in range(3):
            yield f"{head}.{i}.conv1x1.weight", (2 * values, width, 1, 1)
            yield f"{head}.{i}.conv1x1.bias", (2 * values,)


def random_state(backbone: str, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in shapes(backbone):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) == 4:
            fan = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        elif name.endswith(".weight"):
            # small in what a residual block adds, or sixteen blocks would let the values grow out of hand
            state[name] = (0.3 if "bn3" in name else 1.0) + 0.1 * torch.randn(shape, generator=generator)
        else:
            state[name] = 0.1 * torch.randn(shape, generator=generator)
    return state


def answer(state: State, backbone: str, x: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, scores after the softmax and landmark offsets, as the published network gives them."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        mean, var, scale, shift = (
            state[f"{norm}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / torch.sqrt(var + 1e-5) * scale + shift

    def active(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, slope * x)

    def block(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return active(layer(x, f"{name}.0", f"{name}.1", stride))

    def grow(x: Tensor, like: Tensor) -> Tensor:
        (h, w), (own_h, own_w) = like.shape[2:], x.shape[2:]
        rows = torch.tensor([i * own_h // h for i in range(h)])
        return x[:, :, rows][..., torch.tensor([i * own_w // w for i in range(w)])]

    maps = []
    if backbone == MOBILENET:
        x = block(x, "body.stage1.0", 2)
        for stage, blocks in STAGES.items():
            for i, (inp, _, stride) in enumerate(blocks, 1 if stage == "stage1" else 0):
                at = f"body.{stage}.{i}"
                x = active(layer(x, f"{at}.0", f"{at}.1", stride, groups=inp))
                x = active(layer(x, f"{at}.3", f"{at}.4"))
            maps.append(x)
    else:
        x = torch.relu(layer(x, "body.conv1", "body.bn1", 2))
        x = F.max_pool2d(x, 3, 2, 1)
        for name, _, depth, stride in LAYERS:
            for i in range(depth):
                at, own = f"body.{name}.{i}", stride if i == 0 else 1
                y = torch.relu(layer(x, f"{at}.conv1", f"{at}.bn1"))
                y = torch.relu(layer(y, f"{at}.conv2", f"{at}.bn2", own))
                y = layer(y, f"{at}.conv3", f"{at}.bn3")
                if i == 0:
                    x = layer(x, f"{at}.downsample.0", f"{at}.downsample.1", own)
                x = torch.relu(x + y)
            maps.append(x)
        maps = maps[1:]

    fine, middle, coarse = (block(m, f"fpn.output{i}") for i, m in enumerate(maps, 1))
    middle = block(middle + grow(coarse, middle), "fpn.merge2")
    fine = block(fine + grow(middle, fine), "fpn.merge1")
    features = []
    for k, own in enumerate((fine, middle, coarse), 1):
        near, half, wide, seven, far = (f"ssh{k}.{name}" for name in CONTEXT)
        five = block(own, half)
        parts = [
            layer(own, f"{near}.0", f"{near}.1"),
            layer(five, f"{wide}.0", f"{wide}.1"),
            layer(block(five, seven), f"{far}.0", f"{far}.1"),
        ]
        features.append(torch.relu(torch.cat(parts, 1)))

    def head(kind: str, width: int) -> Tensor:
        outputs = []
        for i, own in enumerate(features):
            y = F.conv2d(own, state[f"{kind}.{i}.conv1x1.weight"], state[f"{kind}.{i}.conv1x1.bias"])
            outputs.append(y.permute(0, 2, 3, 1).reshape(len(y), -1, width))
        return torch.cat(outputs, 1)

    return head("BboxHead", 4), head("ClassHead", 2).softmax(-1), head("LandmarkHead", 10)


@pytest.fixture(autouse=True)
def own_folder(own_models: Path) -> Path:
    return own_models


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks and pictures are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a state dict as PyTorch does; ``known`` lets it be one of the published files."""

    def write(state: State, name: str = "weights.pth", known: dict[str, Any] | None = None) -> Path:
        file = tmp_path / name
        torch.save(state, file)
        if known is not None:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            table = (Published(name, file.stat().st_size, digest, **known),)
            monkeypatch.setattr(published, "PUBLISHED", table)
        return file

    return write


def check_parity(card: ModelCard, state: State, backbone: str, slope: float) -> RetinaFaceDetector:
    detector = create_detector(card.name, RuntimeOptions(threads=1))
    assert isinstance(detector, RetinaFaceDetector)
    rng = np.random.default_rng(1)
    for shape in ((1, 3, 64, 96), (2, 3, 65, 33)):
        x = rng.normal(0, 40, shape).astype(np.float32)
        with torch.inference_mode():
            wanted = answer(state, backbone, torch.from_numpy(x), slope)
        for got, want in zip(detector.run(x), wanted, strict=True):
            assert got.shape == tuple(want.shape)
            assert want.std() > 1e-3
            np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-4 * float(want.abs().max()))
    return detector


@pytest.mark.parametrize(
    ("backbone", "file", "leaky", "slope"),
    [(MOBILENET, "mobilenet0.25_Final.pth", True, 0.1), (RESNET, "Resnet50_Final.pth", False, 0.0)],
)
def test_a_published_file_answers_as_the_published_network(
    save: Callable[..., Path], own_folder: Path, backbone: str, file: str, leaky: bool, slope: float
) -> None:
    state = random_state(backbone)
    saved = state if backbone == RESNET else {f"module.{name}": v for name, v in state.items()}
    card = import_published(save(saved, file, {"leaky": leaky}))
    names = {MOBILENET: "retinaface-mobilenet025-widerface", RESNET: "retinaface-resnet50-widerface"}
    assert card.name == names[backbone]
    assert card.folder == own_folder
    assert card.licence == "non-commercial data: not shipped"
    assert card.training["start"] == file
    assert card.training["checked"] is True
    assert sorted(path.suffix for path in own_folder.iterdir()) == [".json", ".onnx"]
    detector = check_parity(card, state, backbone, slope)
    assert detector.settings.anchors == ((16, 32), (64, 128), (256, 512))


def test_the_published_files_are_told_by_their_sha256() -> None:
    assert {p.file: (p.bytes, len(p.sha256), p.leaky) for p in published.PUBLISHED} == {
        "Resnet50_Final.pth": (109497761, 64, False),
        "mobilenet0.25_Final.pth": (1789735, 64, True),
    }


def test_another_file_wants_its_sha256_or_a_word(save: Callable[..., Path], own_folder: Path) -> None:
    state = random_state(MOBILENET)
    file = save(state)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=rf"has the sha256 {digest}, which is not that of the published"):
        import_published(file)
    with pytest.raises(DataError, match=rf"has the sha256 {digest}, not {'0' * 64}; fetch it again"):
        import_published(file, ImportOptions(sha256="0" * 64))
    assert not list(own_folder.iterdir())
    options = ImportOptions(
        name="vouched", sha256=digest.upper(), leaky=False, anchors=((10, 20), (32, 64), (128, 256))
    )
    card = import_published(file, options)
    assert card.training["checked"] is True
    assert (card.training["sha256"], card.training["activation"]) == (digest, "relu")
    detector = check_parity(card, state, MOBILENET, 0.0)
    assert detector.settings.anchors == ((10, 20), (32, 64), (128, 256))


def test_a_file_that_was_cut_off(save: Callable[..., Path], own_folder: Path) -> None:
    file = save(random_state(MOBILENET), known={"leaky": True})
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    with pytest.raises(DataError, match=rf"has {len(data) - 100} of the published {len(data)} bytes"):
        import_published(file)
    assert not list(own_folder.iterdir())


def test_published_weights_of_a_kind(shared: Path, astronaut: np.ndarray) -> None:
    """A file of the same names from elsewhere: it answers as the reference, and it finds the face."""
    file = shared / "weights" / "detection" / "retinaface_mnet025_relu.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    options = ImportOptions(unchecked=True, leaky=False, anchors=((10, 20), (32, 64), (128, 256)))
    card = import_published(file, options)
    assert card.training["checked"] is False
    plain = {name.removeprefix("module."): v for name, v in state.items()}
    detector = check_parity(card, plain, MOBILENET, 0.0)
    (found,) = detector.detect([astronaut])
    assert len(found) == 1
    x1, y1, x2, y2 = found.boxes[0]
    assert x1 < 224 < x2  # between her eyes
    assert y1 < 115 < y2


def test_a_name_that_is_taken(
    save: Callable[..., Path], own_folder: Path, add_model: Callable[..., ModelCard]
) -> None:
    file = save(random_state(MOBILENET), known={"leaky": True})
    add_model("retinaface-mobilenet025-widerface", b"before")
    before = {path: path.read_bytes() for path in own_folder.iterdir()}
    with pytest.raises(InputError, match="run: maskgate models remove retinaface-mobilenet025-widerface"):
        import_published(file)
    assert {path: path.read_bytes() for path in own_folder.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fpn.merge1.0.weight": None}, r"is no RetinaFace with MobileNetV1×0\.25: .*fpn\.merge1\.0\.weight"),
        ({"ClassHead.1.conv1x1.bias": torch.zeros(5)}, r"ClassHead\.1\.conv1x1\.bias"),
        ({"fpn.output1.0.weight": None}, "it has no pyramid of 64 or 256 channels"),
        ({"fpn.output1.0.weight": torch.zeros(7, 64, 1, 1)}, "it has no pyramid of 64 or 256 channels"),
        ({"fpn.output1.0.weight": torch.tensor(1.0)}, "it has no pyramid of 64 or 256 channels"),
    ],
)
def test_weights_of_another_network(
    save: Callable[..., Path], own_folder: Path, change: dict[str, Tensor | None], said: str
) -> None:
    state = {k: v for k, v in (random_state(MOBILENET) | change).items() if v is not None}
    with pytest.raises(DataError, match=said):
        import_published(save(state), ImportOptions(unchecked=True))
    assert not list(own_folder.iterdir())


def test_nothing_in_the_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    file = tmp_path / "trap.pth"
    torch.save({"fpn.output1.0.weight": Trap()}, file)
    with pytest.raises(DataError, match=r"trap\.pth cannot be read as weights"):
        import_published(file, ImportOptions(unchecked=True))
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth cannot be read: No such file"):
        import_published(tmp_path / "gone.pth")
