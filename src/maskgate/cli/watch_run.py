"""What ``maskgate watch`` does with what is observed: until the end, an error, or a signal."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from maskgate.cli.messages import messages, say
from maskgate.cli.options import create_gate
from maskgate.cli.output import choose_format, open_output
from maskgate.cli.progress import progress_bar
from maskgate.cli.watch_options import tracking_settings
from maskgate.cli.watch_output import EventPrinter, FileAppender, LinePrinter, NoPrinter, RowPrinter
from maskgate.drawing import draw_verdicts
from maskgate.errors import InputError, SourceError
from maskgate.events.recorder import Recorder
from maskgate.streams.recordings import Recording
from maskgate.streams.rule_file import RuleFile
from maskgate.streams.running import LiveWatch, Observation, watch_recordings
from maskgate.streams.saving import VideoWriter
from maskgate.streams.snapshots import Snapshots
from maskgate.streams.sources import Source

_TERMINATED = 128 + signal.SIGTERM


def run_recordings(arguments: argparse.Namespace, sources: Sequence[Source], file: RuleFile) -> int:
    """Reads videos and folders to their end; the exit status."""
    recordings, failed = [], False
    for source in sources:
        try:
            recordings.append(Recording(source, arguments.start))
        except (SourceError, InputError) as error:
            failed = True
            say(str(error))
    gate = create_gate(arguments)
    tracking = tracking_settings(arguments)
    lines = choose_format(arguments.format, arguments.output) == "jsonl"
    total = sum(recording.frames for recording in recordings)
    with messages(), _signals() as signals, ExitStack() as stack:
        stream = stack.enter_context(open_output(arguments.output))
        printer: EventPrinter = LinePrinter(stream) if lines else RowPrinter(stream)
        audience = stack.enter_context(_audience(arguments, sources, file, printer))
        # lines that scroll by on the same terminal show the progress themselves
        shown = not stream.isatty()
        show = stack.enter_context(progress_bar(total, shown=shown, things="frames"))
        done = 0
        for observation in watch_recordings(recordings, gate.batch, file.rules, tracking=tracking):
            if observation.failure is not None:
                failed = True
                say(observation.failure)
            audience.take(observation)
            done += observation.frame is not None
            show(done)
            signals.check()
    return signals.status or int(failed)


def run_live(arguments: argparse.Namespace, sources: Sequence[Source], file: RuleFile) -> int:
    """Watches cameras until told to stop; the exit status."""
    gate = create_gate(arguments)
    watch = LiveWatch(
        sources, gate.batch, file.rules, tracking=tracking_settings(arguments), seconds=arguments.seconds
    )
    silent = {source.name for source in sources}
    # a terminal that is closed ends what runs in it; a service is told of rotated files so
    rotates = file.events is not None and not (sys.stdin is not None and sys.stdin.isatty())
    with messages(), _signals(watch.stop, rotates=rotates) as signals:
        with ExitStack() as stack:
            printer = stack.enter_context(_live_printer(arguments))
            audience = stack.enter_context(_audience(arguments, sources, file, printer))
            for observation in watch:
                if observation.frame is not None:
                    silent.discard(observation.source.name)
                audience.take(observation)
                if signals.hung_up():
                    audience.reopen()
        for name, counts in watch.counts.items():
            say(
                f"{name}: {counts.received} pictures received, {counts.skipped} skipped as the machine was "
                f"busy, {counts.passed} passed over for the rate, opened {counts.opened} times"
            )
        if signals.received == signal.SIGINT:
            raise KeyboardInterrupt
    return signals.status or int(bool(silent) or audience.failed)


class Audience:
    """All that hears of observations: store and sinks first, as what they have is safe."""

    def __init__(
        self,
        printer: EventPrinter,
        recorder: Recorder | None,
        writers: dict[str, VideoWriter],
        snapshots: Snapshots | None,
        *,
        live: bool,
    ) -> None:
        self._printer, self._recorder, self._writers = printer, recorder, writers
        self._snapshots = snapshots
        self._live = live
        self._began: dict[str, float] = {}
        self._snapshots_fail = False
        self.failed = False

    def reopen(self) -> None:
        """Has the sinks open their files and connections anew."""
        if self._recorder is not None:
            self._recorder.reopen()

    def take(self, observation: Observation) -> None:
        for event in observation.events:
            if self._recorder is not None:
                # this waits for the disk: what is printed or drawn is never lost
                self._recorder.record(event)
            self._printer.add(event)
        self._printer.tend()
        self._keep_snapshots(observation)
        self._draw(observation)

    def _keep_snapshots(self, observation: Observation) -> None:
        if self._snapshots is None:
            return
        try:
            self._snapshots.clean()
            if observation.frame is not None and observation.verdicts is not None:
                for event in observation.events:
                    self._snapshots.keep(event, observation.frame.image, observation.verdicts.faces)
            self._snapshots_fail = False
        except OSError as error:  # events are worth more than pictures
            if not self._snapshots_fail:
                say(f"a snapshot cannot be kept: {error.strerror}")
            self._snapshots_fail = True

    def _draw(self, observation: Observation) -> None:
        name, frame = observation.source.name, observation.frame
        writer = self._writers.get(name)
        if writer is None or frame is None or observation.verdicts is None:
            return
        seconds = frame.time.timestamp()
        position = seconds - self._began.setdefault(name, seconds)
        try:
            writer.write(draw_verdicts(frame.image, observation.verdicts), position)
        except OSError as error:
            if not self._live:
                raise
            self.failed = True
            writer.abandon()
            del self._writers[name]
            say(f"the video of {name} is given up: {error.strerror}")


@contextmanager
def _audience(
    arguments: argparse.Namespace, sources: Sequence[Source], file: RuleFile, printer: EventPrinter
) -> Iterator[Audience]:
    with ExitStack() as stack:
        if file.events is not None and file.events.store.keep == "counts":
            printer = NoPrinter()
        snapshots = Snapshots(file.snapshots) if file.snapshots else None
        recorder = stack.enter_context(Recorder(file.events)) if file.events else None
        writers = {}
        if arguments.save is not None:
            for number, source in enumerate(sources, 1):
                path: Path = arguments.save
                path = path.with_stem(f"{path.stem}-{number}") if len(sources) > 1 else path
                writers[source.name] = stack.enter_context(VideoWriter(path))
        yield Audience(printer, recorder, writers, snapshots, live=sources[0].kind.live)


@contextmanager
def _live_printer(arguments: argparse.Namespace) -> Iterator[EventPrinter]:
    """For what has no end: a file is added to, line by line, instead of appearing at the end."""
    output: Path | None = arguments.output
    lines = choose_format(arguments.format, output) == "jsonl"
    if output is None:
        yield LinePrinter(sys.stdout) if lines else RowPrinter(sys.stdout)
        return
    if not lines:
        raise InputError("a table of a camera's events goes to a terminal; leave --output or --format out")
    with FileAppender(output, say) as appender:
        yield appender


class _Signals:
    """SIGINT and SIGTERM, of which the first is remembered and the second ends at once; and SIGHUP."""

    def __init__(self, react: Callable[[], None]) -> None:
        self._react = react
        self._hung_up = False
        self.received: int | None = None

    def hang_up(self, number: int, _: FrameType | None) -> None:
        self._hung_up = True

    def hung_up(self) -> bool:
        """Whether a SIGHUP has come since the last call."""
        hung_up, self._hung_up = self._hung_up, False
        return hung_up

    def handle(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        self._react()

    def check(self) -> None:
        """Raises what a recording that is broken off ends with."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise _Terminated

    @property
    def status(self) -> int:
        """Exit status that a signal asks for; 0 where there was none."""
        return 0 if self.received is None else 128 + self.received


class _Terminated(Exception):  # noqa: N818 - no error
    pass


@contextmanager
def _signals(react: Callable[[], None] = lambda: None, *, rotates: bool = False) -> Iterator[_Signals]:
    signals = _Signals(react)
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, signals.handle)
        if rotates and hasattr(signal, "SIGHUP"):
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signals.hang_up)
    except ValueError:  # not the main thread: whoever started it sees to signals
        pass
    try:
        yield signals
    except _Terminated:
        say("stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
