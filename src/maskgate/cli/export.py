"""``maskgate export``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from maskgate.cli.options import Commands, add_command, add_group, existing_folder
from maskgate.cli.training_options import needing_the_extra


def add_commands(commands: Commands) -> None:
    """Adds ``export detector`` and ``export classifier``."""
    group = add_group(commands, "export", "Makes a model of a training run; needs the extra 'train'.")
    for kind in ("detector", "classifier"):
        command = add_command(
            group,
            kind,
            f"Writes a trained {kind} with its model card.",
            details="In the folder of your own models it can be chosen by its name at once.",
            example=f"maskgate export {kind} runs/{kind} --name my-{kind} "
            "--output ~/.local/share/maskgate/models",
        )
        command.add_argument("folder", metavar="RUN", type=existing_folder, help="the finished run's folder")
        command.add_argument("--name", required=True, help="what users choose the model by")
        command.add_argument(
            "--output", metavar="DIR", type=Path, required=True, help="where NAME.onnx and NAME.json go"
        )
        command.add_argument(
            "--model-version", metavar="TEXT", default="1", help="version of the weights (default: 1)"
        )
        command.add_argument(
            "--description", metavar="TEXT", default="", help="one sentence (default: says what it is)"
        )
        command.add_argument(
            "--licence", metavar="TEXT", default="not stated", help="of the weights (default: not stated)"
        )
        command.add_argument(
            "--commit", metavar="TEXT", default="", help="of the repository that trained it (default: none)"
        )
        command.add_argument(
            "--figures",
            metavar="NAME=FILE",
            type=_named_figures,
            action="append",
            default=[],
            help="what 'maskgate evaluate scenes' wrote, under the name of the test data; may be repeated",
        )
        command.set_defaults(run=_run_export, kind=kind)


def _run_export(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training import publish

    edition = publish.Edition(
        name=arguments.name,
        version=arguments.model_version,
        description=arguments.description or f"A {arguments.kind} of your own.",
        licence=arguments.licence,
        commit=arguments.commit,
        tests=dict(arguments.figures),
    )
    write = publish.publish_detector if arguments.kind == "detector" else publish.publish_classifier
    card = write(arguments.folder, arguments.output, edition)
    sys.stdout.write(f"{card.path}\n{arguments.output / f'{card.name}.json'}\n")
    return 0


def _named_figures(text: str) -> tuple[str, dict[str, Any]]:
    name, sign, file = text.partition("=")
    if not (name and sign and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    try:
        figures = json.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{file} is not JSON: {error}") from error
    if not isinstance(figures, dict):
        raise argparse.ArgumentTypeError(f"{file} holds no figures")
    return name, figures
