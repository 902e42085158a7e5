from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskgate.errors import InputError, ModelNotFoundError
from maskgate.models import DEFAULT_DETECTOR, ModelCard, list_models
from maskgate.models.own import folder_for, remove_model

Add = Callable[..., ModelCard]


def test_a_free_name(own_models: Path) -> None:
    assert folder_for("mine") == own_models


def test_names_that_are_taken(add_model: Add) -> None:
    add_model("mine", b"x")
    with pytest.raises(InputError, match=r"you have a model 'mine'; .* run: maskgate models remove mine"):
        folder_for("mine")
    with pytest.raises(InputError, match="ships with maskgate; choose another one"):
        folder_for(DEFAULT_DETECTOR)


@pytest.mark.parametrize("name", ["../mine", "", ".mine", "a b"])
def test_names_that_are_none(own_models: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a model"):
        folder_for(name)


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskgate.models.own.user_folder", lambda: None)
    with pytest.raises(InputError, match="name one in MASKGATE_MODELS"):
        folder_for("mine")
    with pytest.raises(ModelNotFoundError, match="your own are: none"):
        remove_model("mine")


def test_a_removed_model_is_gone(own_models: Path, add_model: Add) -> None:
    card, other = add_model("mine", b"x"), add_model("other", b"y")
    assert remove_model("mine") == [own_models / "mine.json", card.path]
    assert sorted(path.name for path in own_models.iterdir()) == ["other.json", "other.onnx"]
    assert [c for c in list_models() if c.folder == own_models] == [other]


def test_weights_that_another_card_names_stay(own_models: Path, add_model: Add) -> None:
    card = add_model("mine", b"x")
    add_model("twin", b"x", file=card.file)
    assert remove_model("mine") == [own_models / "mine.json"]
    assert card.path.exists()


def test_a_broken_card_can_be_removed(own_models: Path) -> None:
    (own_models / "bad.json").write_text("{")
    assert remove_model("bad") == [own_models / "bad.json"]


def test_a_card_whose_weights_are_gone(add_model: Add) -> None:
    card = add_model("mine", b"x")
    card.path.unlink()
    assert len(remove_model("mine")) == 1


def test_models_that_cannot_be_removed(add_model: Add, own_models: Path) -> None:
    add_model("mine", b"x")
    (own_models / "sub").mkdir()
    (own_models / "sub" / "deep.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match="ships with maskgate and cannot be removed"):
        remove_model(DEFAULT_DETECTOR)
    for name in ("gone", "sub/deep", "../own/mine"):
        with pytest.raises(ModelNotFoundError, match=r"you have no model .*; your own are: mine"):
            remove_model(name)
