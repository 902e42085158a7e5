"""``maskgate train``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskgate.cli.options import (
    Commands,
    add_command,
    add_group,
    at_least_one,
    existing_file,
    existing_folder,
)
from maskgate.errors import InputError
from maskgate.models.sessions import available_processors


def add_commands(commands: Commands) -> None:
    """Adds ``train detector`` and ``train classifier``."""
    group = add_group(commands, "train", "Trains the networks; needs the extra 'train'.")
    details = (
        "The same command with the same --output goes on from the last checkpoint. At the end model.onnx "
        "lies there, with settings, curves and figures beside it."
    )
    detector = add_command(
        group,
        "detector",
        "Trains the network that finds faces.",
        details=details,
        example="maskgate train detector --recipe recipes/detector.toml --data data --weights weights "
        "--output runs/detector",
    )
    classifier = add_command(
        group,
        "classifier",
        "Trains the network that says what is on a face.",
        details=details,
        example="maskgate train classifier --recipe recipes/classifier.toml --data data --weights weights "
        "--output runs/classifier",
    )
    for command in (detector, classifier):
        command.add_argument(
            "--recipe",
            metavar="FILE",
            type=existing_file,
            required=True,
            help="TOML: what to train on and how",
        )
        command.add_argument(
            "--data", metavar="DIR", type=existing_folder, required=True, help="holds the recipe's pictures"
        )
        command.add_argument(
            "--weights",
            metavar="DIR",
            type=existing_folder,
            required=True,
            help="holds the weights that the recipe starts from",
        )
        command.add_argument(
            "--output", metavar="DIR", type=Path, required=True, help="run folder, new or to go on with"
        )
        command.add_argument(
            "--epochs", metavar="N", type=at_least_one, help="of the training (default: the recipe's)"
        )
        command.add_argument(
            "--threads",
            metavar="N",
            type=at_least_one,
            help="of the training process (default: all processors)",
        )
        command.add_argument(
            "--workers",
            metavar="N",
            type=at_least_one,
            default=1,
            help="processes that make the training samples (default: 1)",
        )
    classifier.add_argument(
        "--labeller",
        metavar="FILE",
        type=existing_file,
        help="model.onnx of an earlier run, to label the pictures that have no labels "
        "(default: these are left out)",
    )
    classifier.add_argument(
        "--face-labels",
        metavar="FILE",
        type=existing_file,
        help="teacher.jsonl of an earlier run, to save finding the faces again",
    )
    detector.set_defaults(run=_run_detector)
    classifier.set_defaults(run=_run_classifier)


def _run_detector(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.detector import train_detector
        from maskgate.training.recipe import read_recipe

    train_detector(
        read_recipe(arguments.recipe, epochs=arguments.epochs),
        arguments.data,
        arguments.weights,
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    return _finish(arguments)


def _run_classifier(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.classifier import train_classifier
        from maskgate.training.recipe import read_recipe

    train_classifier(
        read_recipe(arguments.recipe, epochs=arguments.epochs),
        arguments.recipe.parent,
        arguments.data,
        arguments.weights,
        arguments.output,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
        labeller=arguments.labeller,
        face_labels=arguments.face_labels,
    )
    return _finish(arguments)


@contextmanager
def needing_the_extra() -> Iterator[None]:
    """Turns a missing package of the extra ``train`` into one sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "maskgate":
            raise
        raise InputError(
            f"training needs the package {package}, which is not installed; "
            "run: pip install 'maskgate[train]'"
        ) from error


def _finish(arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"{arguments.output / 'model.onnx'}\n")
    return 0
