"""Reads tables of settings, field by field, with errors that name the field."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from maskgate.errors import SettingsError
from maskgate.events.credentials import Secret, from_environment, from_file

Way = tuple[str | int, ...]
"""The way to a field in its file, such as ``("sinks", 0, "url")``."""

REQUIRED: Any = object()
"""In place of a default value: the field must be there."""


class Table:
    """One table of a settings file. Call :meth:`finish` when all that may be there has been read.

    Args:
        content: what the file's reader gives.
        way: to the table.
        folder: relative paths start there.

    The methods give the field's value, or ``default`` where it is absent. They, and the class, raise
    :class:`~maskgate.errors.SettingsError`, naming the field, where it is missing or wrong.
    """

    def __init__(self, content: object, way: Way = (), folder: Path = Path()) -> None:
        if not isinstance(content, Mapping):
            raise SettingsError(f"{field_name(way)} is to be a table of settings", way)
        self._content: Mapping[str, Any] = content
        self._way = way
        self._folder = folder
        self._asked: set[str] = set()

    def way(self, name: str) -> Way:
        """The way to a field of this table."""
        return (*self._way, name)

    def wrong(self, name: str, wanted: str, value: object = REQUIRED) -> NoReturn:
        """Raises the error for a field; leave ``value`` out where it may be secret."""
        is_given = "is wrong" if value is REQUIRED else f"is {reprlib.repr(value)}"
        way = self.way(name)
        raise SettingsError(f"the setting '{field_name(way)}' {is_given}; wanted: {wanted}", way)

    def __contains__(self, name: str) -> bool:
        return name in self._content

    def raw(self, name: str, default: Any, wanted: str) -> Any:
        """The value as it stands in the file."""
        self._asked.add(name)
        if name in self._content:
            return self._content[name]
        if default is REQUIRED:
            way = self.way(name)
            raise SettingsError(f"the setting '{field_name(way)}' is missing; wanted: {wanted}", way)
        return default

    def text(self, name: str, default: Any = REQUIRED, wanted: str = "a text") -> Any:
        """A text that is not empty, of printable characters."""
        value = self.raw(name, default, wanted)
        if name in self._content and not _is_text(value):
            self.wrong(name, wanted, value)
        return value

    def choice(self, name: str, choices: Sequence[str], default: Any = REQUIRED) -> Any:
        """One of ``choices``."""
        wanted = " or ".join(repr(c) for c in choices)
        value = self.raw(name, default, wanted)
        if name in self._content and value not in choices:
            self.wrong(name, wanted, value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(name, default, "true or false")
        if not isinstance(value, bool):
            self.wrong(name, "true or false", value)
        return value

    def number(self, name: str, default: Any, least: float, most: float = math.inf) -> Any:
        """A number from ``least`` to ``most``."""
        wanted = f"a number of at least {least:g}" + ("" if math.isinf(most) else f" and at most {most:g}")
        value = self.raw(name, default, wanted)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in self._content and not (is_number and least <= value <= most and math.isfinite(value)):
            self.wrong(name, wanted, value)
        return value

    def whole(self, name: str, default: Any, least: int, most: int) -> Any:
        """A whole number from ``least`` to ``most``."""
        wanted = f"a whole number from {least} to {most}"
        value = self.raw(name, default, wanted)
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        if name in self._content and not good:
            self.wrong(name, wanted, value)
        return value

    def names(self, name: str, choices: Iterable[str] | None = None) -> frozenset[str] | None:
        """A list of texts, each one of ``choices`` where these are given; None where it is absent."""
        offered = None if choices is None else tuple(choices)
        of = "" if offered is None else ", each of them " + " or ".join(repr(c) for c in offered)
        value = self.raw(name, None, "a list of texts" + of)
        if name not in self._content:
            return None
        is_list = isinstance(value, list) and bool(value) and all(map(_is_text, value))
        if not is_list or (offered is not None and not set(value) <= set(offered)):
            self.wrong(name, "a list of texts" + of, value)
        return frozenset(value)

    def path(self, name: str, default: Any = REQUIRED) -> Any:
        """The path of a file or folder; ``~`` is the user's home."""
        value = self.text(name, default, "a path")
        return self.relative(value) if name in self._content else value

    def relative(self, path: str) -> Path:
        """``path`` from where relative ones start; ``~`` is the user's home."""
        return self._folder / Path(path).expanduser()

    def existing(self, name: str) -> Path | None:
        """The path of a file that is there; None where the field is absent."""
        path: Path | None = self.path(name, None)
        if path is not None and not path.is_file():
            self.wrong(name, "a file that exists", str(path))
        return path

    def secret(self, name: str, default: Any = REQUIRED) -> Any:
        """A :class:`Secret`: a text, ``{ env = "NAME" }`` or ``{ file = "PATH" }``."""
        wanted = 'a text, { env = "NAME" } or { file = "PATH" }'
        value = self.raw(name, default, wanted)
        return value if name not in self._content else Secret(self._resolve(name, value, wanted))

    def _resolve(self, name: str, value: object, wanted: str) -> str:
        if isinstance(value, Mapping) and len(value) == 1:
            (kind, where) = next(iter(value.items()))
            if kind in ("env", "file") and isinstance(where, str) and where:
                try:
                    return from_environment(where) if kind == "env" else from_file(self.relative(where))
                except LookupError as error:
                    way = self.way(name)
                    raise SettingsError(f"the setting '{field_name(way)}': {error}", way) from None
        if not isinstance(value, str) or not value:
            self.wrong(name, wanted)
        return value

    def secrets(self, name: str) -> dict[str, Secret]:
        """A table of secrets by name; empty where it is absent."""
        value = self.raw(name, {}, "a table")
        inner = Table(value, self.way(name), self._folder)
        return {str(key): inner.secret(key) for key in value}

    def table(self, name: str) -> Table:
        """A table within this one; an empty one where it is absent."""
        return Table(self.raw(name, {}, "a table"), self.way(name), self._folder)

    def tables(self, name: str) -> list[Table]:
        """A list of tables; an empty one where it is absent."""
        value = self.raw(name, [], "a list of tables")
        if not isinstance(value, list):
            self.wrong(name, "a list of tables", value)
        return [Table(v, (*self.way(name), i), self._folder) for i, v in enumerate(value)]

    def finish(self) -> None:
        """Raises the error for a field that nobody asked for."""
        for name in self._content:
            if name not in self._asked:
                way = self.way(str(name))
                hint = hint_at(str(name), self._asked)
                raise SettingsError(f"the setting '{field_name(way)}' is unknown; {hint}", way)


def hint_at(name: str, known: Collection[str]) -> str:
    """What an unknown name may be meant for."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"


def field_name(way: Way) -> str:
    """``sinks[0].url`` for ``("sinks", 0, "url")``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way)
    return text.removeprefix(".") or "the file"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
