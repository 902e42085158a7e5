"""Options of the commands that watch cameras, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from maskgate.cli.options import existing_file
from maskgate.errors import InputError

if TYPE_CHECKING:
    from maskgate.streams.rule_file import RuleFile
    from maskgate.streams.sources import Source
    from maskgate.streams.tracking import TrackingSettings

TRACK_SCORE = 0.7


def add_rules_option(parser: argparse.ArgumentParser) -> None:
    """``--rules``."""
    parser.add_argument(
        "--rules",
        metavar="FILE",
        type=existing_file,
        help="cameras, zones, schedules, rules, store and sinks, in TOML (docs/watch.md)",
    )


def add_camera_options(group: argparse._ArgumentGroup) -> None:
    """``--rate`` and ``--transport``."""
    group.add_argument(
        "--rate",
        metavar="FLOAT",
        type=float,
        help="most frames a second that are looked at, of each camera on the command line (default: 10)",
    )
    group.add_argument(
        "--transport",
        choices=("tcp", "udp"),
        default="tcp",
        help="what carries the pictures of RTSP cameras on the command line (default: tcp)",
    )


def add_track_option(parser: argparse.ArgumentParser) -> None:
    """``--track-score``."""
    parser.add_argument(
        "--track-score",
        metavar="FLOAT",
        type=float,
        default=TRACK_SCORE,
        help=f"detector score from which a face begins to be followed (default: {TRACK_SCORE})",
    )


def choose_sources(arguments: argparse.Namespace) -> tuple[Sequence[Source], RuleFile | None]:
    """What is to be watched, and what the rule file says; None where none is named.

    Raises :class:`~maskgate.errors.InputError`.
    """
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


def tracking_settings(arguments: argparse.Namespace) -> TrackingSettings:
    """How faces are followed. Raises :class:`~maskgate.errors.InputError`."""
    from maskgate.streams.tracking import TrackingSettings

    first: float = arguments.track_score
    if not 0 < first < 1:
        raise InputError(f"track-score is {first}; give a value between 0 and 1")
    return TrackingSettings(high=min(TrackingSettings.high, first), first=first)
