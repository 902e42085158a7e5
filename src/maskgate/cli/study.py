"""``maskgate study``."""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path
from typing import Any

from maskgate import __version__
from maskgate.cli.options import (
    Commands,
    add_command,
    add_group,
    at_least_one,
)
from maskgate.cli.training_options import (
    add_judging_options,
    add_study_options,
    add_training_options,
    create_places,
    needing_the_extra,
)
from maskgate.errors import InputError
from maskgate.models.sessions import available_processors


def add_commands(commands: Commands) -> None:
    """Adds ``study transfer`` and ``study occlusion``."""
    group = add_group(commands, "study", "Trains many networks and compares them; needs 'train' and 'eval'.")
    transfer = add_command(
        group,
        "transfer",
        "Compares starts of transfer learning: ImageNet, face recognition, none.",
        details="With a recipe it repeats the project's own study. Without one it takes your folder of "
        "pictures: a folder a label (mask, no_mask, incorrect), or images/ with annotations.json. "
        "The same command goes on where it was stopped. Writes study.json and report.html.",
        example="maskgate study transfer --data pictures --start imagenet=resnet50.pth --output study",
    )
    add_study_options(transfer, "sources, starts and runs", "tables and plots, without photographs,")
    transfer.add_argument(
        "--start",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="without a recipe: a start to compare, its weights, and after '@' its network "
        "(default: resnet50-layer2); may be given several times",
    )
    transfer.add_argument(
        "--seeds", metavar="N", type=at_least_one, help="runs of each kind (default: the recipe's)"
    )
    transfer.add_argument(
        "--only", metavar="PATTERN", default="*", help="train only runs with such a name now (default: all)"
    )
    transfer.add_argument("--without-photographs", action="store_true", help="show no faces in the report")
    transfer.set_defaults(run=_run_transfer)
    occlusion = add_command(
        group,
        "occlusion",
        "Measures what each kind of drawing on faces brings to a classifier.",
        details="Each part of the recipe is a training that leaves something out. The same command goes on "
        "where it was stopped. Writes ablation.json and a table, ablation.md.",
        example="maskgate study occlusion --recipe recipes/studies/occlusion.toml --data data "
        "--weights weights --output ablation",
    )
    add_training_options(occlusion)
    for command in (transfer, occlusion):
        add_judging_options(command)
    occlusion.set_defaults(run=_run_occlusion)


def _run_transfer(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.studies.report import write_docs_page, write_study
        from maskgate.studies.transfer import run_transfer_study

    recipe = _recipe(arguments)
    runs, examples = run_transfer_study(
        recipe,
        create_places(arguments, arguments.output / "crops"),
        arguments.output,
        cross=arguments.cross,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
        only=arguments.only,
    )
    about = {
        "data": str(arguments.recipe.name if arguments.recipe else arguments.data.name),
        "machine": f"{platform.machine()}, {available_processors()} processors",
        "version": __version__,
    }
    if runs:
        write_study(
            runs, arguments.output, about=about, examples=None if arguments.without_photographs else examples
        )
        sys.stdout.write(f"{arguments.output / 'report.html'}\n")
        if arguments.page:
            write_docs_page(runs, arguments.page, arguments.page.parent / "images", about)
    return 0


def _run_occlusion(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.studies.ablation import run_ablation, write_ablation
        from maskgate.training.recipe import read_recipe

    rows = run_ablation(
        read_recipe(arguments.recipe, epochs=arguments.epochs),
        create_places(arguments, arguments.output / "crops"),
        arguments.output,
        cross=arguments.cross,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
    )
    write_ablation(rows, arguments.output)
    sys.stdout.write(f"{arguments.output / 'ablation.md'}\n")
    return 0


def _recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    from maskgate.studies.transfer import recipe_for_folder
    from maskgate.training.recipe import read_recipe

    if arguments.recipe:
        if arguments.start:
            raise InputError("--start goes without --recipe; name starts in the recipe's [starts]")
        recipe = read_recipe(arguments.recipe, epochs=arguments.epochs)
    else:
        starts, runs = _starts(arguments.start)
        recipe = recipe_for_folder(arguments.data, starts, runs)
        if arguments.epochs:
            recipe["loop"]["epochs"] = arguments.epochs
    if arguments.seeds:
        for run in recipe.get("run", []):
            run["seeds"] = list(range(arguments.seeds))
    return recipe


def _starts(words: list[str]) -> tuple[dict[str, dict[str, str]], list[dict[str, Any]]]:
    """Starts and runs of ``NAME=FILE@ARCHITECTURE``, each beside the same network from scratch."""
    starts: dict[str, dict[str, str]] = {}
    runs: list[dict[str, Any]] = []
    for word in words:
        name, _, rest = word.partition("=")
        file, _, architecture = rest.partition("@")
        if not name or not file:
            raise InputError(f"--start {word} has no form NAME=FILE; give a name and the file of its weights")
        starts[name] = {"file": file, "description": f"the weights in {Path(file).name}"}
        runs.append({"architecture": architecture or "resnet50-layer2", "start": name})
    for architecture in dict.fromkeys(run["architecture"] for run in runs) or ["face-resnet11"]:
        runs.insert(0, {"architecture": architecture, "start": "scratch"})
    return starts, runs
