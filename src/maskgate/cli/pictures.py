"""``maskgate detect`` and ``maskgate classify``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TextIO

from maskgate.cli.annotating import check_apart, make_folder, name_drawings, write_drawing
from maskgate.cli.options import Commands, add_command, add_format_option, add_model_options, create_gate
from maskgate.cli.output import choose_format, open_output
from maskgate.cli.progress import progress_bar
from maskgate.cli.tables import VerdictTable
from maskgate.drawing import draw_verdicts
from maskgate.errors import ImageError
from maskgate.images import find_images, read_image
from maskgate.serialisation import error_to_json, to_line, verdicts_to_json
from maskgate.types import Image, Verdicts


def add_commands(commands: Commands) -> None:
    """Adds both commands."""
    detect = add_command(
        commands,
        "detect",
        "Finds the faces in pictures and decides for each.",
        details="A picture that cannot be read costs one line with an error; the others go on. "
        "Exit status: 0 all read, 1 some failed, 2 the call was wrong.",
        example="maskgate detect photos/ --annotate drawn --output faces.jsonl",
    )
    classify = add_command(
        commands,
        "classify",
        "Decides for pictures that show one face and little else.",
        details="Each gives one face: the one that is detected, or else the whole picture. "
        "Exit status: 0 all read, 1 some failed, 2 the call was wrong.",
        example="maskgate classify crops/",
    )
    for command in (detect, classify):
        command.add_argument(
            "inputs",
            metavar="INPUT",
            nargs="+",
            help="a picture, a folder (searched with everything below it) or a glob in quotes",
        )
        add_format_option(command)
        command.add_argument(
            "--output", metavar="FILE", type=Path, help="write there instead of to standard output"
        )
        command.add_argument(
            "--annotate",
            metavar="DIR",
            type=Path,
            help="also write a copy of each picture with its faces drawn in",
        )
        add_model_options(command)
    detect.set_defaults(run=lambda arguments: _run(arguments, whole_scenes=True))
    classify.set_defaults(run=lambda arguments: _run(arguments, whole_scenes=False))


class _Printer(Protocol):
    def add(self, path: str, verdicts: Verdicts) -> None: ...

    def add_error(self, path: str, error: str) -> None: ...

    def finish(self) -> None: ...


class _LinePrinter:
    """JSON, a line as soon as there is one, for those who follow a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, path: str, verdicts: Verdicts) -> None:
        self._write(to_line(verdicts_to_json(verdicts, path)))

    def add_error(self, path: str, error: str) -> None:
        self._write(to_line(error_to_json(error, path)))

    def finish(self) -> None:
        pass

    def _write(self, line: str) -> None:
        self._stream.write(line)
        self._stream.flush()


class _TablePrinter(VerdictTable):
    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def finish(self) -> None:
        self.print_to(self._stream)


def _run(arguments: argparse.Namespace, *, whole_scenes: bool) -> int:
    paths = find_images(arguments.inputs)
    output: Path | None = arguments.output
    drawings: list[Path] | list[None] = [None] * len(paths)
    if arguments.annotate is not None:
        drawings = name_drawings(paths, arguments.annotate)
    if output is not None:
        check_apart(paths, [output])
    gate = create_gate(arguments)
    if arguments.annotate is not None:
        make_folder(arguments.annotate)
    judge: Callable[[Image], Verdicts] = gate if whole_scenes else gate.classify
    lines = choose_format(arguments.format, output) == "jsonl"
    failed = False
    with open_output(output) as stream:
        printer: _Printer = _LinePrinter(stream) if lines else _TablePrinter(stream)
        try:
            # lines that scroll by on the same terminal show the progress themselves
            with progress_bar(len(paths), shown=not (lines and stream.isatty())) as show:
                for done, (path, drawing) in enumerate(zip(paths, drawings, strict=True), 1):
                    failed |= not _judge(path, drawing, judge, printer)
                    show(done)
        except KeyboardInterrupt:
            printer.finish()  # what has been found is not lost
            raise
        printer.finish()
    return int(failed)


def _judge(path: Path, drawing: Path | None, judge: Callable[[Image], Verdicts], printer: _Printer) -> bool:
    """Reads a picture, judges, draws and prints; False where it could not be read."""
    began = time.perf_counter()
    try:
        image = read_image(path)
    except ImageError as error:
        printer.add_error(str(path), str(error))
        return False
    decoding = 1e3 * (time.perf_counter() - began)
    verdicts = judge(image)
    if drawing is not None:
        write_drawing(drawing, draw_verdicts(image, verdicts))
    times = replace(verdicts.milliseconds, decode=decoding)
    printer.add(str(path), replace(verdicts, milliseconds=times))
    return True
