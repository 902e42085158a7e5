"""``maskgate compare``."""

from __future__ import annotations

import argparse
import fnmatch
import platform
import sys
from pathlib import Path

from maskgate import __version__
from maskgate.cli.options import Commands, add_command
from maskgate.cli.training_options import (
    add_judging_options,
    add_study_options,
    create_places,
    needing_the_extra,
)
from maskgate.models.sessions import available_processors


def add_commands(commands: Commands) -> None:
    """Adds ``compare``."""
    compare = add_command(
        commands,
        "compare",
        "Trains and tests the methods that the paper compares; needs 'train' and 'eval'.",
        details="All of them learn from the same faces and are judged by the same others: a part of the "
        "pictures that none has learnt from, and scenes of another origin. With a recipe it repeats the "
        "project's own comparison. Without one it takes your folder of pictures: a folder a label (mask, "
        "no_mask, incorrect), or images/ with annotations.json. The same command goes on where it was "
        "stopped. Writes comparison.json and report.html.",
        example="maskgate compare --recipe recipes/studies/comparison.toml --data data --weights weights "
        "--cross scenes --output comparison",
    )
    add_study_options(compare, "methods and split", "tables and plots")
    add_judging_options(compare)
    compare.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        help="holds the run folders, those of 'maskgate train' too (default: 'runs' in the output)",
    )
    compare.add_argument(
        "--only",
        metavar="PATTERN",
        default="*",
        help="compare only methods with such a name, and the default one (default: all)",
    )
    compare.add_argument(
        "--robustness",
        action="store_true",
        help="also change faces of --cross by light, size, cover and more, and test again",
    )
    compare.set_defaults(run=_run_compare)


def _run_compare(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.studies.comparison import run_comparison
        from maskgate.studies.comparison_recipe import comparison_of_folder, read_comparison
        from maskgate.studies.comparison_report import write_comparison, write_comparison_page

    places = create_places(arguments, arguments.output / "crops")
    if arguments.recipe:
        recipe = read_comparison(arguments.recipe, arguments.epochs)
    else:
        recipe = comparison_of_folder(arguments.data, places.weights, arguments.epochs)
    names = [method.name for method in recipe.methods if fnmatch.fnmatch(method.name, arguments.only)]
    comparison = run_comparison(
        recipe.only(names),
        places,
        arguments.output,
        cross=arguments.cross,
        runs=arguments.runs,
        threads=arguments.threads or available_processors(),
        workers=arguments.workers,
        robustness=arguments.robustness,
    )
    about = {
        "methods": arguments.recipe.name if arguments.recipe else "of a folder",
        "pictures": arguments.data.name,
        "cross-source": arguments.cross.name if arguments.cross else "none",
        "machine": f"{platform.machine()}, {available_processors()} processors",
        "threads": str(arguments.threads or available_processors()),
        "version": __version__,
    }
    write_comparison(comparison, arguments.output, about)
    if arguments.page:
        write_comparison_page(comparison, arguments.page, arguments.page.parent / "images", about)
    sys.stdout.write(f"{arguments.output / 'report.html'}\n")
    return 0
