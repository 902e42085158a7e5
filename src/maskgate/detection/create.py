"""Detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, cast

from maskgate.detection.protocol import Detector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models.cards import ModelCard, is_number, is_whole
from maskgate.models.registry import DEFAULT_DETECTOR, find_card, find_plugin, load_plugin
from maskgate.models.sessions import RuntimeOptions, load_session


def create_detector(name: str | None, options: RuntimeOptions, *, score: float | None = None) -> Detector:
    """The detector of a name: another distribution's, or one that has a card.

    Other distributions name theirs in the entry point group ``maskgate.detectors``: a class or
    function that takes ``options`` and the keyword ``score``, both as here.

    Args:
        name: the default where None.
        options: where it runs.
        score: lowest score of a face, in (0, 1); the model's own where None.

    Raises:
        ModelNotFoundError: there is no such model, or its file is missing.
        ModelError: another distribution's model cannot be loaded or is no detector.
        ModelCorruptError: the card or the file is broken, or they do not go together.
        InputError: ``score`` is out of range, or the device cannot be had.
    """
    if name is None:
        name = DEFAULT_DETECTOR
    plugin = find_plugin(name, "detection")
    if plugin is not None:
        return cast(Detector, load_plugin(plugin, ("name", "detect"), options, score=score))
    card = find_card(name, "detection")
    if card.architecture not in _ARCHITECTURES:
        raise card.unfit("architecture", card.architecture, " or ".join(map(repr, _ARCHITECTURES)))
    return _ARCHITECTURES[card.architecture](card, options, score)


def retinaface_settings(card: ModelCard) -> RetinaFaceSettings:
    """The settings of a RetinaFace card: fields of :class:`RetinaFaceSettings`, each with its default;
    ``mean`` is the input's.

    Raises :class:`~maskgate.errors.ModelCorruptError` naming the card's file and field.
    """
    spec = card.input
    for name, wanted in (("colour", "BGR"), ("layout", "NCHW"), ("scale", 1.0)):
        if getattr(spec, name) != wanted:
            raise card.unfit(f"input.{name}", getattr(spec, name), repr(wanted))
    if card.classes != ("face",):
        raise card.unfit("classes", list(card.classes), "['face']")
    defaults: dict[str, Any] = {f.name: f.default for f in fields(RetinaFaceSettings) if f.name != "mean"}
    values: dict[str, Any] = {"mean": spec.mean}
    for name, value in card.settings.items():
        if name not in defaults:
            raise card.unfit(f"settings.{name}", value, f"only {', '.join(defaults)}")
        if name == "anchors":
            if not _is_anchors(value):
                raise card.unfit("settings.anchors", value, "three lists of sides in pixels, of equal length")
            value = tuple(tuple(float(side) for side in level) for level in value)
        elif isinstance(defaults[name], int):
            if not is_whole(value, 0):
                raise card.unfit(f"settings.{name}", value, "a whole number of at least 0")
        elif not is_number(value) or value <= 0:
            raise card.unfit(f"settings.{name}", value, "a number above 0")
        values[name] = value
    try:
        return RetinaFaceSettings(**values)
    except InputError as error:
        raise ModelCorruptError(f"the model card {card.name}.json in {card.folder}: {error}") from error


def _is_anchors(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(level, list) and len(level) == len(value[0]) > 0 for level in value)
        and all(is_number(side) and side > 0 for level in value for side in level)
    )


def _retinaface(card: ModelCard, options: RuntimeOptions, score: float | None) -> Detector:
    settings = retinaface_settings(card)
    if score is not None:
        settings = replace(settings, score=score)
    session = load_session(card, options)
    try:
        return RetinaFaceDetector(session, settings, card.name)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelCorruptError(f"{card.path} is no RetinaFace: its outputs are other ones") from error


_ARCHITECTURES: dict[str, Callable[[ModelCard, RuntimeOptions, float | None], Detector]] = {
    "retinaface": _retinaface,
}
