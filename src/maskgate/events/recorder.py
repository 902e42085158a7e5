"""The way in: a recorder confirms events by writing them down, and sees to everything behind that."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Self

from maskgate.errors import StoreError
from maskgate.events.outbox import Backlog, Outbox
from maskgate.events.settings import STORE, EventSettings
from maskgate.events.sinks import create_sink
from maskgate.events.sinks.protocol import Sink
from maskgate.events.sinks.storing import Storing
from maskgate.events.store import Store
from maskgate.events.types import Event
from maskgate.events.worker import Worker

_log = logging.getLogger(__name__)

MOST_HELD = 10_000
"""Events held in memory while the outbox cannot be written."""

_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 60.0
_PURGE_SECONDS = 3600.0
_STORE_LONGEST_WAIT = 10.0


@dataclass(frozen=True)
class ReceiverState:
    """How a receiver is doing.

    Attributes:
        name: of the sink, or ``"store"``.
        backlog: what it has not got.
        trouble: why its last delivery failed; None where it did not.
    """

    name: str
    backlog: Backlog
    trouble: str | None


class Recorder:
    """Confirms events and delivers them to the store and the sinks. Safe to use from several threads.

    Use it as a context manager, or call :meth:`start` and :meth:`close`. Two recorders cannot share a
    folder at the same time.

    Args:
        settings: of the store and the sinks.

    Raises :class:`~maskgate.errors.StoreError` where the outbox cannot be made, is damaged or in use.
    Receivers that are away, the store's database among them, are no error: they get everything later.
    """

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings
        self._held_lock, self._write_lock = threading.Lock(), threading.Lock()
        self._held: deque[Event] = deque()
        self._lost = 0
        self._trouble: str | None = None
        self._closing, self._submitted = threading.Event(), threading.Event()
        folder = settings.store.folder
        self._claim = _claim(folder)
        try:
            self._outbox = Outbox(folder / "outbox.db")
        except BaseException:
            self._claim.close()
            raise
        storing: Sink = Storing(settings.store.address, self._outbox)
        self._workers = {STORE: Worker(storing, self._outbox, _STORE_LONGEST_WAIT)}
        for sink in settings.sinks:
            self._workers[sink.name] = Worker(create_sink(sink), self._outbox, sink.longest_wait_seconds)
        self._threads = [
            threading.Thread(target=run, name=f"maskgate-{name}", daemon=True)
            for name, run in (("recorder", self._write_soon), ("keeper", self._keep))
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except StoreError as error:
            if kind is None:
                raise
            _log.error("%s", error)  # what ended the block matters more

    def start(self) -> None:
        """Starts to deliver, also what an earlier process has left."""
        for worker in self._workers.values():
            worker.start()
        for thread in self._threads:
            thread.start()

    def record(self, event: Event) -> bool:
        """Confirms an event: when it returns true, the event is on the disk, and reaches all its receivers.

        It returns false where the outbox cannot be written, such as on a full disk. The event is then held
        in memory and written as soon as that works, before all later ones; only a process that ends before,
        or more than :data:`MOST_HELD` events, lose some. That is logged.
        """
        with self._held_lock:
            self._held.append(event)
        return self._write()

    def submit(self, event: Event) -> None:
        """Has an event recorded soon, in order with all others, and returns at once.

        For loops that cannot wait for a disk; :meth:`record` says when the event is confirmed.
        """
        with self._held_lock:
            self._held.append(event)
        self._submitted.set()

    @property
    def trouble(self) -> str | None:
        """Why the outbox cannot be written; None where it can."""
        return self._trouble

    @property
    def lost(self) -> int:
        """Events that were never confirmed, as the outbox could not be written for too long."""
        return self._lost

    def receivers(self) -> list[ReceiverState]:
        """The state of the store and of each sink. Raises :class:`~maskgate.errors.StoreError`."""
        backlogs = self._outbox.backlogs()
        return [
            ReceiverState(name, backlogs.get(name, Backlog()), worker.trouble)
            for name, worker in self._workers.items()
        ]

    def reopen(self) -> None:
        """Has files and connections opened anew, as a daemon does on SIGHUP."""
        for worker in self._workers.values():
            worker.reopen()

    def close(self, seconds: float = 5.0) -> None:
        """Delivers what can be delivered within ``seconds``; what is left waits for the next start.

        Raises :class:`~maskgate.errors.StoreError` where events are held that could not be written.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._submitted.set()
        end = time.monotonic() + seconds
        written = self._write()
        held = len(self._held)
        for thread in self._threads:
            if thread.is_alive():  # one may wait for a database that is away
                thread.join(0.5)
        started = [worker for worker in self._workers.values() if worker.started]
        for worker in started:
            worker.drain()
        ended = [worker.join(end - time.monotonic()) for worker in started]
        if all(ended):  # else one still uses it, until the process ends
            self._outbox.close()
        self._claim.close()
        if not written:
            raise StoreError(f"{held} events were not kept: {self._trouble}")

    def _write(self) -> bool:
        """Writes what is held; whether that went well."""
        with self._write_lock:
            with self._held_lock:
                batch = list(self._held)
            if not batch:
                return True
            try:
                self._keep_events(batch)
            except StoreError as error:
                self._note(str(error))
                return False
            if self._trouble is not None:
                self._trouble = None
                _log.warning("events can be written again; %d were held and are safe now", len(batch))
        for worker in self._workers.values():
            worker.wake()
        return True

    def _keep_events(self, batch: list[Event]) -> None:
        if self._settings.store.keep == "events":
            self._outbox.append((event, self._receivers_of(event)) for event in batch)
            self._drop_held(len(batch))
            return
        for event in batch:
            self._outbox.count(event, self._settings.store.interval_seconds)
            self._drop_held(1)

    def _drop_held(self, number: int) -> None:
        with self._held_lock:
            for _ in range(number):
                self._held.popleft()

    def _receivers_of(self, event: Event) -> list[str]:
        return [STORE, *(sink.name for sink in self._settings.sinks if sink.wants(event))]

    def _note(self, sentence: str) -> None:
        if sentence != self._trouble:
            self._trouble = sentence
            _log.error("%s; events are held in memory until it can be written", sentence)
        excess = len(self._held) - MOST_HELD
        if excess > 0:
            if self._lost // 1000 != (self._lost + excess) // 1000 or not self._lost:
                _log.error("events are lost: more than %d wait to be written", MOST_HELD)
            self._drop_held(excess)
            self._lost += excess

    def _write_soon(self) -> None:
        """Writes what is submitted, and again and again what is held."""
        while not self._closing.is_set():
            self._submitted.wait(_RETRY_SECONDS)
            self._submitted.clear()
            self._write()

    def _keep(self) -> None:
        """From time to time looks for what is old or too much."""
        purge = time.monotonic()
        while True:
            self._attempt(self._check)
            if time.monotonic() >= purge:
                self._attempt(self.purge)
                purge = time.monotonic() + _PURGE_SECONDS
            if self._closing.wait(_CHECK_SECONDS):
                return

    @staticmethod
    def _attempt(step: Callable[[], None]) -> None:
        try:
            step()
        except StoreError as error:
            _log.info("put off: %s", error)

    def _check(self) -> None:
        for name in self._workers:
            dropped = self._outbox.give_up_oldest(name, self._settings.store.most_waiting)
            if dropped:
                most = self._settings.store.most_waiting
                _log.error("%s: %d events are given up, as more than %d wait for it", name, dropped, most)

    def purge(self) -> None:
        """Deletes what is older than the retention allows. Raises :class:`~maskgate.errors.StoreError`."""
        store = self._settings.store
        self._outbox.renew_counts()
        if store.retention_days is None:
            return
        before = datetime.now(UTC) - timedelta(days=store.retention_days)
        undelivered = self._outbox.purge(before)
        if undelivered:
            _log.error("%d deliveries are given up, as the events are too old to be kept", undelivered)
        with Store(store.address) as opened:
            opened.upgrade()
            opened.delete_before(before)


def _claim(folder: Path) -> IO[bytes]:
    """A lock on the folder, until it is closed or the process ends."""
    path = folder / "outbox.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("wb")
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be used: {error.strerror}") from error
    try:
        import fcntl
    except ImportError:  # Windows: users see to it themselves
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreError(
            f"the folder {folder} is used by another maskgate; give each its own, as 'store.folder'"
        ) from None
    return file
