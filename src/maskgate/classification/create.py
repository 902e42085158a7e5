"""Classifiers by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast, get_args

from maskgate.alignment import CropSpec
from maskgate.classification.facenet_svm import MACHINE, NETWORK, FaceNet, FaceNetSvmClassifier
from maskgate.classification.pca import PCAClassifier, Rule, eigenfaces_from_bytes
from maskgate.classification.protocol import Classifier
from maskgate.classification.resnet import ResNetClassifier
from maskgate.classification.svm import svm_from_bytes
from maskgate.errors import InputError, ModelCorruptError
from maskgate.models.bundles import read_bundle
from maskgate.models.cards import InputSpec, ModelCard, is_number, is_whole
from maskgate.models.registry import DEFAULT_CLASSIFIER, find_card, find_plugin, load_plugin
from maskgate.models.sessions import RuntimeOptions, load_session, open_session
from maskgate.types import LABELS

# what the card may tell besides is in the graph (temperature) or the pipeline's default (uncertain)
_SETTINGS = ("crop", "threshold", "sure", "temperature", "uncertain")


def create_classifier(name: str | None, options: RuntimeOptions) -> Classifier:
    """The classifier of a name: another distribution's, or one that has a card.

    Other distributions name theirs in the entry point group ``maskgate.classifiers``: a class or
    function that takes ``options``, as here.

    Args:
        name: the default where None.
        options: where it runs.

    Raises:
        ModelNotFoundError: there is no such model, or its file is missing.
        ModelError: another distribution's model cannot be loaded or is no classifier.
        ModelCorruptError: the card or the file is broken, or they do not go together.
        InputError: the device cannot be had.
    """
    if name is None:
        name = DEFAULT_CLASSIFIER
    plugin = find_plugin(name, "classification")
    if plugin is not None:
        members = ("name", "crop", "threshold", "classify")
        return cast(Classifier, load_plugin(plugin, members, options))
    return open_classifier(find_card(name, "classification"), options)


def open_classifier(card: ModelCard, options: RuntimeOptions) -> Classifier:
    """The classifier of a card, wherever it lies; arguments and errors as for :func:`create_classifier`."""
    if card.architecture not in _ARCHITECTURES:
        raise card.unfit("architecture", card.architecture, " or ".join(map(repr, _ARCHITECTURES)))
    return _ARCHITECTURES[card.architecture](card, options)


def face_resnet_settings(card: ModelCard) -> tuple[CropSpec, float, float]:
    """Crop, threshold and ``sure`` (0 where not named) of a face ResNet's card.

    Raises :class:`~maskgate.errors.ModelCorruptError` naming the card's file and field.
    """
    labels = [str(label) for label in LABELS]
    if list(card.classes) != labels:
        raise card.unfit("classes", list(card.classes), repr(labels))
    settings = card.settings
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise card.unfit(f"settings.{name}", value, f"only {', '.join(_SETTINGS)}")
    threshold = settings.get("threshold")
    if not is_number(threshold) or not 0 < threshold < 1:
        raise card.unfit("settings.threshold", threshold, "a number between 0 and 1")
    sure = settings.get("sure", 0.0)
    if not is_number(sure) or not 0 <= sure <= 1:
        raise card.unfit("settings.sure", sure, "a number from 0 to 1")
    crop = _crop(card)
    wanted = InputSpec(crop.size, crop.size, "RGB", layout="NHWC")
    if card.input != wanted:
        raise card.unfit("input", card.input, f"{wanted}, as crop and architecture have it")
    return crop, float(threshold), float(sure)


def _crop(card: ModelCard) -> CropSpec:
    crop = card.settings.get("crop")
    if not isinstance(crop, dict) or set(crop) != {"kind", "size", "margin"}:
        raise card.unfit("settings.crop", crop, "an object of kind, size and margin")
    if not is_whole(crop["size"], 1) or not is_number(crop["margin"]):
        raise card.unfit("settings.crop", crop, "whole pixels as the size, a number as the margin")
    try:
        return CropSpec(**crop)
    except InputError as error:
        raise ModelCorruptError(f"the model card {card.name}.json in {card.folder}: {error}") from error


def _face_resnet(card: ModelCard, options: RuntimeOptions) -> Classifier:
    crop, threshold, sure = face_resnet_settings(card)
    session = load_session(card, options)
    inputs = [(node.type, list(node.shape[1:])) for node in session.get_inputs()]
    outputs = [(node.type, list(node.shape[1:])) for node in session.get_outputs()]
    wanted = [("tensor(uint8)", [crop.size, crop.size, 3])], [("tensor(float)", [len(LABELS)])]
    if (inputs, outputs) != wanted:
        raise ModelCorruptError(
            f"{card.path} is no face ResNet of its card: it takes {inputs} and gives {outputs}"
        )
    return ResNetClassifier(session, crop, threshold, card.name, sure)


def _facenet_svm(card: ModelCard, options: RuntimeOptions) -> Classifier:
    crop, threshold, _ = face_resnet_settings(card)
    parts = read_bundle(card, (NETWORK, MACHINE))
    session = open_session(parts[NETWORK], f"{NETWORK} in {card.path}", options)
    inputs = [(node.type, list(node.shape[1:])) for node in session.get_inputs()]
    outputs = [(node.type, len(node.shape)) for node in session.get_outputs()]
    wanted = [("tensor(uint8)", [crop.size, crop.size, 3])], [("tensor(float)", 2)]
    if (inputs, outputs) != wanted:
        raise ModelCorruptError(f"{NETWORK} in {card.path} is no FaceNet of its card: it takes {inputs}")
    try:
        svm = svm_from_bytes(parts[MACHINE])
        return FaceNetSvmClassifier(FaceNet(session), svm, crop, threshold, card.name)
    except InputError as error:
        raise ModelCorruptError(f"{card.path} is no FaceNet with a machine: {error}") from error


def _pca(card: ModelCard, options: RuntimeOptions) -> Classifier:
    rule, temperature = card.settings.get("rule"), card.settings.get("temperature", 1.0)
    if rule not in get_args(Rule):
        raise card.unfit("settings.rule", rule, " or ".join(map(repr, get_args(Rule))))
    if not is_number(temperature) or temperature <= 0:
        raise card.unfit("settings.temperature", temperature, "a number above 0")
    rest = {name: value for name, value in card.settings.items() if name != "rule"}
    crop, threshold, _ = face_resnet_settings(replace(card, settings=rest))
    try:
        eigenfaces = eigenfaces_from_bytes(card.read())
        return PCAClassifier(eigenfaces, crop, cast(Rule, rule), threshold, float(temperature), card.name)
    except InputError as error:
        raise ModelCorruptError(f"{card.path} holds no eigenfaces of its card: {error}") from error


_ARCHITECTURES: dict[str, Callable[[ModelCard, RuntimeOptions], Classifier]] = {
    "face_resnet": _face_resnet,
    "pca": _pca,
    "facenet_svm": _facenet_svm,
}
