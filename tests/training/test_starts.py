from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file, save_file  # noqa: E402

from maskgate.errors import DataError  # noqa: E402
from maskgate.nets.backbones import create_backbone  # noqa: E402
from maskgate.nets.classifier import FaceClassifier  # noqa: E402
from maskgate.training.starts import Start, find_start, load_start, read_state  # noqa: E402


def filled(name: str) -> dict[str, torch.Tensor]:
    """Weights of a network, all different from a fresh one's."""
    torch.manual_seed(7)
    state = create_backbone(name).state_dict()
    return {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in state.items()}


def same(backbone: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = backbone.state_dict()
    return all(torch.equal(own[k], state[k]) for k in own if not k.endswith("num_batches_tracked"))


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "net_state_dict", "model", "module", "backbone"])
def test_files_that_people_have(tmp_path: Path, wrap: str) -> None:
    state = filled("resnet18")
    extra = state | {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}  # torchvision's head
    content: object = extra
    if wrap in ("state_dict", "net_state_dict", "model"):
        content = {wrap: extra, "epoch": 3}
    elif wrap in ("module", "backbone"):
        content = {f"{wrap}.{k}": v for k, v in extra.items()}
    torch.save(content, tmp_path / "resnet18.pth")
    backbone = create_backbone("resnet18")
    names = load_start(backbone, tmp_path / "resnet18.pth")
    assert same(backbone, state)
    assert not any(n.startswith("fc.") for n in names)


def test_a_cut_network_takes_the_beginning(tmp_path: Path) -> None:
    state = filled("resnet18")
    save_file(state, tmp_path / "r.safetensors")
    backbone = create_backbone("resnet18-layer2")
    load_start(backbone, tmp_path / "r.safetensors")
    assert same(backbone, state)


def test_insightface_backbone(tmp_path: Path) -> None:
    state = filled("iresnet18")
    torch.save(state, tmp_path / "backbone.pth")
    backbone = create_backbone("iresnet18")
    load_start(backbone, tmp_path / "backbone.pth")
    assert same(backbone, state)
    with pytest.raises(DataError, match=r"'fc.weight' as \(512, 25088\), not \(512, 8192\)"):
        load_start(create_backbone("iresnet18", size=64), tmp_path / "backbone.pth")


def test_the_face_recognition_start(shared: Path) -> None:
    file = shared / "weights" / "face" / "dlib_resnet29.safetensors"
    backbone = create_backbone("face-resnet11")
    load_start(backbone, file)
    published = load_file(file)
    assert same(backbone, {k: v.float() for k, v in published.items()})


def test_mobilenet_with_imagenet_weights(shared: Path) -> None:
    load_start(
        create_backbone("mobilenet025"), shared / "weights" / "detection" / "mobilenetv1x0.25_imagenet.pth"
    )


def test_another_network_is_named(tmp_path: Path) -> None:
    torch.save(filled("resnet18"), tmp_path / "r.pth")
    with pytest.raises(
        DataError, match=r"r\.pth has 'layer1\.0\.conv1\.weight' as \(64, 64, 3, 3\), not .*another network"
    ):
        load_start(create_backbone("resnet50-layer2"), tmp_path / "r.pth")


def test_what_a_file_lacks_is_named(tmp_path: Path) -> None:
    state = filled("resnet18")
    del state["layer2.1.bn2.running_var"]
    torch.save(state, tmp_path / "r.pth")
    with pytest.raises(
        DataError, match=r"r\.pth has no tensor 'layer2\.1\.bn2\.running_var'; it is of another"
    ):
        load_start(create_backbone("resnet18"), tmp_path / "r.pth")


def test_a_file_from_before_batches_were_counted(tmp_path: Path) -> None:
    state = {k: v for k, v in filled("resnet18").items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    backbone = create_backbone("resnet18")
    assert load_start(backbone, tmp_path / "old.pth") == list(state)
    assert same(backbone, state)


def test_half_precision_becomes_whole(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([0.5, 2]).half(), "n": torch.tensor(3)}, tmp_path / "h.safetensors")
    state = read_state(tmp_path / "h.safetensors")
    assert state["a"].dtype == torch.float32
    assert state["a"].tolist() == [0.5, 2]
    assert state["n"].dtype == torch.int64


@pytest.mark.parametrize("name", ["iresnet18", "resnet18-layer2"])
def test_a_run_is_a_start_for_the_next(tmp_path: Path, name: str) -> None:
    """A classifier over an iresnet has two linear layers of one name, but for the prefix."""
    torch.manual_seed(0)
    net = FaceClassifier(create_backbone(name, size=32))
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    backbone = create_backbone(name, size=32)
    load_start(backbone, tmp_path / "model.safetensors")
    assert same(backbone, net.backbone.state_dict())


