from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgate.images import write_image

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


class TestBackbonesAndSuspects:
    @pytest.mark.parametrize("network", ["backbone", "suspects", "pca", "cascade"])
    def test_a_recipe_that_is_not_toml(self, call: Call, places: list[str], network: str) -> None:
        pytest.importorskip("torch")
        result = call("train", network, *places)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("maskgate: recipe.toml is not TOML")
        assert not Path("run").exists()

    def test_a_loss_that_is_none(self, call: Call, places: list[str]) -> None:
        result = call("train", "backbone", *places, "--loss", "triplet")
        assert result.status == 2
        assert "argument --loss: invalid choice: 'triplet'" in result.err

    def test_a_strategy_that_is_none(self, call: Call, places: list[str]) -> None:
        result = call("train", "classifier", *places, "--strategy", "thaw")
        assert result.status == 2
        assert "argument --strategy: invalid choice: 'thaw'" in result.err


RECIPE = """
seed = 1
architecture = "resnet18"
start = "gone"
validation = {validation}
[[source]]
path = "faces"
kind = "crops"
{labels}
[view]
size = 64
[augmentation]
size = 64
[loop]
epochs = 40
samples = 16
batch = 8
bfloat16 = false
warm_up = 1
"""


def pictures_of_a_face(astronaut: np.ndarray, folders: dict[str, int]) -> None:
    """The same face in other lights, moved about."""
    rng = np.random.default_rng(0)
    for folder, count in folders.items():
        (Path("data/faces") / folder).mkdir(parents=True)
        for i in range(count):
            x, y = 150 + rng.integers(-8, 9), 35 + rng.integers(-8, 9)
            crop = astronaut[y : y + 160, x : x + 150] * rng.uniform(0.6, 1.0, 3)
            write_image(Path("data/faces") / folder / f"{folder}{i}.png", crop.astype(np.uint8))


def test_options_take_the_place_of_the_recipe(call: Call, places: list[str], astronaut: np.ndarray) -> None:
    """A backbone, then a classifier that starts from it; each in one short epoch."""
    pytest.importorskip("torch")
    pictures_of_a_face(astronaut, {f"p{k}": 2 for k in range(5)})
    Path("recipe.toml").write_text(RECIPE.format(validation=0.4, labels=""))
    words = ["--epochs", "1", "--seed", "7", "--architecture", "mobilenet025", "--threads", "1"]
    result = call("train", "backbone", *places, *words, "--start", "scratch")
    assert (result.status, result.out.splitlines()[-1:]) == (0, ["run/backbone.safetensors"]), result.err
    assert Path("crops").is_dir()  # beside the run folder
    settings = json.loads(Path("run/settings.json").read_text())
    own = {"seed": 7, "architecture": "mobilenet025", "start": "scratch", "loss": "arcface"}
    assert {name: settings[name] for name in own} == own
    assert settings["loop"]["epochs"] == 1

    # all pictures show one face and are on one side: two more are held out
    rng = np.random.default_rng(1)
    for label in ("mask", "no_mask"):
        Path("data/judged", label).mkdir(parents=True)
        noisy = astronaut[:, ::-1].astype(int) + rng.integers(-60, 60, astronaut.shape)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)[20:240, 200:420]
        write_image(Path("data/judged", label, "a.png"), np.ascontiguousarray(picture))
    labels = 'labels = { p0 = "mask", p1 = "no_mask", p2 = "mask", p3 = "no_mask", p4 = "incorrect" }'
    judged = 'path = "judged"\nkind = "crops"\nlabels = { mask = "mask", no_mask = "no_mask" }'
    labels += f'\n[[source]]\n{judged}\nside = "validation"'
    Path("recipe.toml").write_text(RECIPE.format(validation=0.0, labels=labels))
    places[-1] = "second"
    words += ["--start", "run/backbone.safetensors", "--strategy", "frozen", "--crops", "kept"]
    result = call("train", "classifier", *places, *words)
    assert (result.status, result.out.splitlines()[-1:]) == (0, ["second/model.onnx"]), result.err
    assert Path("kept").is_dir()
    settings = json.loads(Path("second/settings.json").read_text())
    assert (settings["strategy"], settings["start"]) == ("frozen", "run/backbone.safetensors")
    from safetensors.numpy import load_file

    start, end = load_file("run/backbone.safetensors"), load_file("second/model.safetensors")
    counted = {n for n in start if n.endswith("num_batches_tracked")}  # begins at 0 again
    for name in set(start) - counted:
        assert np.array_equal(end[f"backbone.{name}"], start[name]), name


