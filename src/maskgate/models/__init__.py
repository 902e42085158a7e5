"""Models: cards, the registry, and ONNX Runtime sessions."""

from maskgate.models.cards import InputSpec, ModelCard, write_card
from maskgate.models.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, find_card, list_models
from maskgate.models.sessions import Device, RuntimeOptions, load_session

__all__ = [
    "DEFAULT_CLASSIFIER",
    "DEFAULT_DETECTOR",
    "Device",
    "InputSpec",
    "ModelCard",
    "RuntimeOptions",
    "find_card",
    "list_models",
    "load_session",
    "write_card",
]
