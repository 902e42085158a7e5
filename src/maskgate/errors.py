"""Errors that a caller can cause or meet. Each carries one sentence: what, where, what to do."""

from __future__ import annotations


class MaskGateError(Exception):
    """Base of every error that maskgate raises on purpose."""


class ImageError(MaskGateError):
    """A picture cannot be used."""


class ImageReadError(ImageError):
    """A picture file is missing, unreadable, truncated or not a picture."""


class ImageLimitError(ImageError):
    """A picture is over a limit (bytes, pixels) or under one; nothing was decoded."""


class ImageFormatError(ImageError):
    """A picture is of a kind that is not accepted (format, animation, pixel type)."""


class InputError(MaskGateError):
    """An argument is wrong: array dtype, shape or values, a folder without pictures, an option."""


class ModelError(MaskGateError):
    """A model cannot be used."""


class ModelNotFoundError(ModelError):
    """No model of that name, or its file is missing."""


class ModelCorruptError(ModelError):
    """A model's file does not have the sha256 that its card states, or its card is broken."""


class DataError(MaskGateError):
    """Training or evaluation data are missing or malformed."""


class EventError(MaskGateError):
    """An event is wrong, or cannot be kept or delivered."""


class StoreError(EventError):
    """The store or the outbox cannot be opened, read or written: a full disk, a database that is away."""


class DeliveryError(EventError):
    """A receiver has not taken an event."""


class SettingsError(InputError):
    """A setting is missing, unknown or wrong.

    Attributes:
        field: the way to it in its file, such as ``("sinks", 0, "url")``.
    """

    def __init__(self, sentence: str, field: tuple[str | int, ...] = ()) -> None:
        super().__init__(sentence)
        self.field = field


class SourceError(MaskGateError):
    """A video or a camera cannot be read, or no further. Its sentence holds no password."""
