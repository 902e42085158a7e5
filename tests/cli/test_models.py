from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskgate.models import DEFAULT_DETECTOR, registry

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, so that the lists here do not depend on what ships."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path / "shipped")


def test_cards_and_other_distributions_models(call: Call, add_model: Call, install: Call) -> None:
    trained = {"start": "nets/start.pth", "sources": ["scenes", "photos"], "pictures": 5012, "seed": 7}
    cards = {
        DEFAULT_DETECTOR: add_model(DEFAULT_DETECTOR, b"x" * 1_690_000, training=trained),
        "says": add_model("says", b"yz", task="classification"),
    }
    add_model("hidden", b"x")
    install("toys", "", "[maskgate.detectors]\nhidden = toys:A\n[maskgate.classifiers]\nlooks = toys:B\n")

    result = call("models", "list")
    assert (result.status, result.err) == (0, "")
    rows = {(row["name"], row["task"]): row for row in result.lines}
    assert list(rows) == [
        (DEFAULT_DETECTOR, "detection"),
        ("hidden", "detection"),
        ("says", "classification"),
        ("looks", "classification"),
    ]
    assert {tuple(row) for row in result.lines} == {tuple(result.lines[0])}
    for name, card in cards.items():
        row = rows[name, card.task]
        assert (row["bytes"], row["sha256"], row["licence"]) == (card.bytes, card.sha256, "CC0-1.0")
        assert row["default"] is (name == DEFAULT_DETECTOR)
        assert row["distribution"] is None
    assert rows["hidden", "detection"]["distribution"] == "toys"
    assert rows["looks", "classification"]["sha256"] is None

    table = call("models", "list", "--format", "table").out.splitlines()
    assert table[0].split() == ["name", "task", "default", "size", "licence", "training", "sha256"]
    (line,) = [line for line in table if DEFAULT_DETECTOR in line]
    digest = cards[DEFAULT_DETECTOR].sha256[:12]
    assert " ".join(line.split()) == (
        f"{DEFAULT_DETECTOR} detection yes 1.7 MB CC0-1.0 5,012 pictures, 2 sources, from start.pth {digest}"
    )
    assert any(
        line.split() == ["looks", "classification", "of", "the", "distribution", "toys"] for line in table
    )


def test_no_models(call: Call, own_models: Path) -> None:
    result = call("models", "list")
    assert (result.status, result.out) == (0, "")


def test_a_broken_card(call: Call, own_models: Path) -> None:
    (own_models / "bad.json").write_text("{")
    result = call("models", "list")
    assert (result.status, result.out) == (2, "")
    assert "bad.json is not JSON" in result.err
    assert result.err.count("\n") == 1


class TestImport:
    """What an imported file answers is tested in tests/training/test_published.py."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        torch = pytest.importorskip("torch")
        from maskgate.nets.retinaface import RetinaFace

        path = tmp_path / "weights.pth"
        torch.save(RetinaFace("mobilenet0.25").state_dict(), path)
        return path

    def test_imported_listed_and_removed(self, call: Call, file: Path, own_models: Path) -> None:
        options = ("--name", "mine", "--activation", "relu", "--anchors", "10,20", "32,64", "128,256")
        result = call("models", "import", file, "--unchecked", *options)
        assert (result.status, result.err) == (0, "")
        network, card, said = result.out.splitlines()
        assert (network, card) == (str(own_models / "mine.onnx"), str(own_models / "mine.json"))
        assert said == "imported as mine: non-commercial data: not shipped"
        (row,) = call("models", "list").lines
        assert (row["name"], row["licence"]) == ("mine", "non-commercial data: not shipped")
        assert row["training"]["activation"] == "relu"
        content = json.loads(Path(card).read_text("utf-8"))
        assert content["settings"]["anchors"] == [[10, 20], [32, 64], [128, 256]]

        removed = call("models", "remove", "mine")
        assert (removed.status, removed.out.splitlines()) == (0, [card, network])
        assert not list(own_models.iterdir())
        again = call("models", "remove", "mine")
        assert (again.status, again.out) == (2, "")
        assert "you have no model 'mine'; your own are: none" in again.err

    def test_a_file_that_nobody_vouches_for(self, call: Call, file: Path, own_models: Path) -> None:
        result = call("models", "import", file)
        assert (result.status, result.out) == (2, "")
        assert hashlib.sha256(file.read_bytes()).hexdigest() in result.err
        assert "--sha256" in result.err
        assert not list(own_models.iterdir())

    @pytest.mark.parametrize("sides", ["10", "10,x", "0,20", "1,2,3", "nan,1"])
    def test_anchors_that_are_none(self, call: Call, file: Path, sides: str) -> None:
        result = call("models", "import", file, "--anchors", sides, "32,64", "128,256")
        assert result.status == 2
        assert "is not two sides in pixels" in result.err
