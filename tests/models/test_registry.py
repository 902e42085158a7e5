from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maskgate.errors import InputError, ModelCorruptError, ModelError, ModelNotFoundError
from maskgate.models import ModelCard, find_card, list_models, registry

AddModel = Callable[..., ModelCard]
Install = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that takes the place of the one inside the package."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(registry, "WEIGHTS", folder)
    return folder


def move(card: ModelCard, folder: Path) -> None:
    for path in card.folder.glob(f"{card.name}.*"):
        path.rename(folder / path.name)


def test_shipped_models_come_first_and_own_ones_stand_in_for_them(add_model: AddModel, shipped: Path) -> None:
    for name in ("b", "c"):
        move(add_model(name, b"shipped"), shipped)
    own = [add_model(name, b"own") for name in ("a", "b")]
    assert [(card.name, card.read()) for card in list_models()] == [
        ("b", b"own"),
        ("c", b"shipped"),
        ("a", b"own"),
    ]
    assert find_card("b", "detection") == own[1]
    assert find_card("b", "detection").folder == own[1].folder


def test_no_models(own_models: Path) -> None:
    own_models.rmdir()
    assert list_models() == []
    with pytest.raises(ModelNotFoundError, match="'x'; choose from: none is installed"):
        find_card("x", "detection")


def test_other_files_are_passed_over(add_model: AddModel, own_models: Path) -> None:
    add_model("a", b"1")
    (own_models / "README.txt").write_text("mine")
    (own_models / ".a.json.123").write_text("{")
    (own_models / ".hidden.json").write_text("{")
    assert [card.name for card in list_models()] == ["a"]


def test_an_unknown_name_lists_those_there_are(
    add_model: AddModel, own_models: Path, install: Install
) -> None:
    add_model("one", b"1")
    add_model("two", b"2", task="classification")
    (own_models / "broken.json").write_text("{")
    install("plugged-toys", "", "[maskgate.detectors]\nplugged = plugged_toys:Toy\n")
    message = r"^there is no detection model 'tow'; choose from: one, plugged$"
    with pytest.raises(ModelNotFoundError, match=message):
        find_card("tow", "detection")
    with pytest.raises(ModelNotFoundError, match=r"no detection model 'two'; choose from: one, plugged$"):
        find_card("two", "detection")
    with pytest.raises(ModelNotFoundError, match=r"no classification model 'one'; choose from: two$"):
        find_card("one", "classification")
    for name in ("", "../one", "one.json"):
        with pytest.raises(ModelNotFoundError):
            find_card(name, "detection")


def test_a_broken_card_is_in_nobody_elses_way(add_model: AddModel, own_models: Path) -> None:
    card = add_model("good", b"1")
    (own_models / "bad.json").write_text("{")
    assert find_card("good", "detection") == card
    with pytest.raises(ModelCorruptError, match=r"bad\.json is not JSON"):
        find_card("bad", "detection")
    with pytest.raises(ModelCorruptError, match=r"bad\.json is not JSON"):
        list_models()


def test_a_card_goes_by_the_name_of_its_file(add_model: AddModel, own_models: Path) -> None:
    add_model("a", b"1")
    (own_models / "a.json").rename(own_models / "b.json")
    with pytest.raises(ModelCorruptError, match=r"b\.json has 'a' in the field 'name'; wanted: 'b'"):
        find_card("b", "detection")


