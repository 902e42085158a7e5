from __future__ import annotations

import csv
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maskgate.errors import DataError
from maskgate.training.recipe import Source, build, read_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NAMES = sorted(f.name for f in RECIPES.glob("*.toml"))

COMPLETE = """
seed = 1
start = "a.pth"
validation = 0.1
[[source]]
path = "x"
kind = "photos"
[teacher]
certain = 0.8
[loop]
epochs = 3
samples = 100
"""


def read(folder: Path, text: str, **options: Any) -> dict[str, Any]:
    file = folder / "recipe.toml"
    file.write_text(text)
    return read_recipe(file, **options)


def test_complete_recipe(tmp_path: Path) -> None:
    recipe = read(tmp_path, COMPLETE)
    assert recipe == tomllib.loads(COMPLETE)
    assert read(tmp_path, COMPLETE, epochs=9)["loop"] == {"epochs": 9, "samples": 100}


@pytest.mark.parametrize(
    ("line", "changed", "words"),
    [
        ("seed = 1\n", "", "no field 'seed'"),
        ('start = "a.pth"\n', "", "no field 'start'"),
        ("validation = 0.1\n", "", "no field 'validation'"),
        ("samples = 100\n", "", "no field 'samples' in [loop]"),
        ("[loop]\nepochs = 3\nsamples = 100\n", "", "no table [loop]"),
        ('[[source]]\npath = "x"\nkind = "photos"\n', "", "no table [[source]]"),
        ("seed = 1\n", "seed = 1\nsource = [3]\n", "write each as [[source]]"),
        ("seed = 1", 'seed = "one"', "seed = 'one'; give a whole number"),
        ("seed = 1", "seed = 1.5", "seed = 1.5; give a whole number"),
        ("seed = 1", "seed = true", "seed = True; give a whole number"),
        ('start = "a.pth"', "start = 3", "start = 3; give text"),
        ("validation = 0.1", 'validation = "0.1"', "validation = '0.1'; give a number"),
        ("samples = 100", "samples = 1.5", "samples = 1.5; give a whole number"),
        ("seed = 1", "seed = = 1", "is not TOML"),
    ],
)
def test_broken_recipe_is_one_sentence(tmp_path: Path, line: str, changed: str, words: str) -> None:
    text = COMPLETE.replace(line, changed)
    if "source = [3]" in changed:
        text = text.replace('[[source]]\npath = "x"\nkind = "photos"\n', "")
    assert text != COMPLETE
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "recipe.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.toml cannot be read: No such file"):
        read_recipe(tmp_path / "gone.toml")


def test_recipe_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not TOML"):
        read_recipe(tmp_path / "r.toml")


