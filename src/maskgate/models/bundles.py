"""Several networks and arrays in one file, for models that are more than one network.

A bundle is a zip archive without compression, so that a card has one size and one sha256 to tell.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

from maskgate.errors import ModelCorruptError
from maskgate.models.cards import ModelCard

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The same parts give the same bytes, whenever they are written."""


def bundle_bytes(parts: Mapping[str, bytes]) -> bytes:
    """The parts, by name, as one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return buffer.getvalue()


def read_bundle(card: ModelCard, names: Sequence[str]) -> dict[str, bytes]:
    """The parts ``names`` of a card's file, which has the card's sha256.

    Raises :class:`~maskgate.errors.ModelNotFoundError` where the file is missing, and
    :class:`~maskgate.errors.ModelCorruptError` where it is not what the card says, no bundle, or has
    other parts.
    """
    data = card.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            kept = {part.filename: archive.read(part) for part in found if not part.compress_type}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise ModelCorruptError(f"{card.path} is no bundle of networks: {error}") from error
    if sorted(kept) != sorted(names) or len(found) != len(names):
        there = ", ".join(sorted(part.filename for part in found)) or "nothing"
        raise ModelCorruptError(f"{card.path} holds {there}; wanted, uncompressed: {', '.join(names)}")
    return kept
