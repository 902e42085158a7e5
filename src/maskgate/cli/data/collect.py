"""``maskgate data collect``."""

from __future__ import annotations

import argparse
from typing import Any

from maskgate.cli.data.options import AGAIN, INPUT, add_distance, add_face_options, add_output
from maskgate.cli.data.saying import count, report, say
from maskgate.cli.options import Commands, add_command, add_model_options, create_gate
from maskgate.cli.progress import progress_bar


def add_command_to(group: Commands) -> None:
    """Adds ``data collect``."""
    command = add_command(
        group,
        "collect",
        "Cuts the faces out of pictures and videos, for a person to label.",
        details=f"They go to OUTPUT/unlabelled, with an index beside it. {AGAIN}",
        example="maskgate data collect photos/ street.mp4 --output faces --presort",
    )
    command.add_argument("inputs", metavar="INPUT", nargs="+", help=f"a video, {INPUT}")
    add_output(command)
    command.add_argument(
        "--presort",
        action="store_true",
        help="put each face into OUTPUT/presorted/LABEL by the classifier's verdict, to be corrected",
    )
    command.add_argument(
        "--cut",
        choices=("upright", "surroundings"),
        default="upright",
        help="turn each face upright, or cut out the picture as it is (default: upright)",
    )
    add_face_options(command)
    command.add_argument(
        "--every",
        metavar="SECONDS",
        type=float,
        default=1.0,
        help="between the frames of a video that are looked at (default: 1)",
    )
    add_distance(command, "a face in neighbouring frames counts as the same picture")
    add_model_options(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from maskgate.datasets.collect import CollectSettings, collect_faces
    from maskgate.datasets.sources import VIDEO_EXTENSIONS, count_frames
    from maskgate.detection import create_detector
    from maskgate.images import find_images
    from maskgate.models.sessions import RuntimeOptions

    settings = CollectSettings(
        arguments.cut, arguments.margin, arguments.smallest, arguments.every, arguments.distance
    )
    sources = find_images(arguments.inputs, also=VIDEO_EXTENSIONS)
    models: dict[str, Any] = {"score": arguments.score}
    judge = None
    if arguments.presort:
        gate = create_gate(arguments)
        detector, judge = gate.detector, gate.classify
        judging = gate.classifier or gate.detector
        models |= {"classifier": judging.name, "threshold": gate.threshold}
    else:
        options = RuntimeOptions(arguments.device, arguments.threads)
        detector = create_detector(arguments.detector, options, score=arguments.score)
    total = sum(count_frames(source, settings.every) for source in sources)
    with progress_bar(total) as show:
        result = collect_faces(
            sources, arguments.output, detector, settings, models=models, presort=judge, show=show
        )
    say(f"{count(result.faces, 'face')} of {count(result.sources, 'source')} in {arguments.output}")
    return report(result.failures)
