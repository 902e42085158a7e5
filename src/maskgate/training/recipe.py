"""Training recipes: TOML files that name data, start and settings; checked before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from maskgate.errors import DataError

T = TypeVar("T")


TABLES = {"source": list, "teacher": dict, "loop": dict}
"""What every recipe has, besides ``seed``, ``start`` and ``validation``."""


def read_recipe(path: Path, *, epochs: int | None = None) -> dict[str, Any]:
    """The recipe's table, with another number of epochs where one is given.

    Raises :class:`~maskgate.errors.DataError` on a missing or broken file, and naming a part that
    every recipe needs and this one lacks.
    """
    recipe = _parse(path)
    for name, kind in TABLES.items():
        if not isinstance(recipe.get(name), kind):
            form = "[[source]]" if name == "source" else f"[{name}]"
            raise DataError(f"{path} has no table {form}; see recipes/ for complete recipes")
    require(recipe, ("seed", "start", "validation"), str(path))
    if "samples" not in recipe["loop"]:
        raise DataError(f"{path} has no field 'samples' in [loop]; give the samples of an epoch")
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

    Raises :class:`~maskgate.errors.DataError` naming an unknown or missing field.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - known)
    if unknown:
        raise DataError(f"{where} has the unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**{k: _frozen(v) for k, v in table.items()})
    except TypeError as error:
        raise DataError(f"{where} is incomplete: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes:
        path: folder below the data folder.
        kind: ``scenes`` (COCO boxes), ``photos`` (find the face first) or ``crops`` (a face fills
            the picture).
        labels: subfolder to label, for classifier training.
        bare: subfolders whose faces wear nothing (``.`` for all), for drawing masks on.
        weight: how often it is drawn from, against its number of pictures.
        confident: for pictures without labels: least confidence of a trained classifier.
    """

    path: str
    kind: str
    labels: Mapping[str, str] | None = None
    bare: tuple[str, ...] = ()
    weight: float = 1.0
    confident: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("scenes", "photos", "crops"):
            raise DataError(f"source {self.path} has kind {self.kind!r}; use scenes, photos or crops")

    def files(self, root: Path) -> list[Path]:
        """All pictures of the source, sorted. Raises DataError where there is none."""
        folder = root / self.path
        endings = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
        found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in endings)
        if not found:
            raise DataError(f"{folder} holds no pictures; check --data and the recipe's path {self.path!r}")
        return found

    def is_bare(self, file: Path, root: Path) -> bool:
        """True where the faces of ``file`` are known to wear nothing."""
        parts = file.relative_to(root / self.path).parts
        return "." in self.bare or parts[0] in self.bare
