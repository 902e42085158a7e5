from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from maskgate.images import write_image

GREEN, RED = (40, 220, 40), (220, 40, 40)
IDS = {"mask": 1, "no_mask": 2, "incorrect": 3}
RECIPE = """
seed = 3
start = "scratch"
architecture = "face-resnet11"
validation = 0.25
test = 0.3
[[source]]
path = "scenes"
kind = "scenes"
[eigenfaces]
size = 16
components = [4]
[loop]
samples = 1
"""
METHODS = """
split = "split.toml"
default = "retinaface-resnet"
learnt = 20
[[method]]
name = "pca"
title = "PCA"
detector = { model = "squares" }
classifier = { train = "pca", recipe = "split.toml" }
[[method]]
name = "retinaface-resnet"
title = "Squares + Colours"
detector = { model = "squares" }
classifier = { model = "colours" }
[speed]
pictures = 2
rounds = 2
"""
CONTRACT = {
    "name", "accuracy_train", "accuracy_test", "recall_test", "roc_auc", "face_recall",
    "milliseconds_per_picture", "milliseconds_per_face", "model_bytes", "cross_source",
}  # fmt: skip

Call = Callable[..., Any]
Spawn = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.usefixtures("toys")


def draw_scenes(folder: Path, count: int, seed: int) -> None:
    """Pictures of two heads each on dark noise, no two alike; the toy detector finds what is over 100."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for i in range(count):
        image = rng.integers(0, 90, (15, 20, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        for j, x in enumerate((10, 90)):
            label = rng.choice(["mask", "no_mask"], p=[0.6, 0.4])
            side, y = int(rng.integers(30, 56)), int(rng.integers(10, 50))
            grain = rng.uniform(0.6, 1, (8, 8)).repeat(7, 0).repeat(7, 1)[:side, :side, None]
            image[y : y + side, x : x + side] = np.array(GREEN if label == "mask" else RED) * grain
            box = [x, y, side, side]
            number = 2 * i + j + 1
            annotations.append({"id": number, "image_id": i, "category_id": IDS[label], "bbox": box})
        file = folder / "images" / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, image)
        images.append({"id": i, "file_name": file.name, "width": 160, "height": 120})
    categories = [{"id": n, "name": name} for name, n in IDS.items()]
    content = {"categories": categories, "images": images, "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    draw_scenes(Path("data/scenes"), 30, 1)
    draw_scenes(Path("cross"), 8, 2)
    Path("split.toml").write_text(RECIPE)
    Path("methods.toml").write_text(METHODS)
    return tmp_path / "work"


WORDS = ("compare", "--recipe", "methods.toml", "--data", "data", "--cross", "cross", "--output", "out",
         "--threads", "1", "--page", "docs/compare.md")  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_comparison_goes_on_after_a_kill(
    folder: Path, call: Call, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.05")
    process = spawn(*WORDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = Path("out/answers/pca-test-pictures.npz")
    deadline = time.monotonic() + 300
    while not first.exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "nothing happened for five minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("out/comparison.json").exists()
    assert not list(Path("out/answers").glob("*-cross-pictures.npz"))
    monkeypatch.delenv("TOY_SECONDS")
    kept = {path: path.stat().st_mtime_ns for path in (first, Path("out/runs/pca/model.npz"))}

    result = call(*WORDS)
    assert (result.status, result.out) == (0, "out/report.html\n"), result.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    text = Path("out/comparison.json").read_text("utf-8")
    content = json.loads(text)
    pca, default = content["methods"]
    for method in (pca, default):
        assert method.keys() >= CONTRACT
        assert {"accuracy", "recall", "roc_auc"} <= method["cross_source"].keys()
        shares = [method[key] for key in ("accuracy_train", "accuracy_test", "recall_test", "roc_auc")]
        assert all(0 <= share <= 1 for share in [*shares, method["face_recall"]])
        assert method["milliseconds_per_picture"] > method["milliseconds_per_face"] > 0
    assert [pca["name"], default["name"]] == ["pca", "retinaface-resnet"]
    assert pca["model_bytes"] is None  # the toy detector is another distribution's
    # green is a mask to the toys: they know all
    assert default["accuracy_train"] == default["accuracy_test"] == default["cross_source"]["accuracy"] == 1
    assert pca["cross_source"]["face_recall"] == 1
    assert {(d["other"], *d["test"]) for d in content["differences"]} == {
        ("pca", test, track) for test in ("test", "cross") for track in ("given", "pictures")
    }

    # a second command, with code of its own, agrees about the same pictures
    call(
        "evaluate",
        "scenes",
        "cross",
        "--detector",
        "squares",
        "--classifier",
        "colours",
        "--output",
        "s.json",
    )
    scenes = json.loads(Path("s.json").read_text("utf-8"))
    names = {"accuracy": "accuracy", "recall": "recall_mask", "recall_no_mask": "recall_no_mask",
             "roc_auc": "roc_auc", "face_recall": "face_recall", "precision": "precision_mask",
             "false_faces_per_picture": "false_faces_per_image", "faces": "faces"}  # fmt: skip
    assert {n: default["cross_source"][n] for n in names} == {n: scenes[m] for n, m in names.items()}

    page = Path("docs/compare.md").read_text("utf-8")
    assert "| PCA | " in page
    assert "| 83.11 |" in page  # as the paper prints it
    plots = [line.split("(")[1].split(")")[0] for line in page.splitlines() if line.startswith("![")]
    assert len(plots) == 5
    assert all((Path("docs") / plot).is_file() for plot in plots)
    report = Path("out/report.html").read_text("utf-8")
    assert not re.search(r"""\b(?:src|href)=["'](?!#)""", report)  # nothing is loaded from elsewhere

    answers = {path: path.stat().st_mtime_ns for path in Path("out/answers").iterdir()}
    assert call(*WORDS).status == 0  # nothing is asked again
    assert {path: path.stat().st_mtime_ns for path in answers} == answers
    assert Path("out/comparison.json").read_text("utf-8") == text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data", "gone"], "gone is not a folder"),
        (["--cross", "gone"], "gone is not a folder"),
        (["--recipe", "gone.toml"], "gone.toml is not a file"),
        ([], "holds neither annotations.json nor a folder of each label"),
        (["--data", "cross", "--robustness"], "give a folder of them with --cross"),
        (["--recipe", "methods.toml", "--cross", "data"], "has no folder images/"),
    ],
)
def test_calls_that_are_wrong(call: Call, folder: Path, words: list[str], sentence: str) -> None:
    result = call("compare", "--output", "out", *words)
    assert (result.status, result.out) == (2, "")
    assert sentence in result.err
    assert not (folder / "out" / "answers").exists()


def test_a_run_that_has_learnt_from_the_test_is_refused(call: Call, folder: Path) -> None:
    Path("other.toml").write_text(RECIPE.replace("seed = 3", "seed = 4"))
    Path("methods.toml").write_text(METHODS.replace('recipe = "split.toml"', 'recipe = "other.toml"'))
    result = call(*WORDS)
    assert result.status == 2
    assert "has learnt from pictures that judge it" in result.err


def test_a_folder_of_ones_own(call: Call, folder: Path) -> None:
    words = (
        "compare",
        "--data",
        "data/scenes",
        "--output",
        "own",
        "--only",
        "none of them",
        "--threads",
        "1",
    )
    result = call(*words)
    assert result.status == 0, result.err
    (method,) = json.loads(Path("own/comparison.json").read_text("utf-8"))["methods"]
    assert method["name"] == "retinaface-resnet"
    assert method["accuracy_test"] == 1
    assert method["cross_source"] is None
