"""``maskgate watch``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from maskgate.cli.annotating import check_apart
from maskgate.cli.options import (
    Commands,
    add_command,
    add_format_option,
    add_model_options,
    existing_file,
    needing_extra,
)
from maskgate.errors import InputError

if TYPE_CHECKING:
    from maskgate.streams.rule_file import RuleFile
    from maskgate.streams.sources import Source

TRACK_SCORE = 0.7


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
    watch.add_argument(
        "--rules",
        metavar="FILE",
        type=existing_file,
        help="cameras, zones, schedules, rules, store and sinks, in TOML (docs/watch.md)",
    )
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
    live.add_argument(
        "--rate",
        metavar="FLOAT",
        type=float,
        help="most frames a second that are looked at, of each camera on the command line (default: 10)",
    )
    live.add_argument(
        "--transport",
        choices=("tcp", "udp"),
        default="tcp",
        help="what carries the pictures of RTSP cameras on the command line (default: tcp)",
    )
    live.add_argument(
        "--seconds", metavar="FLOAT", type=_seconds, help="stop after so long (default: when told to)"
    )
    add_model_options(watch)
    watch.add_argument(
        "--track-score",
        metavar="FLOAT",
        type=float,
        default=TRACK_SCORE,
        help=f"detector score from which a face begins to be followed (default: {TRACK_SCORE})",
    )
    watch.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with needing_extra("watching", lambda _: "watch"):
        from maskgate.cli.watch_run import run_live, run_recordings
        from maskgate.streams.rule_file import RuleFile
    chosen, file = _choose(arguments)
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


def _choose(arguments: argparse.Namespace) -> tuple[Sequence[Source], RuleFile | None]:
    """What is to be watched, and what the rule file says."""
    from maskgate.streams.rule_file import read_rule_file
    from maskgate.streams.sources import name_apart

    words: list[str] = arguments.sources
    given = [_source(word, arguments) for word in words]
    file = None
    if arguments.rules is not None:
        # a word that turns out to be a camera of the file lends its name to nothing else
        names = [source.name for source in name_apart(given)]
        file = read_rule_file(arguments.rules, names)
    cameras = {camera.name: camera for camera in file.cameras} if file else {}
    if not words:
        if not cameras:
            raise InputError("there is nothing to watch; name a source, or a rule file with cameras")
        return list(cameras.values()), file
    named = [cameras.get(word, source) for word, source in zip(words, given, strict=True)]
    if len({source.address for source in named}) < len(named):
        raise InputError("a source is named twice; name each once")
    return name_apart(named), file


def _source(word: str, arguments: argparse.Namespace) -> Source:
    from maskgate.streams.sources import SourceKind, parse_source

    source = parse_source(word, transport=arguments.transport)
    rate = arguments.rate if source.kind.live else arguments.picture_rate
    usable = rate is not None and source.kind is not SourceKind.VIDEO
    return replace(source, rate=rate) if usable else source


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
