"""Model cards: what a network is, what goes in, what comes out, where it came from."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import json
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeGuard, get_args

from maskgate.errors import InputError, ModelCorruptError, ModelNotFoundError
from maskgate.files import write_atomic

Task = Literal["detection", "classification"]
Colour = Literal["RGB", "BGR"]
Layout = Literal["NCHW", "NHWC"]

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""What a model may be called, as a regular expression."""


@dataclass(frozen=True)
class InputSpec:
    """What a network takes: ``(pixel - mean) * scale`` of 8-bit pixels.

    Attributes:
        height: in pixels, None for any.
        width: in pixels, None for any.
        colour: order of the channels.
        mean: subtracted from each channel, in that order, in units of 8-bit pixels.
        scale: factor after the subtraction, above 0.
        layout: order of the axes: batch, channel, height, width.
    """

    height: int | None
    width: int | None
    colour: Colour
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    layout: Layout = "NCHW"


@dataclass(frozen=True)
class ModelCard:
    """A model and its file, as ``<name>.json`` beside the weights describes it.

    Attributes:
        name: what users choose it by: letters, digits, ``.``, ``_`` and ``-``.
        version: of the weights.
        task: ``"detection"`` or ``"classification"``.
        architecture: which of the project's classes runs it.
        file: name of the ONNX file beside the card.
        sha256: of the file, 64 lower-case hex digits.
        bytes: size of the file.
        description: one sentence.
        classes: what the outputs stand for, in order.
        input: of the network.
        settings: of the class that runs it.
        training: recipe, data, start, command, commit; free in form.
        figures: what was measured, on which data; free in form.
        licence: of the weights.
        folder: where the card lies; not part of its file.
    """

    name: str
    version: str
    task: Task
    architecture: str
    file: str
    sha256: str
    bytes: int
    description: str
    classes: tuple[str, ...]
    input: InputSpec
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    figures: Mapping[str, Any]
    licence: str
    folder: Path = field(default=Path(), compare=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a card.

        Raises :class:`~maskgate.errors.ModelNotFoundError` where the file cannot be read and
        :class:`~maskgate.errors.ModelCorruptError`, naming file and field, where a field is missing,
        unknown or wrong.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ModelNotFoundError(f"the model card {path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ModelCorruptError(f"the model card {path} is not JSON: {error}") from error
        _check(content, path)
        content["classes"] = tuple(content["classes"])
        content["input"]["mean"] = tuple(float(v) for v in content["input"]["mean"])
        content["input"]["scale"] = float(content["input"]["scale"])
        content["input"] = InputSpec(**content["input"])
        return cls(**content, folder=path.parent)

    @property
    def path(self) -> Path:
        """Where the weights lie."""
        return self.folder / self.file

    def read(self) -> builtins.bytes:
        """The weights' bytes, checked. Raises what :meth:`verify` does."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelNotFoundError(
                f"the weights {self.path} of model {self.name!r} cannot be read: {error.strerror}; "
                "install the model again"
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256 or len(data) != self.bytes:
            raise ModelCorruptError(
                f"the weights {self.path} of model {self.name!r} are not those of its card "
                f"({len(data)} bytes with sha256 {digest[:12]}…, not {self.bytes} with {self.sha256[:12]}…); "
                "install the model again"
            )
        return data

    def verify(self) -> None:
        """Checks that the weights are there and are those of the card.

        Raises :class:`~maskgate.errors.ModelNotFoundError` where the file cannot be read and
        :class:`~maskgate.errors.ModelCorruptError` where its size or sha256 is another one.
        """
        self.read()

    def to_json(self) -> dict[str, Any]:
        """The card as it stands in its file."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "folder"}
        spec = dataclasses.asdict(self.input)
        return content | {"classes": list(self.classes), "input": spec | {"mean": list(spec["mean"])}}

    def unfit(self, name: str, value: object, wanted: str) -> ModelCorruptError:
        """The error for a field that the class of this card's architecture cannot use."""
        return _wrong(self.folder / f"{self.name}.json", name, value, wanted)


def write_card(card: ModelCard, path: Path) -> None:
    """Writes a card, atomically.

    Raises :class:`~maskgate.errors.ModelCorruptError` where :meth:`ModelCard.load` would refuse it and
    :class:`~maskgate.errors.InputError` where a value is nothing that JSON can hold.
    """
    try:
        text = json.dumps(card.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the card of model {card.name!r} cannot be written as JSON: {error}") from error
    _check(json.loads(text), path)
    write_atomic(path, text.encode())


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a finite int or float; True and False are not."""
    # no NaN fulfils this, no infinity, and no int that overflows a float
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether ``value`` is an int of at least ``least``; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in names, " or ".join(repr(n) for n in names)


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v for v in value)


def _side(value: Any) -> bool:
    return value is None or is_whole(value, 1)


_Checks = Mapping[str, tuple[Callable[[Any], bool], str]]

_TEXT = (_matches(r"(?s).*\S.*"), "a text that is not empty")
_OBJECT = (lambda value: isinstance(value, dict), "a JSON object")

_CARD: _Checks = {
    "name": (_matches(NAME), "letters, digits, '.', '_' and '-'"),
    "version": _TEXT,
    "task": _one_of(get_args(Task)),
    "architecture": _TEXT,
    "file": (_matches(r"(?!\.{1,2}$)[^/\\\x00]+"), "the name of a file beside the card"),
    "sha256": (_matches(r"[0-9a-f]{64}"), "64 lower-case hex digits"),
    "bytes": (lambda value: is_whole(value, 1), "a whole number above 0"),
    "description": _TEXT,
    "classes": (lambda v: _names(v) and len(set(v)) == len(v), "a list of different names"),
    "input": _OBJECT,
    "settings": _OBJECT,
    "training": _OBJECT,
    "figures": _OBJECT,
    "licence": _TEXT,
}
_INPUT: _Checks = {
    "height": (_side, "a whole number above 0, or null for any"),
    "width": (_side, "a whole number above 0, or null for any"),
    "colour": _one_of(get_args(Colour)),
    "mean": (lambda v: isinstance(v, list) and len(v) == 3 and all(map(is_number, v)), "three numbers"),
    "scale": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "layout": _one_of(get_args(Layout)),
}  # fmt: skip


def _check(content: Any, path: Path) -> None:
    """Raises ModelCorruptError where ``content`` is no card."""
    if not isinstance(content, dict):
        raise ModelCorruptError(f"the model card {path} is no JSON object")
    _check_fields(content, _CARD, path, "")
    _check_fields(content["input"], _INPUT, path, "input.")


def _check_fields(content: dict[str, Any], checks: _Checks, path: Path, prefix: str) -> None:
    for name, (fits, wanted) in checks.items():
        if name not in content:
            raise ModelCorruptError(f"the model card {path} lacks the field '{prefix}{name}': {wanted}")
        if not fits(content[name]):
            raise _wrong(path, prefix + name, content[name], wanted)
    for name in content:
        if name not in checks:
            raise ModelCorruptError(
                f"the model card {path} has the unknown field '{prefix}{name}'; remove it"
            )


def _wrong(path: Path, name: str, value: object, wanted: str) -> ModelCorruptError:
    return ModelCorruptError(
        f"the model card {path} has {reprlib.repr(value)} in the field '{name}'; wanted: {wanted}"
    )
