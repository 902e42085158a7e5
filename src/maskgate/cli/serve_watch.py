"""The watching that ``maskgate serve`` does in its own process: streams and server, brought together here."""

from __future__ import annotations

import argparse
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from maskgate.cli.watch_options import tracking_settings
from maskgate.cli.watch_output import NoPrinter
from maskgate.cli.watch_run import Audience
from maskgate.events.recorder import Recorder
from maskgate.events.settings import EventSettings
from maskgate.events.types import EventType
from maskgate.server.engine import EngineClosedError
from maskgate.server.watch import CameraReport, Judge, ReceiverReport
from maskgate.streams.rule_file import RuleFile
from maskgate.streams.running import LiveWatch, Observation
from maskgate.streams.snapshots import Snapshots
from maskgate.streams.sources import Source
from maskgate.streams.tracking import TrackingSettings

_LOG = logging.getLogger(__name__)
_STOP_SECONDS = 5.0


@contextmanager
def open_watch(
    arguments: argparse.Namespace, sources: Sequence[Source], rules: RuleFile | None
) -> Iterator[Cameras]:
    """Cameras that are ready to be watched, with the store and the sinks behind them until the end."""
    file = rules or RuleFile()
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder(file.events or EventSettings()))
        snapshots = Snapshots(file.snapshots) if file.snapshots else None
        audience = Audience(NoPrinter(), recorder, {}, snapshots, live=True)
        yield Cameras(sources, file, tracking_settings(arguments), recorder, audience)


class Cameras:
    """Watches cameras in a thread; fulfils :class:`~maskgate.server.watch.Watch`.

    Args:
        sources: live ones.
        file: with the rules.
        tracking: how faces are followed.
        recorder: behind ``audience``.
        audience: takes what is observed.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        file: RuleFile,
        tracking: TrackingSettings,
        recorder: Recorder,
        audience: Audience,
    ) -> None:
        self._sources, self._file, self._tracking = sources, file, tracking
        self._recorder, self._audience = recorder, audience
        self._live: LiveWatch | None = None
        self._thread: threading.Thread | None = None
        self._states: dict[str, tuple[bool, datetime]] = {}
        self._processed: Counter[str] = Counter()
        self._events: Counter[EventType] = Counter()

    def start(self, judge: Judge) -> None:
        """Begins to watch."""
        live = LiveWatch(self._sources, judge, self._file.rules, tracking=self._tracking)
        self._live = live
        self._thread = threading.Thread(target=self._run, args=(live,), name="maskgate-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends watching."""
        if self._live is not None and self._thread is not None:
            self._live.stop()
            self._thread.join(_STOP_SECONDS)

    @property
    def running(self) -> bool:
        """Whether it watches."""
        return self._thread is not None and self._thread.is_alive()

    def cameras(self) -> list[CameraReport]:
        """All cameras."""
        counts = {} if self._live is None else self._live.counts
        reports = []
        for source in self._sources:
            online, since = self._states.get(source.name, (None, None))
            count = counts.get(source.name)
            reports.append(
                CameraReport(
                    source.name,
                    source.shown,
                    online,
                    since,
                    received=count.received if count else 0,
                    processed=self._processed[source.name],
                    skipped=count.skipped if count else 0,
                    passed=count.passed if count else 0,
                )
            )
        return reports

    def events(self) -> Mapping[EventType, int]:
        """How many events there were of each type."""
        return {type: self._events[type] for type in EventType}

    def receivers(self) -> list[ReceiverReport]:
        """The store and the sinks. Raises :class:`~maskgate.errors.StoreError`."""
        return [
            ReceiverReport(state.name, state.backlog.waiting, state.backlog.refused, state.trouble)
            for state in self._recorder.receivers()
        ]

    def _run(self, live: LiveWatch) -> None:
        try:
            for observation in live:
                self._take(observation)
        except EngineClosedError:
            _LOG.info("watching ends with the service")
        except Exception:
            # the service goes on, and says that it is not ready
            _LOG.exception("watching has failed")

    def _take(self, observation: Observation) -> None:
        name = observation.source.name
        if observation.frame is not None:
            self._processed[name] += 1
        for event in observation.events:
            self._events[event.type] += 1
            if not event.type.of_track:
                self._states[name] = (event.type is EventType.CAMERA_ONLINE, event.time)
        self._audience.take(observation)
