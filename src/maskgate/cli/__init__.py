"""The command line: each module parses one group of commands, calls the library and prints."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from maskgate import MaskGateError, __version__
from maskgate.cli import (
    compare,
    data,
    evaluate,
    export,
    models,
    outbox,
    pictures,
    serve,
    study,
    train,
    watch,
)
from maskgate.cli.tables import printable

DONE, SOME_FAILED, WRONG_CALL = 0, 1, 2
"""Exit statuses; commands return the first two."""

_INTERRUPTED, _PIPE_CLOSED = 130, 141  # 128 + the signal's number, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and gives its exit status.

    Args:
        argv: the words after the program's name; those of this process where None.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - stays open
    try:
        arguments = create_parser().parse_args(argv)
    except SystemExit as stop:  # help was asked for, or the call was wrong
        return int(stop.code or 0)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("stopped")
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        _say("stopped: the reader of the output has closed it")
        return _PIPE_CLOSED
    except MaskGateError as error:
        _say(str(error))
        return WRONG_CALL
    except OSError as error:  # no space left, say
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}")
        return WRONG_CALL
    return status


def create_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = _Parser(
        prog="maskgate",
        description="Finds faces in pictures and says whether each one wears a medical mask, wears it "
        "wrongly, or wears none.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"maskgate {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (pictures, watch, serve, outbox, evaluate, models, data, train, export, study, compare):
        module.add_commands(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, in place of the usage and a sentence."""
        self.exit(WRONG_CALL, f"{self.prog}: {_shown(message)}; see {self.prog} --help\n")


def _say(sentence: str) -> None:
    sys.stderr.write(f"maskgate: {_shown(sentence)}\n")


def _shown(text: str) -> str:
    """As one line, and where an address was given in a wrong place, without its user and password."""
    return re.sub(r"(?<=://)[^/\s]*@", "", printable(text))


def _drop_output() -> None:
    """Lets what is left in the buffer go nowhere: Python writes it at its end, and would complain."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # a stand-in without one
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
