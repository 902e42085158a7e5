"""maskgate: finds faces and says whether a medical mask is worn, worn wrongly, or missing."""

import maskgate._offline  # noqa: F401 - first of all, before the runtime is loaded
from maskgate.errors import (
    DataError,
    ImageError,
    ImageFormatError,
    ImageLimitError,
    ImageReadError,
    InputError,
    MaskGateError,
    ModelCorruptError,
    ModelError,
    ModelNotFoundError,
)
from maskgate.pipeline import MaskGate
from maskgate.types import Faces, Label, Verdict, Verdicts

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Faces",
    "ImageError",
    "ImageFormatError",
    "ImageLimitError",
    "ImageReadError",
    "InputError",
    "Label",
    "MaskGate",
    "MaskGateError",
    "ModelCorruptError",
    "ModelError",
    "ModelNotFoundError",
    "Verdict",
    "Verdicts",
    "__version__",
]
