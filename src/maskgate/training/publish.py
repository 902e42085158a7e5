"""From a finished run folder to a model that the package can ship: the network and its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from maskgate.detection.retinaface import RetinaFaceSettings
from maskgate.errors import DataError
from maskgate.files import write_atomic
from maskgate.models.cards import InputSpec, ModelCard, write_card
from maskgate.training.classifier_data import ClassifierAugmentation
from maskgate.training.detector_data import DetectorAugmentation
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


def publish_detector(run: Path, folder: Path, edition: Edition) -> ModelCard:
    """Writes ``<name>.onnx`` and ``<name>.json`` of a detector's run into ``folder``.

    Raises :class:`~maskgate.errors.DataError` where the run is not finished.
    """
    settings = _read(run, "settings.json")
    anchors = build(DetectorAugmentation, settings.get("augmentation", {}), "[augmentation]").anchors
    defaults = RetinaFaceSettings(anchors=anchors)
    values = {f.name: getattr(defaults, f.name) for f in fields(defaults) if f.name != "mean"}
    return _publish(
        run, folder, edition, settings, task="detection", architecture="retinaface", classes=("face",),
        input=InputSpec(None, None, "BGR", defaults.mean), settings=json.loads(json.dumps(values)),
    )  # fmt: skip


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


def _publish(
    run: Path, folder: Path, edition: Edition, recipe: Mapping[str, Any], **fields_of_kind: Any
) -> ModelCard:
    network = _bytes(run, "model.onnx")
    manifest = _bytes(run, "manifest.json")
    card = ModelCard(
        name=edition.name,
        version=edition.version,
        file=f"{edition.name}.onnx",
        sha256=hashlib.sha256(network).hexdigest(),
        bytes=len(network),
        description=edition.description,
        training={
            "start": recipe.get("starts", {}).get(recipe["start"], {}).get("file", recipe["start"]),
            "sources": [source["path"] for source in recipe["source"]],
            "pictures": len(json.loads(manifest)),
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
            "seed": recipe["seed"],
            "loop": recipe["loop"],
            "commit": edition.commit,
        },
        figures={"validation": _read(run, "figures.json"), **(edition.tests or {})},
        licence=edition.licence,
        folder=folder,
        **fields_of_kind,
    )
    write_atomic(card.path, network)
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
