"""``maskgate outbox``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from maskgate.cli.options import Commands, add_command, add_format_option, existing_file, needing_extra
from maskgate.cli.output import choose_format
from maskgate.cli.tables import new_table, print_table, printable
from maskgate.errors import InputError
from maskgate.serialisation import to_line

if TYPE_CHECKING:
    from maskgate.events.outbox import Backlog


def add_commands(commands: Commands) -> None:
    """Adds the command."""
    outbox = add_command(
        commands,
        "outbox",
        "Shows the events that receivers have not got yet, and sends refused ones again.",
        details="It may be called while the cameras are watched.",
        example="maskgate outbox --rules rules.toml --retry door",
    )
    outbox.add_argument(
        "--rules",
        metavar="FILE",
        type=existing_file,
        required=True,
        help="the rule file, whose store and sinks are meant",
    )
    outbox.add_argument(
        "--retry",
        metavar="NAME",
        help="let the events that this receiver refused wait again, in their old places",
    )
    add_format_option(outbox)
    outbox.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with needing_extra("watching", lambda _: "watch"):
        from maskgate.events.outbox import Backlog, Outbox
        from maskgate.events.settings import STORE
        from maskgate.streams.rule_file import read_rule_file
    settings = read_rule_file(arguments.rules).events
    if settings is None:
        raise InputError(f"{arguments.rules} names neither a store nor a sink; nothing is ever kept back")
    names = [STORE, *(sink.name for sink in settings.sinks)]
    if arguments.retry is not None and arguments.retry not in names:
        raise InputError(f"there is no receiver {arguments.retry!r}; choose from: {', '.join(names)}")
    path = settings.store.folder / "outbox.db"
    if not path.is_file():
        raise InputError(f"there is no {path}: no camera has been watched with these settings yet")
    with Outbox(path) as outbox:
        if arguments.retry is not None:
            outbox.retry_refused(arguments.retry)
        backlogs = outbox.backlogs()
    found = {name: backlogs.get(name, Backlog()) for name in dict.fromkeys([*names, *backlogs])}
    if choose_format(arguments.format, None) == "jsonl":
        for name, backlog in found.items():
            sys.stdout.write(to_line({"receiver": name, **_row(backlog)}))
        return 0
    table = new_table(
        "receiver", "waiting", "refused", "tries", "last trouble", right=("waiting", "refused", "tries")
    )
    for name, backlog in found.items():
        table.add_row(
            name,
            str(backlog.waiting),
            str(backlog.refused),
            str(backlog.attempts),
            printable(backlog.error or ""),
        )
    print_table(sys.stdout, table)
    return 0


def _row(backlog: Backlog) -> dict[str, object]:
    return {
        "waiting": backlog.waiting,
        "refused": backlog.refused,
        "attempts": backlog.attempts,
        "error": backlog.error,
    }
