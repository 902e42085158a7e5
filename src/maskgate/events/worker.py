"""Takes events from the outbox to one receiver, in their order, until it has them."""

from __future__ import annotations

import logging
import threading
import time
import traceback

from maskgate.errors import DeliveryError, MaskGateError
from maskgate.events.backoff import Backoff
from maskgate.events.outbox import Outbox
from maskgate.events.sinks.protocol import NotNowError, RefusedError, Sink

_log = logging.getLogger(__name__)

_FIRST_WAIT = 0.5
_IDLE_SECONDS = 1.0
_LONG_WAIT = 60.0
_REMIND_SECONDS = 600.0


class Worker:
    """A thread of its own for one sink.

    An event leaves the outbox after the sink has delivered it: a kill in between makes it come again.
    While the receiver fails, the same event is tried with growing waits, and those behind it wait.

    Args:
        sink: delivers; used by this thread only.
        outbox: holds the events.
        longest_wait: between two tries, in seconds.
    """

    def __init__(self, sink: Sink, outbox: Outbox, longest_wait: float) -> None:
        self._sink, self._outbox = sink, outbox
        self._backoff = Backoff(_FIRST_WAIT, longest_wait)
        self._woken, self._ending, self._stopped = (threading.Event() for _ in range(3))
        self._reopening = False
        self._trouble: str | None = None
        self._said: str | None = None
        self._trouble_since = self._said_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"maskgate-{sink.name}", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why the last try failed; None where it did not."""
        return self._trouble

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def reopen(self) -> None:
        """Has the sink opened anew before its next delivery."""
        self._reopening = True
        self.wake()

    def drain(self) -> None:
        """Has the thread end when all is delivered, or at the next failure; a wait ends now."""
        self._ending.set()
        self.wake()

    def join(self, seconds: float) -> bool:
        """Waits for the thread's end; then asks for it. Whether it has ended: a hung receiver may hold it."""
        self._thread.join(max(seconds, 0))
        self._stopped.set()
        self._ending.set()
        self.wake()
        self._thread.join(0.2)
        return not self._thread.is_alive()

    def _run(self) -> None:
        opened = False
        while not self._stopped.is_set():
            draining = self._ending.is_set()  # before looking: what was recorded until then is found below
            try:
                if self._reopening:
                    self._reopening = opened = False
                    self._sink.close()
                if not opened:
                    self._sink.open()
                    opened = True
                busy = self._deliver_some()
                if not busy:
                    self._sink.tend()
                self._recovered()
                if not busy:
                    if draining:
                        break
                    self._woken.wait(_IDLE_SECONDS)
                    self._woken.clear()
            except Exception as error:
                seconds = self._failed(error)
                if draining:
                    break
                self._ending.wait(seconds)
        self._sink.close()

    def _deliver_some(self) -> bool:
        """Delivers the next events; whether there were any."""
        name = self._sink.name
        found = self._outbox.waiting(name, self._sink.batch)
        if not found:
            return False
        positions = [position for position, _ in found]
        try:
            self._sink.deliver([event for _, event in found])
        except RefusedError as error:
            _log.error("%s", error)
            self._outbox.refused(name, positions, str(error))
            return True
        except DeliveryError as error:
            self._outbox.failed(name, positions[0], str(error))
            raise
        self._outbox.delivered(name, positions)
        return True

    def _failed(self, error: Exception) -> float:
        """Says what happened, and gives the seconds to wait."""
        seconds = self._backoff.next()
        if isinstance(error, NotNowError):
            seconds = max(seconds, error.seconds)
        if isinstance(error, MaskGateError):
            sentence = str(error)
        else:  # its words may hold anything
            where = traceback.extract_tb(error.__traceback__)[-1]
            sentence = f"{type(error).__name__} in {where.name} ({where.filename}:{where.lineno})"
        now = time.monotonic()
        if self._trouble is None:
            self._trouble_since, self._said = now, None
        # one failure between two successes is nobody's business, and could be a line a second
        lasts = self._trouble is not None or seconds >= _LONG_WAIT
        if lasts and (sentence != self._said or now - self._said_at > _REMIND_SECONDS):
            _log.warning("%s: %s; its events wait, and will be sent again", self._sink.name, sentence)
            self._said, self._said_at = sentence, now
        self._trouble = sentence
        return seconds

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._trouble is not None and self._said is not None:
            seconds = time.monotonic() - self._trouble_since
            _log.warning("%s: deliveries work again, after %.0f s", self._sink.name, seconds)
        self._trouble = None