@pytest.mark.parametrize(
    ("platform", "variables", "below"),
    [
        ("linux", {}, "home/.local/share"),
        ("linux", {"XDG_DATA_HOME": "data"}, "data"),
        ("darwin", {}, "home/Library/Application Support"),
        ("win32", {"LOCALAPPDATA": "local"}, "local"),
    ],
)
def test_folder_of_own_models(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    variables: dict[str, str],
    below: str,
) -> None:
    for name in ("MASKGATE_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr(sys, "platform", platform)
    assert registry.user_folder() == tmp_path / below / "maskgate" / "models"
    monkeypatch.setenv("MASKGATE_MODELS", str(tmp_path / "mine"))
    assert registry.user_folder() == tmp_path / "mine"


def test_no_home_and_no_models_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MASKGATE_MODELS", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert registry.user_folder() is None
    assert list_models() == []


TOY = """
from maskgate.errors import InputError

class Toy:
    name = "toy"
    def __init__(self, options, score=None):
        if score == 2:
            raise InputError("score is 2")
        self.given = options, score
    def detect(self, images):
        return []

def fails(options, score=None):
    return 1 / 0

def nothing(options, score=None):
    return None

def nameless(options, score=None):
    toy = type("Nameless", (), {"detect": Toy.detect})
    return toy()

def flat(options, score=None):
    toy = Toy(options)
    toy.detect = []
    return toy
"""

POINTS = """
[maskgate.detectors]
toy = toy_shop:Toy
fails = toy_shop:fails
nothing = toy_shop:nothing
nameless = toy_shop:nameless
flat = toy_shop:flat
misspelt = toy_shop:Toi
absent = toy_shop_that_is_not_there:Toy
"""


def load(name: str, score: float | None = None) -> object:
    plugin = registry.find_plugin(name, "detection")
    assert plugin is not None
    return registry.load_plugin(plugin, ("name", "detect"), "options", score=score)


def test_plugins(install: Install) -> None:
    assert registry.find_plugin("toy", "detection") is None
    install("toy-shop", TOY, POINTS)
    toy = load("toy", 0.5)
    assert toy.given == ("options", 0.5)  # type: ignore[attr-defined]
    assert registry.find_plugin("toy", "classification") is None
    listed = registry.list_plugins("detection")
    assert [(p.name, p.dist.name) for p in listed if p.dist] == [
        (name, "toy-shop") for name in ("absent", "fails", "flat", "misspelt", "nameless", "nothing", "toy")
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", "cannot be loaded: ZeroDivisionError"),
        ("misspelt", "cannot be loaded: AttributeError"),
        ("absent", "cannot be loaded: ModuleNotFoundError"),
        ("nothing", "is of no use: its NoneType has no 'name'"),
        ("nameless", "is of no use: its Nameless has no 'name'"),
        ("flat", "is of no use: 'detect' of its Toy is no method"),
    ],
)
def test_a_plugin_that_is_of_no_use_names_its_distribution(install: Install, name: str, reason: str) -> None:
    install("toy-shop", TOY, POINTS)
    with pytest.raises(ModelError, match=f"^model '{name}' of the distribution 'toy-shop' {reason}"):
        load(name)


def test_our_errors_pass_through_plugins(install: Install) -> None:
    install("toy-shop", TOY, POINTS)
    with pytest.raises(InputError, match=r"^score is 2$"):
        load("toy", 2)


def test_two_distributions_with_one_name(install: Install) -> None:
    install("toy-shop", TOY, POINTS)
    install("other-shop", "", "[maskgate.detectors]\ntoy = other_shop:Toy\n")
    with pytest.raises(ModelError, match=r"several .* a detection model 'toy': other-shop, toy-shop;"):
        registry.find_plugin("toy", "detection")


def test_shipped_cards_are_whole(monkeypatch: pytest.MonkeyPatch, own_models: Path) -> None:
    folder = Path(registry.__file__).parent / "weights"
    monkeypatch.setattr(registry, "WEIGHTS", folder)
    if not folder.is_dir():
        pytest.skip("no model is shipped yet")
    cards = list_models()
    assert {registry.DEFAULT_DETECTOR, registry.DEFAULT_CLASSIFIER} <= {card.name for card in cards}
    for card in cards:
        card.verify()
        assert json.loads((folder / f"{card.name}.json").read_text("utf-8")) == card.to_json()
    assert {p.name for p in folder.iterdir()} == {f for c in cards for f in (c.file, f"{c.name}.json")}
