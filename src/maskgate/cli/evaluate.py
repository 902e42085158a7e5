"""``maskgate evaluate``."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.table import Table

from maskgate.cli.options import (
    Commands,
    add_command,
    add_group,
    add_model_options,
    create_gate,
    existing_file,
    existing_folder,
)
from maskgate.cli.output import check_output
from maskgate.cli.progress import progress_bar
from maskgate.cli.tables import new_table, print_table
from maskgate.cli.training_options import needing_the_extra
from maskgate.errors import InputError
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.report import SceneReport, write_figures, write_report
from maskgate.evaluation.scenes import evaluate_scenes
from maskgate.images import find_images, read_image
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, ModelCard, find_card
from maskgate.models.cards import Task
from maskgate.models.registry import find_plugin

_FIGURES = (
    "faces", "face_recall", "false_faces_per_image", "accuracy", "recall_mask", "recall_no_mask",
    "precision_mask", "roc_auc", "incorrect_flagged", "violators_found", "wearers_accused",
)  # fmt: skip


def add_commands(commands: Commands) -> None:
    """Adds ``evaluate scenes`` and ``evaluate hands``."""
    group = add_group(commands, "evaluate", "Measures how well it works on your pictures.")
    scenes = add_command(
        group,
        "scenes",
        "Scores the pipeline on pictures whose faces are annotated.",
        details="Faces with a side of less than 20 pixels are ignored; a found face belongs to an annotated "
        "one from an IoU of 0.4 on. A picture that cannot be read ends it, with exit status 2.",
        example="maskgate evaluate scenes street/ --output figures.json",
    )
    scenes.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="holds images/ and annotations.json, COCO with the categories mask, no_mask, incorrect",
    )
    scenes.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help="write the figures there, as JSON"
    )
    add_model_options(scenes)
    scenes.set_defaults(run=_run_scenes)
    hands = add_command(
        group,
        "hands",
        "Lays hands over the mouths of bare faces and counts those that pass as masks.",
        details="Only hands of people that training leaves out are taken. Needs the extra 'train'.",
        example="maskgate evaluate hands --faces bare/ --hands data/hands/dorsal --output hands.json",
    )
    hands.add_argument(
        "--faces", metavar="DIR", type=existing_folder, required=True, help="pictures of bare faces"
    )
    hands.add_argument(
        "--hands",
        metavar="DIR",
        type=existing_folder,
        action="append",
        required=True,
        help="photographs of hands before a white or black background; may be given several times",
    )
    hands.add_argument(
        "--list", metavar="FILE", type=existing_file, help="names of the pictures to take, one a line"
    )
    hands.add_argument("--all-hands", action="store_true", help="also take hands that training learns from")
    hands.add_argument("--seed", metavar="N", type=int, default=0, help="of hands and places (default: 0)")
    hands.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help="write the figures there, as JSON"
    )
    add_model_options(hands)
    hands.set_defaults(run=_run_hands)


def _run_scenes(arguments: argparse.Namespace) -> int:
    scenes = read_scenes(arguments.folder)
    check_output(arguments.output)
    gate = create_gate(arguments)
    with progress_bar(len(scenes)) as show:
        report = evaluate_scenes(
            gate,
            scenes,
            detector=_card(arguments.detector or DEFAULT_DETECTOR, "detection"),
            # a detector that says what is on its faces needs no classifier
            classifier=_card(arguments.classifier or DEFAULT_CLASSIFIER, "classification")
            if gate.classifier
            else None,
            progress=lambda done, _: show(done),
        )
    write_report(report, arguments.output)
    print_table(sys.stdout, _table(report))
    return 0


def _run_hands(arguments: argparse.Namespace) -> int:
    with needing_the_extra():
        from maskgate.training.occlusion.hand_split import split_hands
        from maskgate.training.occlusion.hand_test import hand_test
        from maskgate.training.occlusion.hands import read_hands

    check_output(arguments.output)
    names = arguments.list.read_text("utf-8").split("\n") if arguments.list else None
    files = (
        [arguments.faces / name.strip() for name in names if name.strip()]
        if names is not None
        else find_images([str(arguments.faces)])
    )
    photographs = [f for folder in arguments.hands for f in sorted(folder.glob("*.jpg"))]
    # people are named in a table beside the folders of hands
    kept = split_hands(photographs, arguments.hands[0].resolve().parent.parent)[1]
    gate = create_gate(arguments)
    if gate.classifier is None:
        raise InputError("'evaluate hands' tests a classifier; name one with --classifier")
    with progress_bar(len(files)) as show:
        report = hand_test(
            [partial(read_image, file) for file in files],
            read_hands(photographs if arguments.all_hands else kept),
            gate.detector,
            gate.classifier,
            threshold=arguments.threshold,
            seed=arguments.seed,
            progress=show,
        )
    figures = {
        **asdict(report),
        "detector": gate.detector.name,
        "classifier": gate.classifier.name,
        "seed": arguments.seed,
    }
    write_figures(figures, arguments.output)
    table = new_table("figure", "value", right=("value",))
    for name, value in figures.items():
        if isinstance(value, float | int):
            table.add_row(name, _number(value))
    for pose, own in report.by_pose.items():
        table.add_row(f"called_mask_after {pose}", _number(own.called_mask))
    print_table(sys.stdout, table)
    return 0


def _card(name: str, task: Task) -> ModelCard | None:
    """None for a model of another distribution, which has no card."""
    return None if find_plugin(name, task) is not None else find_card(name, task)


def _table(report: SceneReport) -> Table:
    table = new_table("figure", "value", "95% interval", right=("value",))
    for name in _FIGURES:
        low, high = report.intervals.get(name, (math.nan, math.nan))
        between = "" if math.isnan(low) else f"{_number(low)} to {_number(high)}"
        table.add_row(name, _number(getattr(report, name)), between)
    for label, precision in report.ap50.items():
        table.add_row(f"ap50 {label}", _number(precision), "")
    return table


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.4f}"
