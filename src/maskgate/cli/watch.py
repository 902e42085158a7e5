"""``maskgate watch``."""

from __future__ import annotations

import argparse
import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from maskgate.cli.annotating import check_apart
from maskgate.cli.options import (
    Commands,
    add_command,
    add_format_option,
    add_model_options,
    needing_extra,
)
from maskgate.cli.watch_options import add_camera_options, add_rules_option, add_track_option, choose_sources
from maskgate.errors import InputError

if TYPE_CHECKING:
    from maskgate.streams.rule_file import RuleFile


def add_commands(commands: Commands) -> None:
    """Adds the command."""
    watch = add_command(
        commands,
        "watch",
        "Watches cameras and videos, and tells what is confirmed about the faces before them.",
        details="Faces are followed, and their verdicts voted over frames; an event comes when one is "
        "confirmed, changes or ends. Exit status: 0 all read, 1 some failed, 2 the call was wrong.",
        example="maskgate watch rtsp://camera.example/stream --rules rules.toml",
    )
    watch.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="a video, a folder of pictures, the number of a webcam, the address of a stream (rtsp, http, "
        "...), or the name of a camera in the rule file (default: all cameras in it)",
    )
    add_format_option(watch)
    watch.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write the events there instead of to standard output; those of cameras are added to what is "
        "in it",
    )
    add_rules_option(watch)
    watch.add_argument(
        "--save",
        metavar="OUT.mp4",
        type=Path,
        help="also write the video with its faces drawn in; of several sources OUT-1.mp4 and so on",
    )
    recordings = watch.add_argument_group("videos and folders")
    recordings.add_argument(
        "--start",
        metavar="TIME",
        type=_moment,
        help="when the first frame was taken, such as 2026-01-01T08:00:00Z (default: when the file says "
        "that it was recorded, or was last changed)",
    )
    recordings.add_argument(
        "--picture-rate",
        metavar="FLOAT",
        type=float,
        help="pictures a second in a folder (default: 25)",
    )
    live = watch.add_argument_group("cameras")
    add_camera_options(live)
    live.add_argument(
        "--seconds", metavar="FLOAT", type=_seconds, help="stop after so long (default: when told to)"
    )
    add_model_options(watch)
    add_track_option(watch)
    watch.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with needing_extra("watching", lambda _: "watch"):
        from maskgate.cli.watch_run import run_live, run_recordings
        from maskgate.streams.rule_file import RuleFile
    chosen, file = choose_sources(arguments)
    live = chosen[0].kind.live
    if any(source.kind.live is not live for source in chosen):
        raise InputError(
            "cameras and recordings cannot be watched together, as their times have nothing to do with each "
            "other; start maskgate twice"
        )
    files = [Path(source.address) for source in chosen if not source.kind.live]
    check_apart(files, [path for path in (arguments.output, arguments.save) if path is not None])
    rules = file or RuleFile()
    _check_counts_only(arguments, rules)
    if live:
        if arguments.start is not None:
            raise InputError("--start is for recordings; a camera's pictures are taken now")
        return run_live(arguments, chosen, rules)
    if arguments.seconds is not None:
        raise InputError("--seconds is for cameras; a recording is read whole")
    return run_recordings(arguments, chosen, rules)


def _check_counts_only(arguments: argparse.Namespace, rules: RuleFile) -> None:
    if rules.events is None or rules.events.store.keep != "counts":
        return
    for option in ("output", "save"):
        if getattr(arguments, option) is not None:
            raise InputError(
                f'--{option} goes not with store.keep = "counts" in {arguments.rules}, which keeps counts '
                "and nothing else; remove one of the two"
            )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-01-01T08:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} lacks its time zone; write {text}Z for UTC, or +01:00")
    return moment


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
