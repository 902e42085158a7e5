"""``maskgate data synthesise``."""

from __future__ import annotations

import argparse

from maskgate.cli.data.options import AGAIN, INPUT, add_face_options, add_output, add_seed
from maskgate.cli.data.saying import count, report, say
from maskgate.cli.options import Commands, add_command, at_least_one, existing_folder
from maskgate.cli.progress import progress_bar
from maskgate.models import DEFAULT_DETECTOR

_KINDS = ("mask", "incorrect", "covered", "bare")


def add_command_to(group: Commands) -> None:
    """Adds ``data synthesise``."""
    command = add_command(
        group,
        "synthesise",
        "Paints masks, worn rightly and wrongly, hands and scarves on bare faces.",
        details=AGAIN,
        example="maskgate data synthesise bare/ --output painted --count 3",
    )
    command.add_argument("inputs", metavar="INPUT", nargs="+", help=INPUT)
    add_output(command)
    command.add_argument(
        "--form",
        choices=("folders", "coco"),
        default="folders",
        help="cut faces in a folder a label, or whole pictures with boxes (default: folders)",
    )
    command.add_argument(
        "--kinds",
        nargs="+",
        choices=_KINDS,
        default=_KINDS[:3],
        metavar="KIND",
        help="what may become of a face: mask, incorrect, covered, bare (default: the first three)",
    )
    command.add_argument(
        "--count", metavar="N", type=at_least_one, default=1, help="results a picture (default: 1)"
    )
    command.add_argument(
        "--templates",
        metavar="DIR",
        type=existing_folder,
        help="photographed masks: masks.cfg and templates/",
    )
    command.add_argument(
        "--hands", metavar="DIR", type=existing_folder, help="photographs of hands on a plain background"
    )
    add_seed(command)
    add_face_options(command)
    command.add_argument("--detector", metavar="NAME", help=f"finds the faces (default: {DEFAULT_DETECTOR})")
    command.add_argument(
        "--score", metavar="FLOAT", type=float, help="lowest detector score of a face (default: its own)"
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.synthesise import Kind, SynthesisSettings, make_painter, synthesise
    from maskgate.detection import create_detector
    from maskgate.images import find_images
    from maskgate.models.sessions import RuntimeOptions

    settings = SynthesisSettings(
        arguments.form,
        tuple(dict.fromkeys(Kind(kind) for kind in arguments.kinds)),
        arguments.count,
        arguments.seed,
        arguments.margin,
        arguments.smallest,
    )
    sources = find_images(arguments.inputs)
    materials = {
        "score": arguments.score,
        "templates": arguments.templates and str(arguments.templates.resolve()),
        "hands": arguments.hands and str(arguments.hands.resolve()),
    }
    painter = make_painter(arguments.templates, arguments.hands)
    detector = create_detector(arguments.detector, RuntimeOptions(), score=arguments.score)
    with progress_bar(len(sources)) as show:
        result = synthesise(
            sources, arguments.output, detector, painter, settings, materials=materials, show=show
        )
    say(f"{count(result.faces, 'face')} of {count(result.sources, 'picture')} in {arguments.output}")
    return report(result.failures)
