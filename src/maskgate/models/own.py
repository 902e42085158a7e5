"""The user's own models: a free name for a new one, and the removal of an old one."""

from __future__ import annotations

import re
from pathlib import Path

from maskgate.errors import InputError, ModelError, ModelNotFoundError
from maskgate.models.cards import NAME, ModelCard
from maskgate.models.registry import WEIGHTS, list_models, user_folder


def folder_for(name: str) -> Path:
    """Where a new model of the user's goes, which need not be there yet.

    Raises :class:`~maskgate.errors.InputError` where the name is taken or none that a model may have, or
    there is no home to put it in.
    """
    if not re.fullmatch(NAME, name):
        raise InputError(f"{name!r} is no name for a model; use letters, digits, '.', '_' and '-'")
    folder = user_folder()
    if folder is None:
        raise InputError("there is no folder for your own models; name one in MASKGATE_MODELS")
    if (WEIGHTS / f"{name}.json").exists():
        raise InputError(f"a model of the name {name!r} ships with maskgate; choose another one with --name")
    if (folder / f"{name}.json").exists():
        raise InputError(
            f"you have a model {name!r}; choose another --name, or run: maskgate models remove {name}"
        )
    return folder


def remove_model(name: str) -> list[Path]:
    """Deletes one of the user's own models: its card, and its weights where no other card names them.

    Returns what was deleted. A kill in between leaves weights without a card, which nothing finds.

    Raises :class:`~maskgate.errors.ModelNotFoundError` where the user has no such model, and
    :class:`~maskgate.errors.ModelError` where a file cannot be deleted.
    """
    folder = user_folder()
    card_file = folder / f"{name}.json" if folder else None
    if card_file is None or not card_file.is_file() or card_file.parent != folder:
        if (WEIGHTS / f"{name}.json").exists():
            raise ModelNotFoundError(f"the model {name!r} ships with maskgate and cannot be removed")
        own = ", ".join(card.name for card in list_models() if card.folder == folder) or "none"
        raise ModelNotFoundError(f"you have no model {name!r}; your own are: {own}")
    doomed = [card_file]
    try:
        weights = ModelCard.load(card_file).path
    except ModelError:  # a broken card is no reason to keep it
        weights = None
    others = (path for path in card_file.parent.glob("*.json") if path != card_file)
    if weights is not None and weights.is_file() and not any(_names(other, weights) for other in others):
        doomed.append(weights)
    for path in doomed:
        try:
            path.unlink()
        except OSError as error:
            raise ModelError(f"{path} cannot be deleted: {error.strerror}") from error
    return doomed


def _names(card: Path, weights: Path) -> bool:
    try:
        return ModelCard.load(card).path == weights
    except ModelError:
        return False
