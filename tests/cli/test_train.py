from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "weights"):
        (tmp_path / name).mkdir()
    (tmp_path / "recipe.toml").write_text("not = TOML")
    return ["--recipe", "recipe.toml", "--data", "data", "--weights", "weights", "--output", "run"]


@pytest.mark.parametrize("network", ["detector", "classifier"])
class TestCalls:
    def test_a_recipe_that_is_not_toml(self, call: Call, places: list[str], network: str) -> None:
        pytest.importorskip("torch")
        result = call("train", network, *places)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("maskgate: recipe.toml is not TOML")
        assert not Path("run").exists()

    @pytest.mark.parametrize("gone", ["recipe.toml", "data", "weights"])
    def test_places_that_are_not_there(self, call: Call, places: list[str], network: str, gone: str) -> None:
        Path(gone).rename("elsewhere")
        result = call("train", network, *places)
        assert result.status == 2
        assert f": {gone} is not a f" in result.err
        assert result.err.count("\n") == 1

    @pytest.mark.parametrize("words", [["--threads", "0"], ["--workers", "-1"], ["--workers", "two"]])
    def test_numbers(self, call: Call, places: list[str], network: str, words: list[str]) -> None:
        result = call("train", network, *places, *words)
        assert result.status == 2
        assert f"{words[0]}: {words[1]!r} is not a whole number of at least 1" in result.err

    @pytest.mark.parametrize("package", ["torch", "onnx", "safetensors"])
    def test_without_the_extra(self, places: list[str], network: str, package: str) -> None:
        program = f"""
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from maskgate.cli import main
sys.exit(main({["train", network, *places]!r}))
"""
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert run.returncode == 2
        assert run.stderr == (
            f"maskgate: training needs the package {package}, which is not installed; "
            "run: pip install 'maskgate[train]'\n"
        )


@pytest.mark.parametrize("option", ["--labeller", "--face-labels"])
def test_files_of_an_earlier_run(call: Call, places: list[str], option: str) -> None:
    result = call("train", "classifier", *places, option, "gone")
    assert result.status == 2
    assert f"argument {option}: gone is not a file" in result.err
    assert call("train", "detector", *places, option, "gone").status == 2
