"""Tables for people to read."""

from __future__ import annotations

from collections import Counter
from typing import Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from maskgate.drawing import WORDS
from maskgate.types import Label, Verdict, Verdicts

STYLES: Final[dict[Label, str]] = {
    Label.MASK: "green",
    Label.NO_MASK: "red",
    Label.INCORRECT: "yellow",
}
"""The terminal's own colours, which its theme keeps readable."""

_UNLIMITED: Final = 100_000


def printable(text: str) -> str:
    """``text`` as one line in which nothing can steer the terminal.

    File names and other people's messages may hold line feeds, escape sequences and bytes that are
    no text; what cannot be printed is written as an escape.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def new_table(*columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = ()) -> Table:
    """An empty table; columns named in ``right`` are aligned there, and never broken, like ``whole``."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name in right or name in whole,
            overflow="fold",
        )
    return table


def print_table(stream: TextIO, *parts: RenderableType) -> None:
    """Prints to a terminal in its width and colours, elsewhere plain and as wide as need be."""
    terminal = stream.isatty()
    console = Console(
        file=stream, force_terminal=terminal, width=None if terminal else _UNLIMITED, highlight=False
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    text = captured.get()
    if not terminal:
        text = "".join(line.rstrip() + "\n" for line in text.splitlines())
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


class VerdictTable:
    """A row a face, and one for each picture without a face or with an error; then the sums."""

    def __init__(self) -> None:
        self._table = new_table(
            "picture", "label", "P", "score", "box", "note", right=("P", "score"), whole=("label", "box")
        )
        self._pictures = self._failed = self._uncertain = 0
        self._labels: Counter[Label] = Counter()

    def add(self, path: str, verdicts: Verdicts) -> None:
        """The rows of a picture."""
        self._pictures += 1
        for i, verdict in enumerate(verdicts):
            self._labels[verdict.label] += 1
            self._uncertain += verdict.uncertain
            self._table.add_row(Text(printable(path) if i == 0 else ""), *_cells(verdict))
        if not len(verdicts):
            self._table.add_row(Text(printable(path)), "", "", "", "", Text("no face found", "dim"))

    def add_error(self, path: str, error: str) -> None:
        """The row of a picture that could not be read."""
        self._pictures += 1
        self._failed += 1
        # most errors begin with the path, which has a column of its own
        note = printable(error.removeprefix(f"{path} "))
        self._table.add_row(Text(printable(path)), Text("error", "bold red"), "", "", "", Text(note, "red"))

    def print_to(self, stream: TextIO) -> None:
        """Prints table and sums."""
        if self._pictures:
            print_table(stream, self._table, "", self._sums())

    def _sums(self) -> Text:
        faces = sum(self._labels.values())
        sums = Text(f"{_count(self._pictures, 'picture')}, {_count(faces, 'face')}")
        for i, label in enumerate(Label):
            sums.append(", " if i else ": ")
            sums.append(f"{self._labels[label]} {WORDS[label]}", STYLES[label])
        if self._uncertain:
            sums.append(f"; {self._uncertain} uncertain")
        if self._failed:
            sums.append(f"; {_count(self._failed, 'picture')} could not be read", "bold red")
        return sums


def _cells(verdict: Verdict) -> tuple[Text, ...]:
    x1, y1, x2, y2 = (f"{v:.0f}" for v in verdict.box)
    return (
        Text(WORDS[verdict.label], f"bold {STYLES[verdict.label]}"),
        Text(f"{verdict.probabilities[verdict.label]:.2f}"),
        Text(f"{verdict.score:.2f}"),
        Text(f"{x1},{y1} to {x2},{y2}"),
        Text("uncertain" if verdict.uncertain else "", "dim"),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
