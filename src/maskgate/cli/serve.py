"""``maskgate serve`` and ``maskgate tokens``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskgate.cli.options import (
    Commands,
    add_command,
    add_group,
    add_model_options,
    at_least_one,
    existing_file,
    needing_extra,
)
from maskgate.cli.watch_options import add_camera_options, add_rules_option, add_track_option, choose_sources
from maskgate.errors import InputError

if TYPE_CHECKING:
    from maskgate.events.credentials import Address
    from maskgate.images import ImageLimits
    from maskgate.server.settings import ServerSettings
    from maskgate.streams.rule_file import RuleFile
    from maskgate.streams.sources import Source

HOST, PORT = "127.0.0.1", 8000
ROLES = ("recognise", "read", "admin")


def add_commands(commands: Commands) -> None:
    """Adds both commands."""
    serve = add_command(
        commands,
        "serve",
        "Answers over HTTP: recognises uploaded pictures, shows events, and has pages for a browser.",
        details="It listens on this machine alone unless --host says otherwise; then it asks for tokens. "
        "Exit status: 130 or 143 when it was told to stop, 2 the call was wrong.",
        example="maskgate serve --watch rtsp://camera.example/stream --rules rules.toml",
    )
    serve.add_argument("--host", metavar="ADDRESS", default=HOST, help=f"where to listen (default: {HOST})")
    serve.add_argument(
        "--port", metavar="N", type=_port, default=PORT, help=f"0: a free one (default: {PORT})"
    )
    serve.add_argument(
        "--tokens",
        metavar="FILE",
        type=existing_file,
        help="who may ask ('maskgate tokens add' writes it); MASKGATE_TOKEN may hold one token of all roles",
    )
    serve.add_argument(
        "--host-name",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that clients call the service by, as in their address bar; may be repeated (default: "
        "those of this machine on loopback, else any)",
    )
    serve.add_argument("--certificate", metavar="FILE", type=existing_file, help="PEM file, for https")
    serve.add_argument("--key", metavar="FILE", type=existing_file, help="its key, where that is not in it")
    serve.add_argument("--no-pages", action="store_true", help="leave out / and /dashboard")
    serve.add_argument(
        "--docs", action="store_true", help="add /docs, which loads scripts from outside (default: it is not)"
    )
    _add_limits(serve)
    cameras = serve.add_argument_group("cameras", "Needs 'maskgate[watch]'.")
    cameras.add_argument(
        "--watch",
        metavar="SOURCE",
        nargs="*",
        help="also watch these cameras, as 'maskgate watch' does (without any: all of the rule file)",
    )
    add_rules_option(serve)
    add_camera_options(cameras)
    add_model_options(serve)
    add_track_option(serve)
    serve.set_defaults(run=_serve, picture_rate=None)

    group = add_group(commands, "tokens", "Makes tokens for 'maskgate serve'.")
    add = add_command(
        group,
        "add",
        "Makes a token, prints it once, and adds its hash to a file.",
        example="maskgate tokens add gate-camera --role recognise --file tokens.txt",
    )
    add.add_argument("name", metavar="NAME", help="whose it is")
    add.add_argument(
        "--role",
        choices=ROLES,
        action="append",
        required=True,
        help="what it allows: recognise pictures, read events and metrics, or everything; may be repeated",
    )
    add.add_argument("--file", metavar="FILE", type=Path, required=True, help="made where it is missing")
    add.set_defaults(run=_add_token)


def _add_limits(serve: argparse.ArgumentParser) -> None:
    limits = serve.add_argument_group("limits")
    limits.add_argument(
        "--max-megabytes", metavar="FLOAT", type=float, help="of one picture's file (default: 16)"
    )
    limits.add_argument("--max-megapixels", metavar="FLOAT", type=float, help="of one picture (default: 40)")
    limits.add_argument("--max-pictures", metavar="N", type=at_least_one, help="in one request (default: 16)")
    limits.add_argument(
        "--max-waiting",
        metavar="N",
        type=at_least_one,
        help="pictures that may wait; beyond, requests get 503 (default: 64)",
    )
    limits.add_argument(
        "--lookers",
        metavar="N",
        type=at_least_one,
        help="threads that look at pictures, with the same networks (default: 2)",
    )
    limits.add_argument(
        "--requests-per-minute",
        metavar="FLOAT",
        type=float,
        help="of one client, for recognition; beyond, it gets 429 (default: any number)",
    )
    limits.add_argument(
        "--timeout", metavar="SECONDS", type=float, help="for a body, and again for a verdict (default: 30)"
    )


def _add_token(arguments: argparse.Namespace) -> int:
    with needing_extra("the service", lambda _: "serve"):
        from maskgate.server.tokens import Role, add_token, new_token
    text, token = new_token(arguments.name, [Role(role) for role in arguments.role])
    add_token(arguments.file, token)
    sys.stdout.write(f"{text}\n")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    with needing_extra("the service", lambda _: "serve"):
        from maskgate.cli.serve_run import run
    with needing_extra("watching", lambda _: "watch"):
        sources, rules = _choose(arguments)
    return run(arguments, _settings(arguments, rules, watching=bool(sources)), sources, rules)


def _choose(arguments: argparse.Namespace) -> tuple[Sequence[Source], RuleFile | None]:
    """What is to be watched, and what the rule file says."""
    if arguments.watch is None:
        if arguments.rules is None:
            return (), None
        from maskgate.streams.rule_file import read_rule_file

        return (), read_rule_file(arguments.rules)
    arguments.sources = arguments.watch
    sources, rules = choose_sources(arguments)
    if not all(source.kind.live for source in sources):
        raise InputError("the service watches cameras only; give recordings to 'maskgate watch'")
    return sources, rules


def _settings(arguments: argparse.Namespace, rules: RuleFile | None, *, watching: bool) -> ServerSettings:
    from maskgate.server.settings import ServerSettings, SnapshotFolder
    from maskgate.server.tokens import read_tokens

    snapshots = rules.snapshots if rules else None
    given: dict[str, Any] = {
        "most_pictures": arguments.max_pictures,
        "most_waiting": arguments.max_waiting,
        "lookers": arguments.lookers,
        "requests_per_minute": arguments.requests_per_minute,
        "body_seconds": arguments.timeout,
        "verdict_seconds": arguments.timeout,
    }
    return ServerSettings(
        host=arguments.host,
        port=arguments.port,
        tokens=read_tokens(arguments.tokens, os.environ),
        hosts=frozenset(arguments.host_name),
        store=_store(rules, watching=watching),
        snapshots=SnapshotFolder(snapshots.folder, snapshots.keep_hours) if snapshots else None,
        pages=not arguments.no_pages,
        docs=arguments.docs,
        picture=_picture_limits(arguments),
        certificate=arguments.certificate,
        key=arguments.key,
        **{name: value for name, value in given.items() if value is not None},
    )


def _picture_limits(arguments: argparse.Namespace) -> ImageLimits:
    from maskgate.server.settings import PICTURE_LIMITS

    return replace(
        PICTURE_LIMITS,
        max_bytes=_count("--max-megabytes", arguments.max_megabytes, 2**20, PICTURE_LIMITS.max_bytes),
        max_pixels=_count("--max-megapixels", arguments.max_megapixels, 10**6, PICTURE_LIMITS.max_pixels),
    )


def _count(option: str, value: float | None, unit: int, usual: int) -> int:
    if value is None:
        return usual
    if not 0 < value < 1e6:
        raise InputError(f"{option} is {value}; give a number above 0")
    return max(round(value * unit), 1)


def _store(rules: RuleFile | None, *, watching: bool) -> Address | None:
    """The address of the store; None where there is none to be read."""
    from maskgate.events.settings import EventSettings

    if rules is not None and rules.events is not None:
        return rules.events.store.address
    usual = EventSettings().store
    return usual.address if watching or (usual.folder / "events.db").exists() else None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a whole number from 0 to 65535")
    return int(text)
