"""Training recipes: TOML files that name data, start and settings; checked before anything runs."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from maskgate.errors import DataError
from maskgate.types import LABELS, Label

T = TypeVar("T")


SIDES = ("training", "validation", "test")
"""Of a split."""

TABLES = {"source": list, "loop": dict}
"""What every recipe has, besides ``seed``, ``start`` and ``validation``."""


def read_recipe(path: Path, *, epochs: int | None = None, **changes: Any) -> dict[str, Any]:
    """The recipe's table, with another number of epochs where one is given, and other top-level
    fields: those of ``changes`` that are not None.

    Raises :class:`~maskgate.errors.DataError` on a missing or broken file, and naming a part that
    every recipe needs and this one lacks or has as something else.
    """
    recipe = _parse(path) | {name: value for name, value in changes.items() if value is not None}
    for name, kind in TABLES.items():
        if not isinstance(recipe.get(name), kind):
            form = "[[source]]" if name == "source" else f"[{name}]"
            raise DataError(f"{path} has no table {form}; see recipes/ for complete recipes")
    if not all(isinstance(source, dict) for source in recipe["source"]):
        raise DataError(f"{path} has a 'source' that is no table; write each as [[source]]")
    for name in ("teacher", "starts", "occlusion", "distil", "blend", "augmentation", "boxes", "detection"):
        if name in recipe and not isinstance(recipe[name], dict | str):
            raise DataError(f"{path} has {name!r} as something else than a table; write it as [{name}]")
    kinds = {"seed": int, "start": str, "validation": float}
    require(recipe, tuple(kinds), str(path))
    for name, hint in kinds.items():
        _check(recipe[name], hint, name, str(path))
    if "samples" not in recipe["loop"]:
        raise DataError(f"{path} has no field 'samples' in [loop]; give the samples of an epoch")
    _check(recipe["loop"]["samples"], int, "samples", f"{path}, [loop],")
    if epochs is not None:
        recipe["loop"]["epochs"] = epochs
    return recipe


def require(table: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """Raises :class:`~maskgate.errors.DataError` naming the first of ``names`` that is missing."""
    for name in names:
        if name not in table:
            raise DataError(f"{where} has no field {name!r}; see recipes/ for complete recipes")


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; name a recipe file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}") from error


def build(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """A settings dataclass from a recipe's table; lists become tuples.

    Raises :class:`~maskgate.errors.DataError` naming an unknown or missing field, or one of the
    wrong type.
    """
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise DataError(f"{where} has the unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    needed = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    require(table, needed, where)
    hints = get_type_hints(kind)
    for name, value in table.items():
        _check(value, hints[name], name, where)
    return kind(**{k: _frozen(v) for k, v in table.items()})


def _check(value: Any, hint: Any, name: str, where: str) -> None:
    if not _fits(value, hint):
        raise DataError(f"{where} has {name} = {value!r}; give {_words(hint)}")


def _fits(value: Any, hint: Any) -> bool:
    """Is ``value``, as TOML or JSON gives it, of the type ``hint`` of a settings dataclass?"""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return any(_fits(value, kind) for kind in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if inner[-1] is ...:
            return all(_fits(v, inner[0]) for v in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(v, inner[1]) for v in value.values())
    if hint in (int, float):  # a bool is an int to Python, a whole number is a number to TOML's writer
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint)


_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _words(hint: Any) -> str:
    """What to write in the recipe for a field of that type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return _words(inner[0])
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple:
        count = "" if inner[-1] is ... else f"{len(inner)} "
        return f"a list of {count}entries, each {_words(inner[0])}"
    if origin is Mapping:
        return f"a table whose values are each {_words(inner[1])}"
    return _NAMES[hint]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes:
        path: folder below the data folder.
        kind: ``scenes`` (COCO boxes), ``wider`` (WIDER FACE's own layout; of ``side = "validation"`` its
            validation split), ``photos`` (find the face first) or ``crops`` (a face fills the picture).
        labels: subfolder to label, for classifier training.
        bare: subfolders whose faces wear nothing (``.`` for all), for drawing masks on; without
            ``labels`` all faces in them are examples of it.
        weight: how often it is drawn from, against its number of pictures.
        confident: for pictures without labels: least confidence of a trained classifier.
        together: ``folder`` or ``source`` keeps the pictures of one folder, or all of the source, on
            one side of the split.
        side: ``training``, ``validation`` or ``test`` puts all of them there.
    """

    path: str
    kind: str
    labels: Mapping[str, str] | None = None
    bare: tuple[str, ...] = ()
    weight: float = 1.0
    confident: float = 0.0
    together: str = ""
    side: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("scenes", "wider", "photos", "crops"):
            raise DataError(f"source {self.path} has kind {self.kind!r}; use scenes, wider, photos or crops")
        if self.together not in ("", "folder", "source"):
            raise DataError(f"source {self.path} has together = {self.together!r}; use folder or source")
        if self.side not in ("", *SIDES):
            raise DataError(f"source {self.path} has side = {self.side!r}; use {', '.join(SIDES)}")
        for folder, label in (self.labels or {}).items():
            if label not in LABELS:
                raise DataError(
                    f"source {self.path} has the label {label!r} for {folder}; use {', '.join(LABELS)}"
                )

    def files(self, root: Path) -> list[Path]:
        """All pictures of the source, sorted. Raises DataError where there is none."""
        folder = root / self.path
        endings = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
        found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in endings)
        if not found:
            raise DataError(f"{folder} holds no pictures; check --data and the recipe's path {self.path!r}")
        return found

    @property
    def labelled(self) -> bool:
        """True where people said what is on its faces, so that validation can trust it."""
        return self.kind == "scenes" or self.labels is not None or "." in self.bare

    def label_of(self, file: Path, root: Path) -> Label:
        """What ``labels`` say of the folder of ``file``. Raises DataError where they do not name it."""
        folder = file.relative_to(root / self.path).parts[0]
        if folder not in (self.labels or {}):
            raise DataError(f"{file} lies in no folder that the labels of source {self.path} name")
        return Label((self.labels or {})[folder])

    def is_bare(self, file: Path, root: Path) -> bool:
        """True where the faces of ``file`` are known to wear nothing."""
        parts = file.relative_to(root / self.path).parts
        return "." in self.bare or parts[0] in self.bare
