from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from maskgate.errors import DataError  # noqa: E402
from maskgate.files import sha256_of  # noqa: E402
from maskgate.training.runs import RunFolder  # noqa: E402

SETTINGS = {"seed": 3, "loop": {"rate": 1e-3, "shares": (0.5, 0.5)}, "labeller": None}


def test_settings_are_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    RunFolder(folder, SETTINGS)
    text = (folder / "settings.json").read_text()
    assert json.loads(text) == {"seed": 3, "loop": {"rate": 0.001, "shares": [0.5, 0.5]}, "labeller": None}
    RunFolder(folder, SETTINGS)
    assert (folder / "settings.json").read_text() == text


@pytest.mark.parametrize("other", [SETTINGS | {"seed": 4}, SETTINGS | {"more": 1}, {"seed": 3}])
def test_folder_of_other_settings_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    run = RunFolder(tmp_path, SETTINGS)
    run.add_row({"epoch": 1})
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    with pytest.raises(DataError, match="holds a run with other settings") as caught:
        RunFolder(tmp_path, other)
    assert str(tmp_path / "settings.json") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_manifest_names_each_picture_with_its_hash(tmp_path: Path) -> None:
    files = []
    for name, data in {"b/2.jpg": b"two", "a.jpg": b"one", "b/1.jpg": b"two"}.items():
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        files.append(file)
    run = RunFolder(tmp_path / "run", {})
    run.write_manifest(tmp_path / "data", [*files, files[0]])
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert manifest == {
        "a.jpg": hashlib.sha256(b"one").hexdigest(),
        "b/1.jpg": hashlib.sha256(b"two").hexdigest(),
        "b/2.jpg": hashlib.sha256(b"two").hexdigest(),
    }
    assert list(manifest) == sorted(manifest)
    assert sha256_of(files[0]) == hashlib.sha256(b"two").hexdigest()


def test_curves(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.keep_rows(3)  # nothing there yet
    for epoch in (1, 2, 3):
        run.add_row({"epoch": epoch, "loss": 1 / epoch, "val": 123456.789})
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines == ["epoch,loss,val", "1,1,123457", "2,0.5,123457", "3,0.333333,123457"]
    with (tmp_path / "curves.csv").open("a") as out:
        out.write("4,0.2")  # a kill came in between
    run.keep_rows(2)
    run.add_row({"epoch": 3, "loss": 0.25, "val": 1.0})
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines == ["epoch,loss,val", "1,1,123457", "2,0.5,123457", "3,0.25,1"]


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    assert run.load_checkpoint() is None
    run.save_checkpoint({"model": {"w": torch.arange(3.0)}, "steps": 7})
    state = run.load_checkpoint()
    assert state is not None
    assert state["steps"] == 7
    assert torch.equal(state["model"]["w"], torch.arange(3.0))


def test_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.save_checkpoint({"steps": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError, ValueError)):
        run.save_checkpoint({"big": torch.zeros(1000), "steps": (i for i in range(3))})  # no pickle
    state = run.load_checkpoint()
    assert state == {"steps": 1}
