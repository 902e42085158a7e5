"""``maskgate data``: one module a command."""

from __future__ import annotations

from maskgate.cli.data import collect, convert, dedupe, sheet, split, synthesise
from maskgate.cli.options import Commands, add_group


def add_commands(commands: Commands) -> None:
    """Adds ``data collect``, ``dedupe``, ``split``, ``synthesise``, ``sheet`` and ``convert``."""
    group = add_group(commands, "data", "Makes training folders of pictures and videos.")
    for module in (collect, dedupe, split, synthesise, sheet, convert):
        module.add_command_to(group)
