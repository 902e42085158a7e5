"""What commands that run for long tell on standard error: their own sentences, and those that are logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from maskgate.cli.tables import printable


@contextmanager
def messages() -> Iterator[None]:
    """Shows what the package logs, in the manner of the command line."""
    handler = _Handler()
    logger = logging.getLogger("maskgate")
    streams = logging.getLogger("maskgate.streams")
    level = streams.level
    logger.addHandler(handler)
    streams.setLevel(logging.INFO)
    try:
        yield
    finally:
        streams.setLevel(level)
        logger.removeHandler(handler)


def say(sentence: str) -> None:
    """Writes a sentence to standard error."""
    sys.stderr.write(f"maskgate: {printable(sentence)}\n")
    sys.stderr.flush()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())
