"""From a finished run folder to a model that the package can ship: the network and its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from maskgate.classification.facenet_svm import SIZE as FACENET_SIZE
from maskgate.detection.create import DIRECT_CLASSES
from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.files import write_atomic
from maskgate.models.cards import InputSpec, ModelCard, write_card
from maskgate.training.classifier_data import ClassifierAugmentation
from maskgate.training.detector_data import detection_settings
from maskgate.training.recipe import build
from maskgate.types import LABELS


@dataclass(frozen=True)
class Edition:
    """What a card says that no run knows.

    Attributes:
        name: what users choose the model by.
        version: of the weights.
        description: one sentence.
        licence: of the weights.
        commit: of the repository that trained it, or empty.
        tests: figures on test data by name, as ``maskgate evaluate scenes`` wrote them.
    """

    name: str
    version: str
    description: str
    licence: str = "Apache-2.0"
    commit: str = ""
    tests: Mapping[str, Mapping[str, Any]] | None = None


_RETINAFACE_INPUT = InputSpec(None, None, "BGR", RetinaFaceSettings().mean)

_OWN_FIELDS = (
    *("backbone", "widths", "frozen", "arithmetic", "boxes", "distil", "blend"),
    *("loop", "svm", "eigenfaces", "cascade", "direct"),
)
"""Of a recipe, told in the card."""


def publish_detector(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.onnx`` and ``<name>.json`` of a detector's run into ``folder``.

    Raises :class:`~maskgate.errors.DataError` where the run is not finished.
    """
    settings = _read(run, "settings.json")
    return _publish(
        run, folder, edition, settings, task="detection", architecture="retinaface", classes=("face",),
        input=_RETINAFACE_INPUT, settings=_retinaface_settings(settings),
    )  # fmt: skip


def publish_direct(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Likewise of a run of direct mask finding."""
    settings, figures = _read(run, "settings.json"), _read(run, "figures.json")
    return _publish(
        run, folder, edition, settings, task="detection", architecture="direct", classes=DIRECT_CLASSES,
        input=_RETINAFACE_INPUT,
        settings=_retinaface_settings(settings) | {
            "threshold": round(figures["threshold"], 4),
            "temperature": round(figures["temperature"], 4),
        },
    )  # fmt: skip


def _retinaface_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    settings = detection_settings(recipe)
    values = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "mean"}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def publish_classifier(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Likewise of a classifier's run."""
    settings, figures = _read(run, "settings.json"), _read(run, "figures.json")
    a = build(ClassifierAugmentation, settings.get("augmentation", {}), "[augmentation]")
    return _publish(
        run, folder, edition, settings, task="classification", architecture="face_resnet",
        classes=tuple(str(label) for label in LABELS), input=InputSpec(a.size, a.size, "RGB", layout="NHWC"),
        settings={
            "crop": {"kind": "rotate", "size": a.size, "margin": a.margin},
            "threshold": round(figures["threshold"], 4),
            "sure": figures["sure"],
            "temperature": round(figures["temperature"], 4),
        },
    )  # fmt: skip


def publish_facenet_svm(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.zip`` and ``<name>.json`` of a run of FaceNet with a support vector machine."""
    settings, figures = _read(run, "settings.json"), _read(run, "figures.json")
    return _publish(
        run, folder, edition, settings, model="model.zip", task="classification", architecture="facenet_svm",
        classes=tuple(str(label) for label in LABELS),
        input=InputSpec(FACENET_SIZE, FACENET_SIZE, "RGB", layout="NHWC"),
        settings={
            "crop": {"kind": "rotate", "size": FACENET_SIZE, "margin": figures["margin"]},
            "threshold": round(figures["threshold"], 4),
        },
    )  # fmt: skip


def publish_pca(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.npz`` and ``<name>.json`` of a run of eigenfaces."""
    settings, figures = _read(run, "settings.json"), _read(run, "figures.json")
    size = int(settings["eigenfaces"]["size"])
    return _publish(
        run, folder, edition, settings, model="model.npz", task="classification", architecture="pca",
        classes=tuple(str(label) for label in LABELS), input=InputSpec(size, size, "RGB", layout="NHWC"),
        settings={
            "crop": {"kind": "five-point", "size": size, "margin": 1.0},
            "threshold": round(figures["threshold"], 4),
            "temperature": round(figures["temperature"], 4),
            "rule": figures["rule"],
        },
    )  # fmt: skip


def publish_cascade(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.zip`` and ``<name>.json`` of a run of the cascade."""
    settings, figures = _read(run, "settings.json"), _read(run, "figures.json")
    return _publish(
        run, folder, edition, settings, model="model.zip", task="detection", architecture="cascade",
        classes=("masked face",), input=InputSpec(None, None, "RGB", layout="NHWC"),
        settings={name: round(value, 4) for name, value in figures["settings"].items()},
    )  # fmt: skip


def _publish(
    run: Path, folder: Path, edition: Edition, recipe: Mapping[str, Any], *, model: str = "model.onnx",
    **fields_of_kind: Any,
) -> ModelCard:  # fmt: skip
    network = _bytes(run, model)
    manifest = _bytes(run, "manifest.json")
    training = {
        "start": recipe.get("starts", {}).get(recipe["start"], {}).get("file", recipe["start"]),
        "sources": [source["path"] for source in recipe["source"]],
        "pictures": len(json.loads(manifest)),
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "seed": recipe["seed"],
        **{name: recipe[name] for name in _OWN_FIELDS if name in recipe},
        "commit": edition.commit,
    }
    figures = {"validation": _read(run, "figures.json"), **(edition.tests or {})}
    ending = Path(model).suffix
    return write_model(network, folder, edition, ending, training=training, figures=figures, **fields_of_kind)


def write_model(
    data: bytes, folder: Path, edition: Edition, ending: str = ".onnx", **fields_of_kind: Any
) -> ModelCard:
    """Writes a model's file, ``<name><ending>``, and its card, ``<name>.json``, into ``folder``.

    ``fields_of_kind`` are the fields of :class:`~maskgate.models.ModelCard` that neither the edition nor
    the file tells.
    """
    card = ModelCard(
        name=edition.name,
        version=edition.version,
        file=f"{edition.name}{ending}",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        description=edition.description,
        licence=edition.licence,
        folder=folder,
        **fields_of_kind,
    )
    write_atomic(card.path, data)
    write_card(card, folder / f"{card.name}.json")
    return card


def _bytes(run: Path, name: str) -> bytes:
    try:
        return (run / name).read_bytes()
    except OSError as error:
        raise DataError(
            f"{run / name} cannot be read: {error.strerror}; name the folder of a finished run"
        ) from error


def _read(run: Path, name: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(_bytes(run, name))
    except ValueError as error:
        raise DataError(f"{run / name} is not JSON: {error}; name the folder of a finished run") from error
    return content
