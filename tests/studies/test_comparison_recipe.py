from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from maskgate.errors import DataError
from maskgate.studies.comparison_recipe import Part, comparison_of_folder, read_comparison

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SPLIT = (
    'seed = 1\nstart = "scratch"\nvalidation = 0.1\n[[source]]\npath = "p"\n[loop]\nsamples = 5\nepochs = 7\n'
)


def written(folder: Path, text: str) -> Path:
    (folder / "split.toml").write_text(SPLIT)
    (folder / "methods.toml").write_text(text)
    return folder / "methods.toml"


def method(name: str, detector: str, classifier: str = "") -> str:
    last = f"classifier = {{ {classifier} }}\n" if classifier else ""
    return f'[[method]]\nname = "{name}"\ntitle = "{name}"\ndetector = {{ {detector} }}\n{last}'


HEAD = 'split = "split.toml"\ndefault = "a"\n'
MODELS = 'model = "d"', 'model = "c"'


def test_the_projects_own() -> None:
    recipe = read_comparison(RECIPES / "studies" / "comparison.toml")
    names = [m.name for m in recipe.methods]
    assert names == [
        "mtcnn-facenet-svm",
        "pca",
        "cascade-cnn",
        "direct",
        "retinaface-resnet",
    ]  # as the contract has them
    judged = recipe.recipes[recipe.split]
    assert judged["test"] > 0
    for m in recipe.methods:
        for part in m.parts.values():
            if part.recipe:  # on the same sides of the same split
                own = recipe.recipes[part.recipe]
                assert [own[k] for k in ("seed", "validation", "test")] == [
                    judged[k] for k in ("seed", "validation", "test")
                ]
                assert (recipe.folders[part.recipe] / own["corrections"]).is_file()
    assert [m.name for m in recipe.only(["pca"]).methods] == ["pca", "retinaface-resnet"]


def test_epochs_are_those_of_all_trainings(tmp_path: Path) -> None:
    file = written(tmp_path, HEAD + method("a", 'train = "cascade", recipe = "split.toml"'))
    assert read_comparison(file).recipes["split.toml"]["loop"]["epochs"] == 7
    assert read_comparison(file, 2).recipes["split.toml"]["loop"]["epochs"] == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "is not TOML"),
        ('default = "a"\nmethod = []', "has no field 'split'"),
        (HEAD + "method = []", "methods are none"),
        (HEAD + method("b", *MODELS), "methods are b; .*not 'a'"),
        (HEAD + method("a", *MODELS) * 2, "methods are a, a"),
        (HEAD + method("a", 'kind = "x"'), "the detector of method 'a' has the unknown field 'kind'"),
        (HEAD + method("a", 'model = "x", weights = "y"'), "wants one of"),
        (HEAD + method("a", 'train = "gan", recipe = "split.toml"'), "train = 'gan'; known are resnet"),
        (HEAD + method("a", 'train = "pca"'), "go together"),
        (HEAD + method("a", 'train = "pca", recipe = "gone.toml"'), r"gone\.toml cannot be read"),
        (HEAD + "learnt = true\n" + method("a", *MODELS), "learnt = True; give a whole number"),
        (HEAD + method("a", *MODELS) + "[speed]\nrounds = 0", "at least one"),
        (HEAD + method("a", *MODELS) + "[robustness]\ncats = 1", "unknown field 'cats'"),
        (
            HEAD + method("a", MODELS[0], 'train = "pca", recipe = "split.toml"')
            + method("b", 'train = "cascade", recipe = "split.toml", run = "pca"'),
            "two methods have the run 'pca' with other recipes",
        ),
    ],
)  # fmt: skip
def test_recipes_that_are_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_comparison(written(tmp_path, text))


def test_two_methods_may_share_a_run(tmp_path: Path) -> None:
    pca = 'train = "pca", recipe = "split.toml"'
    read_comparison(written(tmp_path, HEAD + method("a", MODELS[0], pca) + method("b", 'model = "e"', pca)))


def test_names_of_runs() -> None:
    assert Part(train="pca", recipe="r.toml").folder == "pca"
    assert Part(train="pca", recipe="r.toml", run="other").folder == "other"
    assert Part(weights="published/mtcnn").folder == "mtcnn"


def test_a_folder_of_ones_own(tmp_path: Path, shared: Path) -> None:
    for name in ("mask", "no_mask"):
        (tmp_path / name).mkdir()
    recipe = comparison_of_folder(tmp_path, [])
    assert [m.name for m in recipe.methods] == ["pca", "cascade-cnn", "retinaface-resnet"]
    whole = comparison_of_folder(tmp_path, [tmp_path, shared / "weights"])
    assert whole.methods[0].name == "mtcnn-facenet-svm"
    with pytest.raises(DataError, match="a folder of each label"):
        comparison_of_folder(tmp_path / "mask", [])