class TestFaceNetSvm:
    def test_without_the_extra(self, places: list[str]) -> None:
        pytest.importorskip("torch")
        program = f"""
import sys
sys.modules["sklearn"] = None  # as if it were not installed
from maskgate.cli import main
sys.exit(main({["train", "facenet-svm", *places]!r}))
"""
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert run.returncode == 2
        assert run.stderr == (
            "maskgate: training needs the package sklearn, which is not installed; "
            "run: pip install 'maskgate[train,eval]'\n"
        )

    def test_weights_that_are_not_there(self, call: Call, places: list[str], astronaut: np.ndarray) -> None:
        pytest.importorskip("sklearn")
        pytest.importorskip("torch")
        Path("recipe.toml").write_text(RECIPE.format(validation=0.2, labels=""))
        result = call("train", "facenet-svm", *places)
        assert result.status == 2
        name = "facenet_inception_resnet_v1_int8.safetensors"
        assert result.err == (
            f"maskgate: weights/face/{name} is missing; check --weights and the recipe's [facenet]\n"
        )
        assert not Path("run").exists()

    def test_to_the_end_and_again(self, call: Call, places: list[str], astronaut: np.ndarray) -> None:
        """With a FaceNet that has learnt nothing."""
        pytest.importorskip("sklearn")
        pytest.importorskip("torch")
        import torch
        from safetensors.torch import save_file

        from maskgate.nets.inception_resnet import InceptionResNetV1

        torch.manual_seed(0)
        save_file(InceptionResNetV1().state_dict(), "weights/net.safetensors")
        pictures_of_a_face(astronaut, {"mask": 6, "no_mask": 6, "incorrect": 6})
        Path("data/judged").mkdir()
        for label in ("mask", "no_mask"):
            picture = np.ascontiguousarray(astronaut[20:240, ::-1][:, 200:420])
            Path("data/judged", label).mkdir()
            write_image(Path("data/judged", label, "a.png"), picture if label == "mask" else picture // 2)
        labels = 'labels = { mask = "mask", no_mask = "no_mask", incorrect = "incorrect" }'
        labels += '\ntogether = "folder"\nside = "training"'
        labels += '\n[[source]]\npath = "judged"\nkind = "crops"\nside = "validation"'
        labels += '\nlabels = { mask = "mask", no_mask = "no_mask" }'
        settings = (
            '[svm]\nfolds = 2\nkernels = ["linear"]\ncosts = [1.0]\n[facenet]\nfile = "net.safetensors"\n'
        )
        Path("recipe.toml").write_text(RECIPE.format(validation=0.0, labels=labels) + settings)
        result = call("train", "facenet-svm", *places, "--threads", "1")
        assert (result.status, result.out) == (0, "run/model.zip\n"), result.err
        assert json.loads(Path("run/settings.json").read_text())["start"] == "net.safetensors"
        figures = json.loads(Path("run/figures.json").read_text())
        assert (figures["kernel"], figures["validation_faces"]) == ("linear", 2)
        assert Path("run/sides.csv").read_text().count("training") == 18
        model = Path("run/model.zip").read_bytes()
        result = call("train", "facenet-svm", *places, "--threads", "1")
        assert result.status == 0
        assert Path("run/model.zip").read_bytes() == model


class TestPca:
    @pytest.mark.parametrize("package", ["sklearn", "matplotlib"])
    def test_without_the_extra(self, places: list[str], package: str) -> None:
        pytest.importorskip("torch")
        program = f"""
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from maskgate.cli import main
sys.exit(main({["train", "pca", *places]!r}))
"""
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert run.returncode == 2
        assert run.stderr == (
            f"maskgate: training needs the package {package}, which is not installed; "
            "run: pip install 'maskgate[train,eval]'\n"
        )

    def test_to_the_end(self, call: Call, places: list[str], astronaut: np.ndarray) -> None:
        pytest.importorskip("sklearn")
        pytest.importorskip("torch")
        pictures_of_a_face(astronaut, {"mask": 4, "no_mask": 4})
        Path("data/judged/mask").mkdir(parents=True)
        picture = np.ascontiguousarray(astronaut[20:240, ::-1][:, 200:420])
        write_image(Path("data/judged/mask/a.png"), picture)
        labels = 'labels = { mask = "mask", no_mask = "no_mask" }\ntogether = "source"\nside = "training"'
        labels += '\n[[source]]\npath = "judged"\nkind = "crops"\nside = "validation"'
        labels += '\nlabels = { mask = "mask" }'
        table = "[eigenfaces]\nsize = 16\ncomponents = [1, 2, 3]\n"
        Path("recipe.toml").write_text(RECIPE.format(validation=0.0, labels=labels) + table)
        result = call("train", "pca", *places, "--crops", "kept")
        assert (result.status, result.out) == (0, "run/model.npz\n"), result.err
        assert Path("run/eigenfaces.svg").read_text().startswith("<svg")
        figures = json.loads(Path("run/figures.json").read_text())
        assert (figures["validation_faces"], figures["rule"] in ("linear", "nearest-mean")) == (1, True)
        assert Path("kept").is_dir()


def test_options_of_the_cascade(call: Call, places: list[str]) -> None:
    pytest.importorskip("torch")
    labels = 'labels = { mask = "mask", no_mask = "no_mask" }\n[cascade]\nkept = 0.9'
    Path("recipe.toml").write_text(RECIPE.format(validation=0.2, labels=labels))
    result = call("train", "cascade", *places, "--epochs", "2", "--threads", "1", "--workers", "2")
    assert result.status == 2
    assert result.err.startswith("maskgate: [cascade] has the unknown field 'kept'; known are anywhere, ")
    assert not Path("run").exists()
