"""The progress bar: on standard error, and only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LONG = 10
"""Pictures from which a bar is worth its line."""


@contextmanager
def progress_bar(
    total: int, *, shown: bool = True, things: str = "pictures"
) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes the number of pictures done.

    There is a bar where ``shown``, standard error is a terminal, and there are at least
    :data:`LONG` pictures. It goes away when it is done. ``things`` is what the bar calls them.
    """
    if not (shown and total >= LONG and sys.stderr.isatty()):
        yield lambda done: None
        return
    columns = TextColumn(things), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # results go to standard output meanwhile: that is not to be redirected to standard error
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(things, total=total)
        yield lambda done: bar.update(task, completed=done)
