from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import InputError, ModelCorruptError, ModelNotFoundError
from maskgate.models import InputSpec, ModelCard, write_card

WEIGHTS = b"not a network, but a file"

CONTENT: dict[str, Any] = {
    "name": "face-net_2.0",
    "version": "1.0",
    "task": "classification",
    "architecture": "face_resnet",
    "file": "face net.onnx",
    "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    "bytes": 25,
    "description": "Größe egal.",
    "classes": ["mask", "no_mask", "incorrect"],
    "input": {
        "height": 112,
        "width": None,
        "colour": "RGB",
        "mean": [1, 2.5, 3],
        "scale": 1,
        "layout": "NHWC",
    },
    "settings": {"threshold": 0.4, "crop": {"kind": "rotate"}},
    "training": {"data": ["scenes/fmd"], "commit": None},
    "figures": {},
    "licence": "Apache-2.0",
}


def written(folder: Path, content: object) -> Path:
    path = folder / "face-net_2.0.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_load(tmp_path: Path) -> None:
    card = ModelCard.load(written(tmp_path, CONTENT))
    assert card == ModelCard(
        name="face-net_2.0",
        version="1.0",
        task="classification",
        architecture="face_resnet",
        file="face net.onnx",
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        bytes=25,
        description="Größe egal.",
        classes=("mask", "no_mask", "incorrect"),
        input=InputSpec(112, None, "RGB", (1.0, 2.5, 3.0), 1.0, "NHWC"),
        settings={"threshold": 0.4, "crop": {"kind": "rotate"}},
        training={"data": ["scenes/fmd"], "commit": None},
        figures={},
        licence="Apache-2.0",
    )
    assert card.folder == tmp_path
    assert card.path == tmp_path / "face net.onnx"
    with pytest.raises(FrozenInstanceError):
        card.name = "other"  # type: ignore[misc]


def test_a_card_survives_the_way_to_its_file_and_back(tmp_path: Path) -> None:
    card = ModelCard.load(written(tmp_path, CONTENT))
    assert card.to_json() == CONTENT
    copy = tmp_path / "copy.json"
    write_card(card, copy)
    assert ModelCard.load(copy) == card
    assert json.loads(copy.read_text("utf-8")) == CONTENT


MISSING = object()

BROKEN = [
    *[(name, MISSING) for name in CONTENT],
    *[(f"input.{name}", MISSING) for name in CONTENT["input"]],
    *[(name, 3) for name in CONTENT if name != "bytes"],
    *[(name, None) for name in CONTENT],
    *[(name, "") for name in ("name", "version", "architecture", "file", "description", "licence")],
    ("name", "../face"),
    ("name", ".hidden"),
    ("version", " \n"),
    ("task", "segmentation"),
    ("file", ".."),
    ("file", "."),
    ("file", "/etc/passwd"),
    ("file", "below/net.onnx"),
    ("file", "below\\net.onnx"),
    ("file", "net\0.onnx"),
    ("sha256", "ab" * 31),
    ("sha256", "AB" * 32),
    ("sha256", "xy" * 32),
    ("sha256", "ab" * 32 + "\n"),
    ("bytes", 0),
    ("bytes", 25.0),
    ("bytes", True),
    ("bytes", "25"),
    ("classes", []),
    ("classes", "mask"),
    ("classes", ["mask", 1]),
    ("classes", ["mask", ""]),
    ("classes", ["mask", "mask"]),
    ("classes", ["mask", ["no_mask"]]),
    ("input", []),
    ("settings", ["threshold"]),
    ("training", "by hand"),
    ("figures", [0.9]),
    ("input.height", 0),
    ("input.height", "112"),
    ("input.width", 112.5),
    ("input.width", True),
    ("input.colour", "rgb"),
    ("input.colour", None),
    ("input.mean", 104),
    ("input.mean", [104, 117]),
    ("input.mean", [104, 117, "123"]),
    ("input.mean", [104, 117, float("nan")]),
    ("input.scale", 0),
    ("input.scale", float("inf")),
    ("input.scale", 10**400),
    ("input.scale", "1"),
    ("input.layout", "CHW"),
    ("input.layout", ["NCHW"]),
    ("size_bytes", 25),
    ("input.dtype", "float32"),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_field_is_named_with_its_file(tmp_path: Path, name: str, value: object) -> None:
    content = json.loads(json.dumps(CONTENT))
    target, key = content, name
    if name.startswith("input."):
        target, key = content["input"], name.removeprefix("input.")
    if value is MISSING:
        del target[key]
    else:
        target[key] = value
    path = written(tmp_path, content)
    with pytest.raises(ModelCorruptError) as caught:
        ModelCard.load(path)
    assert f"'{name}'" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b"version https://git-lfs"],
    ids=["empty", "truncated", "list", "null", "not UTF-8", "deep", "text"],
)
def test_a_file_that_is_no_card(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(ModelCorruptError, match=r"^the model card .*a\.json is n"):
        ModelCard.load(path)


def test_a_card_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"none\.json cannot be read"):
        ModelCard.load(tmp_path / "none.json")
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        ModelCard.load(tmp_path)


def test_weights_are_checked(tmp_path: Path) -> None:
    card = ModelCard.load(written(tmp_path, CONTENT))
    with pytest.raises(ModelNotFoundError, match=r"face net\.onnx .*'face-net_2\.0' cannot be read"):
        card.verify()
    card.path.write_bytes(WEIGHTS)
    card.verify()
    assert card.read() == WEIGHTS
    for other in (WEIGHTS[:-1], WEIGHTS[:-1] + b"E", b""):
        card.path.write_bytes(other)
        with pytest.raises(ModelCorruptError, match=r"face net\.onnx .*are not those of its card"):
            card.verify()
    card.path.write_bytes(WEIGHTS)
    with pytest.raises(ModelCorruptError, match=r"25 bytes .*, not 26"):
        replace(card, bytes=26).verify()


def test_nothing_is_half_written(tmp_path: Path) -> None:
    path = written(tmp_path, CONTENT)
    before = path.read_bytes()
    card = ModelCard.load(path)
    with pytest.raises(ModelCorruptError, match=r"'input\.scale'"):
        write_card(replace(card, input=replace(card.input, scale=-1.0)), path)
    with pytest.raises(InputError, match=r"'face-net_2\.0' cannot be written as JSON"):
        write_card(replace(card, training={"data": Path("scenes")}), path)
    with pytest.raises(InputError, match="JSON"):
        write_card(replace(card, figures={"accuracy": float("nan")}), path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OSError, match=r"folder\.json"):
        write_card(card, tmp_path / "folder.json")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["face-net_2.0.json", "folder.json"]


def test_an_older_card_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = written(tmp_path, CONTENT)
    held = tmp_path / "held"
    held.hardlink_to(path)
    write_card(replace(ModelCard.load(path), version="2.0"), path)
    assert ModelCard.load(path).version == "2.0"
    # whoever has the older file open still sees it whole
    assert json.loads(held.read_text("utf-8")) == CONTENT
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "held"}
