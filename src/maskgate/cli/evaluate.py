"""``maskgate evaluate``."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.table import Table

from maskgate.cli.error_sheets import write_errors
from maskgate.cli.options import (
    Commands,
    add_command,
    add_device_options,
    add_group,
    add_model_options,
    at_least_one,
    create_gate,
    existing_file,
    existing_folder,
    needing_extra,
)
from maskgate.cli.output import check_output
from maskgate.cli.progress import progress_bar
from maskgate.cli.tables import new_table, print_table
from maskgate.cli.training_options import needing_the_extra
from maskgate.errors import InputError
from maskgate.evaluation.asking import Protocol, ask, examine
from maskgate.evaluation.coco import read_scenes
from maskgate.evaluation.face_sets import read_face_set
from maskgate.evaluation.faces import FaceReport, score_faces
from maskgate.evaluation.report import SceneReport, write_figures, write_report
from maskgate.evaluation.scenes import evaluate_scenes
from maskgate.images import find_images, read_image
from maskgate.models import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR, ModelCard, RuntimeOptions, find_card
from maskgate.models.cards import Task
from maskgate.models.registry import find_plugin

_FIGURES = (
    "faces", "face_recall", "false_faces_per_image", "accuracy", "recall_mask", "recall_no_mask",
    "precision_mask", "roc_auc", "incorrect_flagged", "violators_found", "wearers_accused",
)  # fmt: skip


def add_commands(commands: Commands) -> None:
    """Adds ``evaluate scenes``, ``evaluate faces`` and ``evaluate hands``."""
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
    _add_faces(group)
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


def _add_faces(group: Commands) -> None:
    faces = add_command(
        group,
        "faces",
        "Scores a detector: average precision, recall, landmark error and time.",
        details="Reads a folder of WIDER FACE (split val) or one of scenes. A picture that cannot be read "
        "ends it, with exit status 2. The .mat files of WIDER FACE need the extra 'eval'.",
        example="maskgate evaluate faces WIDER/ --scales 500 800 1100 --flip --output figures.json",
    )
    faces.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="holds WIDER_val/images/ and wider_face_split/, or images/ and annotations.json",
    )
    faces.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help="write the figures there, as JSON"
    )
    faces.add_argument(
        "--errors",
        metavar="DIR",
        type=Path,
        help="write there errors.csv, and what is missed and found falsely on two contact sheets",
    )
    faces.add_argument("--detector", metavar="NAME", help=f"to be scored (default: {DEFAULT_DETECTOR})")
    faces.add_argument(
        "--score",
        metavar="FLOAT",
        type=float,
        help="from which a face counts as found, for recall and false faces (default: the detector's own)",
    )
    faces.add_argument(
        "--floor",
        metavar="FLOAT",
        type=float,
        default=0.02,
        help="from which faces are ranked, for average precision (default: 0.02)",
    )
    faces.add_argument(
        "--scales",
        metavar="PIXELS",
        type=at_least_one,
        nargs="+",
        default=[],
        help="see each picture once with each of these shorter sides, and join the faces by box voting "
        "(default: once, as the detector does)",
    )
    faces.add_argument("--flip", action="store_true", help="see each picture mirrored too")
    add_device_options(faces)
    faces.set_defaults(run=_run_faces)


def _run_faces(arguments: argparse.Namespace) -> int:
    with needing_extra("reading .mat files", lambda _: "eval"):
        face_set = read_face_set(arguments.folder)
    check_output(arguments.output)
    if arguments.errors:
        check_output(arguments.errors / "errors.csv")
    protocol = Protocol(arguments.score, arguments.floor, tuple(arguments.scales), arguments.flip)
    examined = examine(arguments.detector, RuntimeOptions(arguments.device, arguments.threads), protocol)
    with progress_bar(len(face_set.pictures)) as show:
        answers = ask(face_set.pictures, examined, progress=show)
    card = _card(arguments.detector or DEFAULT_DETECTOR, "detection")
    report = score_faces(face_set, answers, protocol, detector=card)
    write_figures(report.to_json(), arguments.output)
    if arguments.errors:
        write_errors(arguments.errors, face_set.pictures, answers.found)
    print_table(sys.stdout, _face_table(report))
    return 0


def _face_table(report: FaceReport) -> Table:
    table = new_table("figure", "value", "faces", right=("value", "faces"))
    for name, value in report.wider_ap.items():
        table.add_row(f"WIDER AP {name}", _number(value), "")
    for name, value in report.coco_ap.items():
        table.add_row(f"COCO {name}", _number(value), "")
    table.add_row("face_recall", _number(report.face_recall), str(report.faces))
    table.add_row("false_faces_per_image", _number(report.false_faces_per_image), "")
    for limit, value in report.recall_at_false_faces.items():
        table.add_row(f"recall at {limit} false faces", _number(value), "")
    for title, recalls, counts in (
        ("recall at", report.recall_by_size, report.faces_by_size),
        ("recall", report.recall_by_class, report.faces_by_class),
    ):
        for name, value in recalls.items():
            table.add_row(
                f"{title} {name}{' px' if title != 'recall' else ''}", _number(value), str(counts[name])
            )
    for name, errors in {"": report.landmarks, **report.landmarks_by_class}.items():
        if errors["faces"]:
            title = " ".join(filter(None, ("landmark error", name)))
            table.add_row(title, _number(errors["mean"]), _number(int(errors["faces"])))
    for name, value in report.milliseconds.items():
        table.add_row(f"ms {name}", f"{value:.1f}", "")
    return table


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