@dataclass(frozen=True)
class Settings:
    count: int
    rate: float = 0.1
    names: tuple[str, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    levels: tuple[tuple[float, ...], ...] = ()
    fast: bool = False


def test_build() -> None:
    table = {
        "count": 3,
        "rate": 1,
        "names": ["a", "b"],
        "span": [1, 2.5],
        "levels": [[1, 2], [3]],
        "fast": True,
    }
    wanted = Settings(3, 1, ("a", "b"), (1, 2.5), ((1, 2), (3,)), True)
    assert build(Settings, table, "[x]") == wanted
    assert build(Settings, {"count": 3}, "[x]") == Settings(3)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "[x] has no field 'count'"),
        ({"count": 1, "rat": 0.1}, "[x] has the unknown field 'rat'; known are count, fast, levels"),
        ({"count": "1"}, "[x] has count = '1'; give a whole number"),
        ({"count": 1.0}, "[x] has count = 1.0; give a whole number"),
        ({"count": True}, "[x] has count = True; give a whole number"),
        ({"count": 1, "rate": "fast"}, "[x] has rate = 'fast'; give a number"),
        ({"count": 1, "rate": False}, "[x] has rate = False; give a number"),
        ({"count": 1, "names": "ab"}, "[x] has names = 'ab'; give a list of entries, each text"),
        ({"count": 1, "names": [1]}, "[x] has names = [1]; give a list of entries, each text"),
        ({"count": 1, "span": [1]}, "[x] has span = [1]; give a list of 2 entries, each a number"),
        ({"count": 1, "levels": [1]}, "[x] has levels = [1]; give a list of entries, each a list"),
        ({"count": 1, "fast": 1}, "[x] has fast = 1; give true or false"),
    ],
)
def test_wrong_table_is_one_sentence(table: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        build(Settings, table, "[x]")
    assert "\n" not in str(caught.value)


def test_source() -> None:
    table = {"path": "a", "kind": "crops", "labels": {"x": "mask", "y": "incorrect"}, "bare": ["x"]}
    source = build(Source, table, "[[source]]")
    assert source == Source("a", "crops", {"x": "mask", "y": "incorrect"}, ("x",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "video"}, "source a has kind 'video'; use scenes, wider, photos or crops"),
        ({"labels": {"x": "masked"}}, "source a has the label 'masked' for x; use mask, no_mask, incorrect"),
        ({"labels": {"x": 1}}, "give a table whose values are each text"),
        ({"labels": "mask"}, "[[source]] has labels = 'mask'"),
    ],
)
def test_wrong_source(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        build(Source, {"path": "a", "kind": "photos"} | fields, "[[source]]")


def test_files_of_a_source(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.webp", "b/note.txt", "b/labels.csv"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).touch()
    source = Source("own", "photos", bare=("b",))
    files = source.files(tmp_path)
    assert [str(f.relative_to(tmp_path)) for f in files] == ["own/a.webp", "own/b/1.jpg", "own/b/2.PNG"]
    assert [source.is_bare(f, tmp_path) for f in files] == [False, True, True]
    assert Source("own", "photos", bare=(".",)).is_bare(files[0], tmp_path)
    with pytest.raises(DataError, match="holds no pictures"):
        Source("none", "photos").files(tmp_path)


def test_sources_that_people_labelled() -> None:
    assert Source("own", "scenes").labelled
    assert Source("own", "crops", labels={"a": "mask"}).labelled
    assert Source("own", "photos", bare=(".",)).labelled
    assert not Source("own", "photos", bare=("some",)).labelled
    assert not Source("own", "photos", confident=0.9).labelled


@pytest.mark.parametrize("name", NAMES)
def test_recipes_of_the_project_can_be_used(name: str) -> None:
    pytest.importorskip("torch")
    from maskgate.training.classifier_data import ClassifierAugmentation
    from maskgate.training.detector_boxes import BoxRecipe
    from maskgate.training.detector_data import DetectorAugmentation
    from maskgate.training.detector_network import DetectorNetwork
    from maskgate.training.labelling import TeacherRecipe
    from maskgate.training.loop import LoopSettings
    from maskgate.training.starts import Start

    recipe = read_recipe(RECIPES / name)
    for table in recipe["source"]:
        build(Source, table, "[[source]]")
    build(TeacherRecipe, recipe["teacher"], "[teacher]")
    for name, start in recipe.get("starts", {}).items():
        build(Start, start, name)
    build(LoopSettings, {k: v for k, v in recipe["loop"].items() if k != "samples"}, "[loop]")
    kind = ClassifierAugmentation if "architecture" in recipe else DetectorAugmentation
    build(kind, recipe.get("augmentation", {}), "[augmentation]")
    if "backbone" in recipe:
        assert DetectorNetwork.of(recipe).start in recipe["starts"]
        build(BoxRecipe, recipe["boxes"], "[boxes]")


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in [str(k), *texts(v)]]
    return [t for v in value for t in texts(v)] if isinstance(value, list) else [str(value)]


# Sources and starts whose terms are not for commercial use: what ships must not come from them.
FORBIDDEN = ("utkface", "crops/unlabelled", "maskedface-net", "arcface", "facenet", "scenes/ilc")
STARTS = re.compile(
    r"scratch|(detection/retinaface_mnet025|face/dlib_resnet29|imagenet/ResNet50/model)[\w.]*"
    # what the recipes themselves have made
    r"|detectors/(mobilenet025-(first|second)|resnet50-first)\.safetensors|detectors/mobilenet025-second\.onnx"
    r"|detectors/retinaface-mobilenet025-0\.1\.0\.onnx|classifiers/face-resnet-0\.2\.0\.onnx"
)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_use_nothing_whose_terms_forbid_shipping(name: str) -> None:
    recipe = tomllib.loads((RECIPES / name).read_text())
    for text in texts(recipe):
        assert not any(word in text.lower() for word in FORBIDDEN), text
    for source in recipe["source"]:
        assert source["path"] not in ("crops", "scenes", ".", ""), "names a folder above the forbidden ones"
        assert ".." not in source["path"]
    starts = [start["file"] for start in recipe.get("starts", {}).values()] or [recipe["start"]]
    for start in [*starts, *recipe["teacher"]["files"]]:
        assert STARTS.fullmatch(start), start


def test_recipes_are_there() -> None:
    assert NAMES == [
        "cascade.toml",
        "classifier-second.toml",
        "classifier.toml",
        "detector-larger.toml",
        "detector-resnet50-larger.toml",
        "detector-resnet50.toml",
        "detector.toml",
        "direct.toml",
    ]


def test_corrected_pictures_are_there(shared: Path) -> None:
    pytest.importorskip("tqdm")
    from maskgate.training.crops import read_corrections

    file = RECIPES / "label_corrections.csv"
    corrections = read_corrections(file)
    with file.open(newline="") as rows:
        assert len(corrections) == len(list(csv.DictReader(rows)))  # none twice
    assert len(corrections) > 50
    missing = [name for name in corrections if not (shared / "data" / name).is_file()]
    assert not missing
    sources = tomllib.loads((RECIPES / "classifier.toml").read_text())["source"]
    labelled = tuple(f"{s['path']}/" for s in sources if "labels" in s)
    bare = tuple(f"{s['path']}/" for s in sources if "bare" in s)
    for name, label in corrections.items():  # pictures of many bare faces can only be left out
        assert name.startswith(labelled) or (name.startswith(bare) and label is None)
