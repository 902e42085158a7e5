from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

Call = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("mask", "no_mask"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--start", "imagenet"], "--start imagenet has no form NAME=FILE"),
        (["--start", "=x.pth"], "has no form NAME=FILE"),
        (["--start", "a=gone.pth"], "gone.pth"),
        (["--start", "a=gone.pth@resnet19"], "there is no architecture 'resnet19'"),
        ([], "holds no pictures"),
        (["--data", "elsewhere"], "elsewhere is not a folder"),
    ],
)
def test_calls_that_are_wrong(call: Call, folder: Path, words: list[str], sentence: str) -> None:
    result = call("study", "transfer", "--output", "out", *words)
    assert (result.status, result.out) == (2, "")
    assert sentence in result.err
    assert not (folder / "out" / "runs").exists()


def test_starts_go_into_the_recipe_where_there_is_one(call: Call, folder: Path) -> None:
    (folder / "r.toml").write_text("")
    result = call("study", "transfer", "--output", "out", "--recipe", "r.toml", "--start", "a=b")
    assert result.status == 2
    assert "--start goes without --recipe" in result.err
