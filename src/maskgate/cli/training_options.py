"""Options that the commands share which train, and the check for what they need."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from maskgate.cli.options import at_least_one, existing_file, existing_folder, needing_extra

if TYPE_CHECKING:
    from maskgate.training.classifier_setup import Places


def add_training_options(command: argparse.ArgumentParser) -> None:
    """Recipe, folders, epochs, and what of the machine is used."""
    add_recipe_options(command)
    command.add_argument(
        "--epochs", metavar="N", type=at_least_one, help="of the training (default: the recipe's)"
    )
    add_machine_options(command)


def add_recipe_options(command: argparse.ArgumentParser) -> None:
    """Recipe and folders."""
    command.add_argument(
        "--recipe", metavar="FILE", type=existing_file, required=True, help="TOML: what to train on and how"
    )
    command.add_argument(
        "--data", metavar="DIR", type=existing_folder, required=True, help="holds the recipe's pictures"
    )
    _add_weights_option(command, "starts from", required=True)
    command.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="run folder, new or to go on with"
    )


def _add_weights_option(command: argparse.ArgumentParser, what: str, *, required: bool) -> None:
    command.add_argument(
        "--weights",
        metavar="DIR",
        type=existing_folder,
        action="append",
        default=[],
        required=required,
        help=f"holds the weights that the recipe {what}; may be given several times",
    )


def add_machine_options(command: argparse.ArgumentParser) -> None:
    """Threads and workers."""
    add_threads_option(command)
    command.add_argument(
        "--workers",
        metavar="N",
        type=at_least_one,
        default=1,
        help="processes that make the training samples (default: 1)",
    )


def add_threads_option(command: argparse.ArgumentParser) -> None:
    """``--threads``."""
    command.add_argument(
        "--threads",
        metavar="N",
        type=at_least_one,
        help="of the training process (default: all processors)",
    )


def add_face_options(command: argparse.ArgumentParser, default: str) -> None:
    """Where faces come from that were found or cut before; ``default`` is that of the cut ones."""
    command.add_argument(
        "--crops",
        metavar="DIR",
        type=Path,
        help=f"keep cut faces there, for other runs too (default: {default})",
    )
    add_found_faces_option(command)


def add_found_faces_option(command: argparse.ArgumentParser) -> None:
    """Where faces come from that were found before."""
    command.add_argument(
        "--face-labels",
        metavar="FILE",
        type=existing_file,
        help="teacher.jsonl of an earlier run, to save finding the faces again",
    )


def add_study_options(command: argparse.ArgumentParser, recipe: str, page: str) -> None:
    """What studies take that also run on a folder of the user's own; ``recipe`` and ``page`` say what is
    in those files."""
    command.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="its folder, new or to go on with"
    )
    command.add_argument(
        "--data",
        metavar="DIR",
        type=existing_folder,
        default=Path("data"),
        help="the pictures (default: data)",
    )
    command.add_argument(
        "--recipe", metavar="FILE", type=existing_file, help=f"TOML: {recipe} (default: your folder)"
    )
    _add_weights_option(command, "names", required=False)
    command.add_argument(
        "--epochs", metavar="N", type=at_least_one, help="of each training (default: the recipe's)"
    )
    command.add_argument("--page", metavar="FILE", type=Path, help=f"write {page} as Markdown too")
    add_machine_options(command)


def add_judging_options(command: argparse.ArgumentParser) -> None:
    """Scenes of another origin, and faces found or cut before."""
    command.add_argument(
        "--cross",
        metavar="DIR",
        type=existing_folder,
        help="annotated scenes of another origin, to test on too",
    )
    add_face_options(command, "'crops' in the output")


def create_places(arguments: argparse.Namespace, crops: Path, labeller: Path | None = None) -> Places:
    """The folders that the options name; ``crops`` is where cut faces go if ``--crops`` is not given.

    Without a recipe, what it would name is looked for beside the data.
    """
    from maskgate.training.classifier_setup import Places

    folder = arguments.recipe.parent if arguments.recipe else arguments.data
    weights = tuple(arguments.weights)
    own = getattr(arguments, "crops", None)  # a detector cuts no faces
    return Places(folder, arguments.data, weights, own or crops, labeller, arguments.face_labels)


@contextmanager
def needing_the_extra() -> Iterator[None]:
    """Turns a missing package of the extras ``train`` and ``eval`` into one sentence."""
    with needing_extra("training", lambda p: "train,eval" if p in ("sklearn", "matplotlib") else "train"):
        yield