class Wicked:
    """As a pickle it is the order to make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("suffix", ["pth", "pkl", "safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, suffix: str, zipped: bool) -> None:
    witness = tmp_path / "was-here"
    content = {"conv1.weight": torch.rand(2), "wicked": Wicked(witness)}
    torch.save(content, tmp_path / f"w.{suffix}", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match="cannot be read as weights"):
        read_state(tmp_path / f"w.{suffix}")
    assert not witness.exists()
    torch.load(io.BytesIO((tmp_path / f"w.{suffix}").read_bytes()), weights_only=False)
    assert witness.exists()  # it would have worked


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps([1, 2]), b"PK\x03\x04zip"])
def test_files_that_are_no_weights(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"w\.\w+ (cannot be read as weights|holds no tensors)"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files(tmp_path: Path, zipped: bool) -> None:
    """Whatever is cut off or changed, there is an answer or our own error."""
    file = tmp_path / "w.pth"
    torch.save({"a": torch.rand(3), "b": torch.rand(2)}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for k in range(150):
        data = bytearray(whole)
        if k % 3:
            for place in rng.integers(len(data), size=1 + k % 4):
                data[place] = rng.integers(256)
        else:
            del data[rng.integers(len(data)) :]
        file.write_bytes(data)
        try:
            assert set(map(type, read_state(file))) == {str}
        except DataError:
            refused += 1
    assert refused > 75


@pytest.mark.parametrize("content", [[1, 2], torch.ones(2), {"epoch": 3}, {}, {0: torch.ones(2)}])
def test_files_without_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds no tensors by name"):
        read_state(tmp_path / "w.pth")


class TestFindStart:
    TABLE = {"faces": {"file": "f/{architecture}.pth", "stride": "conv1", "non_commercial": True}}  # noqa: RUF012

    def test_scratch(self) -> None:
        start, file = find_start("scratch", self.TABLE, [], "resnet18")
        assert (start.description, file) == ("random weights", None)

    def test_named_one_in_the_first_folder_that_has_it(self, tmp_path: Path) -> None:
        for folder in ("b", "c"):
            (tmp_path / folder / "f").mkdir(parents=True)
            (tmp_path / folder / "f" / "resnet18.pth").touch()
        start, file = find_start("faces", self.TABLE, [tmp_path / k for k in "abc"], "resnet18")
        assert file == tmp_path / "b" / "f" / "resnet18.pth"
        assert (start.stride_in, start.non_commercial) == ("conv1", True)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "own.pth").touch()
        start, file = find_start(str(tmp_path / "own.pth"), {}, [], "resnet18")
        assert (file, start.stride_in) == (tmp_path / "own.pth", "conv2")

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"'faces' needs the file f/resnet34\.pth.*known starts: scratch, faces"
        ):
            find_start("faces", self.TABLE, [tmp_path], "resnet34")

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(
            DataError, match=r"needs the file gone\.pth, which is not there; known starts: scratch$"
        ):
            find_start("gone.pth", {}, [], "resnet18")

    def test_a_field_that_is_none(self) -> None:
        with pytest.raises(DataError, match=r"\[starts\.x\]"):
            find_start("x", {"x": {"file": "f", "strides": "conv1"}}, [], "resnet18")

    def test_an_impossible_stride(self) -> None:
        with pytest.raises(DataError, match="use 'conv1' or 'conv2'"):
            Start("f", stride="conv3")


def test_a_run_hands_its_stride_on(tmp_path: Path) -> None:
    def run(name: str, start: str, **starts: dict[str, str]) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps({"start": start, "starts": starts}))
        (folder / "model.safetensors").write_bytes(b"")
        return str(folder / "model.safetensors")

    first = run("first", "imagenet", imagenet={"file": "r.safetensors", "stride": "conv1"})
    second = run("second", first, imagenet={"file": "r.safetensors", "stride": "conv1"})
    plain = run("plain", "faces", faces={"file": "f.safetensors"})
    random = run("random", "scratch")
    (tmp_path / "alone.safetensors").write_bytes(b"")
    for name, stride in (
        (first, "conv1"), (second, "conv1"), (plain, "conv2"), (random, "conv2"),
        (str(tmp_path / "alone.safetensors"), "conv2"),
    ):  # fmt: skip
        assert find_start(name, {}, [], "resnet50")[0].stride == stride
