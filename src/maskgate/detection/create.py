"""Detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from maskgate.detection import cascade, mtcnn
from maskgate.detection.direct import DirectMaskFinder
from maskgate.detection.protocol import Detector
from maskgate.detection.retinaface import RetinaFaceDetector, RetinaFaceSettings
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models.bundles import read_bundle
from maskgate.models.cards import InputSpec, ModelCard, is_number, is_whole
from maskgate.models.registry import DEFAULT_DETECTOR, find_card, find_plugin, load_plugin
from maskgate.models.sessions import RuntimeOptions, load_session, open_session
from maskgate.types import LABELS

T = TypeVar("T")
Settings = TypeVar("Settings", RetinaFaceSettings, mtcnn.MtcnnSettings, cascade.CascadeSettings)

DIRECT_CLASSES = ("background", *(str(label) for label in LABELS))
"""What an anchor is, in direct mask finding."""


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
    return open_detector(find_card(name, "detection"), options, score=score)


def open_detector(card: ModelCard, options: RuntimeOptions, *, score: float | None = None) -> Detector:
    """The detector of a card, wherever it lies; arguments and errors as for :func:`create_detector`."""
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
    classes = DIRECT_CLASSES if card.architecture == "direct" else ("face",)
    if card.classes != classes:
        raise card.unfit("classes", list(card.classes), repr(list(classes)))
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
    settings = _scored(retinaface_settings(card), score)
    session = load_session(card, options)
    try:
        return RetinaFaceDetector(session, settings, card.name)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelCorruptError(f"{card.path} is no RetinaFace: its outputs are other ones") from error


def direct_settings(card: ModelCard) -> tuple[RetinaFaceSettings, float]:
    """The settings and the threshold of a card of direct mask finding: fields of
    :class:`RetinaFaceSettings`, ``threshold``, and ``temperature``, which is in the graph.

    Raises :class:`~maskgate.errors.ModelCorruptError` naming the card's file and field.
    """
    rest = dict(card.settings)
    threshold, temperature = rest.pop("threshold", None), rest.pop("temperature", 1.0)
    if not is_number(threshold) or not 0 < threshold < 1:
        raise card.unfit("settings.threshold", threshold, "a number between 0 and 1")
    if not is_number(temperature) or temperature <= 0:
        raise card.unfit("settings.temperature", temperature, "a number above 0")
    return retinaface_settings(replace(card, settings=rest)), float(threshold)


def _direct(card: ModelCard, options: RuntimeOptions, score: float | None) -> Detector:
    settings, threshold = direct_settings(card)
    session = load_session(card, options)
    try:
        return DirectMaskFinder(session, _scored(settings, score), threshold, card.name)
    except InputError as error:
        raise ModelCorruptError(f"{card.path} is no network of its card: {error}") from error


def mtcnn_settings(card: ModelCard) -> mtcnn.MtcnnSettings:
    """The settings of an MTCNN card: fields of
    :class:`~maskgate.detection.mtcnn.MtcnnSettings`, each with its default.

    Raises :class:`~maskgate.errors.ModelCorruptError` naming the card's file and field.
    """
    if card.input != mtcnn.INPUT:
        raise card.unfit("input", card.input, f"{mtcnn.INPUT}, as the architecture has it")
    if card.classes != ("face",):
        raise card.unfit("classes", list(card.classes), "['face']")
    return _numbers_of(card, mtcnn.MtcnnSettings)


def cascade_settings(card: ModelCard) -> cascade.CascadeSettings:
    """The settings of a cascade's card: fields of
    :class:`~maskgate.detection.cascade.CascadeSettings`, each with its default.

    Raises :class:`~maskgate.errors.ModelCorruptError` naming the card's file and field.
    """
    wanted = InputSpec(None, None, "RGB", layout="NHWC")
    if card.input != wanted:
        raise card.unfit("input", card.input, f"{wanted}, as the architecture has it")
    if card.classes != ("masked face",):
        raise card.unfit("classes", list(card.classes), "['masked face']")
    return _numbers_of(card, cascade.CascadeSettings)


def _numbers_of(card: ModelCard, kind: type[T]) -> T:
    """The card's settings as a dataclass of numbers, each with its default."""
    defaults = {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
    for name, value in card.settings.items():
        if name not in defaults:
            raise card.unfit(f"settings.{name}", value, f"only {', '.join(defaults)}")
        if isinstance(defaults[name], int):
            if not is_whole(value, 1):
                raise card.unfit(f"settings.{name}", value, "a whole number of at least 1")
        elif not is_number(value):
            raise card.unfit(f"settings.{name}", value, "a number")
    try:
        return kind(**card.settings)
    except InputError as error:
        raise ModelCorruptError(f"the model card {card.name}.json in {card.folder}: {error}") from error


def _scored(settings: Settings, score: float | None) -> Settings:
    """The settings with ``score`` where one is given."""
    return settings if score is None else replace(settings, score=score)


def _mtcnn(card: ModelCard, options: RuntimeOptions, score: float | None) -> Detector:
    settings = _scored(mtcnn_settings(card), score)
    names = (mtcnn.PROPOSAL, mtcnn.REFINEMENT, mtcnn.OUTPUT)
    parts = read_bundle(card, names)
    proposal, refinement, output = (
        open_session(parts[name], f"{name} in {card.path}", options) for name in names
    )
    for name, session in zip(names, (proposal, refinement, output), strict=True):
        wanted = {k: v for k, v in mtcnn.WIDTHS.items() if name == mtcnn.OUTPUT or k != "landmarks"}
        found = {node.name: list(node.shape)[1:2] for node in session.get_outputs()}
        if found != {k: [v] for k, v in wanted.items()}:
            raise ModelCorruptError(
                f"{name} in {card.path} is no network of MTCNN: its outputs are {found}, not {wanted}"
            )
    return mtcnn.MtcnnDetector(proposal, refinement, output, settings, card.name)


def _cascade(card: ModelCard, options: RuntimeOptions, score: float | None) -> Detector:
    settings = _scored(cascade_settings(card), score)
    parts = read_bundle(card, cascade.PARTS)
    sessions = [open_session(parts[name], f"{name} in {card.path}", options) for name in cascade.PARTS]
    for stage, (name, session) in enumerate(zip(cascade.PARTS, sessions, strict=True)):
        axes = {node.name: len(node.shape) for node in session.get_outputs()}
        given = [(node.type, node.shape[-1]) for node in session.get_inputs()]
        wanted = dict(zip(cascade.OUTPUTS, (1, 2) if stage else (3, 4), strict=True))
        if axes != wanted or given != [("tensor(uint8)", 3)]:
            raise ModelCorruptError(
                f"{name} in {card.path} is no network of the cascade: it takes {given}, and the axes of its "
                f"outputs are {axes}, not {wanted}"
            )
    return cascade.CascadeDetector(sessions, settings, card.name)


_ARCHITECTURES: dict[str, Callable[[ModelCard, RuntimeOptions, float | None], Detector]] = {
    "retinaface": _retinaface,
    "direct": _direct,
    "mtcnn": _mtcnn,
    "cascade": _cascade,
}
