from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from maskgate.detection import create_detector  # noqa: E402
from maskgate.detection.mtcnn import MtcnnDetector, MtcnnSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.models import ModelCard, RuntimeOptions  # noqa: E402
from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet  # noqa: E402
from maskgate.training.mtcnn import export_networks, load_networks, publish_mtcnn  # noqa: E402
from maskgate.training.publish import Edition  # noqa: E402

NETS = {"pnet.pt": ProposalNet, "rnet.pt": RefinementNet, "onet.pt": OutputNet}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(0)
    for file, kind in NETS.items():
        torch.save(kind().state_dict(), folder / file)
    return folder


def test_networks_have_the_weights_of_their_files(weights: Path) -> None:
    for net, (file, kind) in zip(load_networks(weights), NETS.items(), strict=True):
        assert isinstance(net, kind)
        assert not net.training
        state = torch.load(weights / file, weights_only=True)
        for name, value in net.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_a_file_that_is_missing(weights: Path) -> None:
    (weights / "rnet.pt").unlink()
    with pytest.raises(
        DataError, match=r"rnet\.pt is missing; name the folder of pnet\.pt, rnet\.pt, onet\.pt"
    ):
        load_networks(weights)


def test_a_file_of_another_network(weights: Path) -> None:
    (weights / "onet.pt").write_bytes((weights / "rnet.pt").read_bytes())
    with pytest.raises(DataError, match=r"onet\.pt .* it is of another network"):
        load_networks(weights)


def test_a_file_that_is_no_weights(weights: Path) -> None:
    (weights / "pnet.pt").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"pnet\.pt cannot be read as weights"):
        load_networks(weights)


def test_what_may_have_any_size(weights: Path) -> None:
    def shape(node: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in node.type.tensor_type.shape.dim]

    graphs = [onnx.load_from_string(file).graph for file in export_networks(weights).values()]
    assert [shape(g.input[0]) for g in graphs] == [
        ["batch", 3, "height", "width"],
        ["batch", 3, 24, 24],
        ["batch", 3, 48, 48],
    ]
    assert [[(o.name, shape(o)) for o in g.output] for g in graphs] == [
        [("offsets", ["batch", 4, "rows", "columns"]), ("scores", ["batch", 2, "rows", "columns"])],
        [("offsets", ["batch", 4]), ("scores", ["batch", 2])],
        [("offsets", ["batch", 4]), ("scores", ["batch", 2]), ("landmarks", ["batch", 10])],
    ]


def test_the_model_can_be_chosen(weights: Path, own_models: Path) -> None:
    edition = Edition("mine", "2", "A sentence.", "MIT", "abc", {"street": {"face_recall": 0.5}})
    card = publish_mtcnn(weights, own_models, edition)
    assert card == ModelCard.load(own_models / "mine.json")
    assert (card.file, card.architecture, card.licence) == ("mine.zip", "mtcnn", "MIT")
    assert card.training == {"start": "mtcnn", "commit": "abc"}
    assert card.figures == {"street": {"face_recall": 0.5}}
    detector = create_detector("mine", RuntimeOptions(threads=1))
    assert isinstance(detector, MtcnnDetector)
    assert detector.name == "mine"
    assert detector.settings == MtcnnSettings()
    assert detector.detect([np.zeros((30, 30, 3), np.uint8)])[0].boxes.shape[1] == 4
