from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from maskgate.detection.create import direct_settings
from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.files import write_json
from maskgate.models import ModelCard
from maskgate.training.publish import Edition, publish_classifier, publish_detector, publish_direct

RECIPE: dict[str, Any] = {
    "seed": 4, "start": "face/a.safetensors", "source": [{"path": "x"}, {"path": "y"}], "loop": {"epochs": 2},
}  # fmt: skip
EDITION = Edition("mine", "3", "A sentence.", "CC0-1.0", "abc123", {"street": {"face_recall": 0.5}})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / "settings.json", RECIPE | {"augmentation": {}})
    write_json(folder / "manifest.json", {"x/1.jpg": "0" * 64, "y/2.jpg": "1" * 64, "y/3.jpg": "2" * 64})
    write_json(folder / "figures.json", {"threshold": 0.31247, "sure": 0.9, "temperature": 1.23456})
    (folder / "model.onnx").write_bytes(b"network")
    return folder


def test_card_of_a_classifier(run: Path, tmp_path: Path) -> None:
    write_json(run / "settings.json", RECIPE | {"augmentation": {"size": 96, "margin": 1.5}})
    card = publish_classifier(run, tmp_path / "out", EDITION)
    assert (tmp_path / "out" / "mine.onnx").read_bytes() == b"network"
    assert card == ModelCard.load(tmp_path / "out" / "mine.json")
    assert (card.sha256, card.bytes) == (hashlib.sha256(b"network").hexdigest(), 7)
    assert (card.name, card.version, card.licence, card.description) == (
        "mine",
        "3",
        "CC0-1.0",
        "A sentence.",
    )
    assert card.classes == ("mask", "no_mask", "incorrect")
    assert card.settings["crop"] == {"kind": "rotate", "size": 96, "margin": 1.5}
    assert card.settings["threshold"] == pytest.approx(0.3125)
    assert card.settings["sure"] == 0.9
    assert (card.input.width, card.input.height) == (96, 96)
    assert card.training["sources"] == ["x", "y"]
    assert card.training["pictures"] == 3
    manifest = (run / "manifest.json").read_bytes()
    assert card.training["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert (card.training["seed"], card.training["commit"]) == (4, "abc123")
    assert card.figures["street"] == {"face_recall": 0.5}
    assert card.figures["validation"]["temperature"] == 1.23456


def test_card_of_a_detector_carries_the_anchors_it_was_trained_with(run: Path, tmp_path: Path) -> None:
    anchors = [[8, 16], [32, 64], [128, 256]]
    write_json(
        run / "settings.json",
        RECIPE | {"augmentation": {"anchors": anchors, "side": 320}, "detection": {"score": 0.6}},
    )
    card = publish_detector(run, tmp_path / "out", EDITION)
    assert card.settings["anchors"] == anchors
    assert card.settings["score"] == 0.6
    assert "mean" not in card.settings
    assert card.classes == ("face",)
    assert card == ModelCard.load(tmp_path / "out" / "mine.json")


def test_card_of_direct_mask_finding(run: Path, tmp_path: Path) -> None:
    anchors = [[8, 16], [32, 64], [128, 256]]
    tables = {"augmentation": {"anchors": anchors, "covers": [1, 1, 1]}, "direct": {"incorrect": 2.0}}
    write_json(run / "settings.json", RECIPE | tables)
    card = publish_direct(run, tmp_path / "out", EDITION)
    assert card == ModelCard.load(tmp_path / "out" / "mine.json")
    assert (card.task, card.architecture) == ("detection", "direct")
    assert card.classes == ("background", "mask", "no_mask", "incorrect")
    assert (card.settings["threshold"], card.settings["temperature"]) == (0.3125, 1.2346)
    settings, threshold = direct_settings(card)
    assert settings == RetinaFaceSettings(anchors=((8, 16), (32, 64), (128, 256)))
    assert threshold == 0.3125
    assert card.training["direct"] == {"incorrect": 2.0}


@pytest.mark.parametrize("name", ["settings.json", "manifest.json", "figures.json", "model.onnx"])
@pytest.mark.parametrize("publish", [publish_detector, publish_classifier, publish_direct])
def test_unfinished_run(run: Path, tmp_path: Path, publish: Any, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(DataError, match=f"{name} cannot be read.*finished run"):
        publish(run, tmp_path / "out", EDITION)
    assert not (tmp_path / "out").exists()


def test_broken_file(run: Path, tmp_path: Path) -> None:
    (run / "figures.json").write_text("{")
    with pytest.raises(DataError, match=r"figures\.json is not JSON"):
        publish_classifier(run, tmp_path / "out", EDITION)


def test_settings_of_another_kind_of_run(run: Path, tmp_path: Path) -> None:
    write_json(run / "settings.json", json.loads(json.dumps(RECIPE | {"augmentation": {"margin": 1.5}})))
    with pytest.raises(DataError, match="unknown field 'margin'"):
        publish_detector(run, tmp_path / "out", EDITION)
