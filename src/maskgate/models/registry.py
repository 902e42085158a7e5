"""Which models there are: those that ship, the user's own, and those of other distributions."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from maskgate.errors import MaskGateError, ModelCorruptError, ModelError, ModelNotFoundError
from maskgate.models.cards import ModelCard, Task

DEFAULT_DETECTOR = "retinaface-mobilenet025"
DEFAULT_CLASSIFIER = "face-resnet"
GROUPS: dict[Task, str] = {"detection": "maskgate.detectors", "classification": "maskgate.classifiers"}
"""Entry point groups in which other distributions offer models."""

WEIGHTS = Path(__file__).parent / "weights"


def user_folder() -> Path | None:
    """Where the user's own models lie: ``$MASKGATE_MODELS``, or ``maskgate/models`` in the platform's
    folder for data; None where there is no home."""
    chosen = os.environ.get("MASKGATE_MODELS")
    if chosen:
        return Path(chosen)
    variable, *below = {
        "win32": ("LOCALAPPDATA", "AppData", "Local"),
        "darwin": ("XDG_DATA_HOME", "Library", "Application Support"),
    }.get(sys.platform, ("XDG_DATA_HOME", ".local", "share"))
    try:
        data = os.environ.get(variable) or Path.home().joinpath(*below)
    except RuntimeError:
        return None
    return Path(data) / "maskgate" / "models"


def list_models() -> list[ModelCard]:
    """All cards, those that ship first. A user's own model stands in for a shipped one of its name.

    Raises :class:`~maskgate.errors.ModelCorruptError` where a card is broken.
    """
    return [_load(path) for path in _card_files().values()]


def find_card(name: str, task: Task) -> ModelCard:
    """The card of a name and task; no other card is opened, so that none can be in the way.

    Raises :class:`~maskgate.errors.ModelNotFoundError` listing the names there are, and
    :class:`~maskgate.errors.ModelCorruptError` where the card is broken.
    """
    files = _card_files()
    if name in files:
        card = _load(files[name])
        if card.task == task:
            return card
    known = ", ".join(_known_names(files, task)) or "none is installed"
    raise ModelNotFoundError(f"there is no {task} model {name!r}; choose from: {known}")


def list_plugins(task: Task) -> list[EntryPoint]:
    """The models of other distributions; the distribution is each one's ``dist``."""
    return sorted(entry_points(group=GROUPS[task]), key=lambda plugin: plugin.name)


def find_plugin(name: str, task: Task) -> EntryPoint | None:
    """The model of that name of another distribution, None where there is none.

    Raises :class:`~maskgate.errors.ModelError` where several distributions have one.
    """
    found = [plugin for plugin in list_plugins(task) if plugin.name == name]
    if len(found) > 1:
        names = ", ".join(sorted(_distribution(plugin) for plugin in found))
        raise ModelError(
            f"several distributions have a {task} model {name!r}: {names}; uninstall all but one"
        )
    return found[0] if found else None


def load_plugin(plugin: EntryPoint, members: tuple[str, ...], *arguments: Any, **options: Any) -> Any:
    """What a plugin's factory makes of the arguments.

    Args:
        plugin: of :func:`find_plugin`.
        members: attributes that it must have. The last one is the method, the rest are data.
        arguments: of the factory.
        options: of the factory.

    Raises :class:`~maskgate.errors.ModelError` naming the distribution where the factory cannot be
    imported, fails, or makes something without these members; errors of ours that the factory raises
    pass through.
    """
    origin = f"model {plugin.name!r} of the distribution {_distribution(plugin)!r}"
    try:
        made = plugin.load()(*arguments, **options)
    except MaskGateError:
        raise
    except Exception as error:
        raise ModelError(f"{origin} cannot be loaded: {type(error).__name__}: {error}") from error
    for member in members:
        if not hasattr(made, member):
            raise ModelError(f"{origin} is of no use: its {type(made).__name__} has no {member!r}")
    if not callable(getattr(made, members[-1])):
        raise ModelError(f"{origin} is of no use: {members[-1]!r} of its {type(made).__name__} is no method")
    return made


def _distribution(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.value


def _card_files() -> dict[str, Path]:
    """The files of all cards by name."""
    files: dict[str, Path] = {}
    for folder in (WEIGHTS, user_folder()):
        try:
            paths = sorted(folder.iterdir()) if folder else []
        except OSError:  # none there, or not ours to read
            continue
        files |= {path.stem: path for path in paths if path.suffix == ".json" and path.name[0] != "."}
    return files


def _load(path: Path) -> ModelCard:
    card = ModelCard.load(path)
    if card.name != path.stem:
        raise ModelCorruptError(
            f"the model card {path} has {card.name!r} in the field 'name'; "
            f"wanted: {path.stem!r} as in the file's name"
        )
    return card


def _known_names(files: dict[str, Path], task: Task) -> list[str]:
    names = {plugin.name for plugin in list_plugins(task)}
    for name, path in files.items():
        try:
            card = _load(path)
        except ModelError:
            continue
        if card.task == task:
            names.add(name)
    return sorted(names)
