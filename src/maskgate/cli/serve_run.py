"""What ``maskgate serve`` runs: the service, and with it the watching, until a signal."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from maskgate.cli.messages import messages, say
from maskgate.cli.options import create_gate, needing_extra
from maskgate.models.sessions import available_processors
from maskgate.server.application import create_application
from maskgate.server.engine import LOOKERS
from maskgate.server.memory import give_large_blocks_back
from maskgate.server.running import Server, address_of, check_certificate, open_socket
from maskgate.server.settings import ServerSettings, is_loopback
from maskgate.server.watch import Watch

if TYPE_CHECKING:
    from maskgate.streams.rule_file import RuleFile
    from maskgate.streams.sources import Source


def run(
    arguments: argparse.Namespace,
    settings: ServerSettings,
    sources: Sequence[Source],
    rules: RuleFile | None,
) -> int:
    """Serves until told to stop; the exit status."""
    check_certificate(settings)
    give_large_blocks_back()
    with messages(), _signals() as received, ExitStack() as stack:
        watch: Watch | None = None
        if sources:
            with needing_extra("watching", lambda _: "watch"):
                from maskgate.cli.serve_watch import open_watch
            watch = stack.enter_context(open_watch(arguments, sources, rules))
        bound = stack.enter_context(open_socket(settings))
        if arguments.threads is None:
            # several pictures at once, a part of the processors each: in all that is faster than one after
            # the other with all of them
            arguments.threads = max(1, available_processors() // (arguments.lookers or LOOKERS))
        application = create_application(settings, gate=create_gate(arguments), watch=watch)
        address = address_of(settings, bound)

        def announce() -> None:
            say(f"serving on {address}; Ctrl-C ends it")
            if not is_loopback(settings.host) and settings.certificate is None:
                say("tokens and pictures travel as plain text: give a --certificate, or put TLS before it")

        Server(application, settings, announce).run(sockets=[bound])
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return 128 + received[0] if received else 0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals to stop that came. uvicorn sees to them, and raises them again once it has ended."""
    received: list[int] = []
    before = {}
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.ERROR)
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, lambda given, _: received.append(given))
    try:
        yield received
    finally:
        logger.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)
