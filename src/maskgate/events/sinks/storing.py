"""The store as a receiver like any other: while its database is away, events wait in the outbox."""

from __future__ import annotations

from collections.abc import Sequence

from maskgate.errors import DeliveryError, StoreError
from maskgate.events.credentials import Address
from maskgate.events.outbox import Outbox
from maskgate.events.settings import STORE
from maskgate.events.store import Store
from maskgate.events.types import Event

_COUNTS = 500


class Storing:
    """Puts events, and the outbox's counts, into the store. Events come once, whatever is repeated."""

    name = STORE
    batch = 200

    def __init__(self, address: Address, outbox: Outbox) -> None:
        self._address = address
        self._outbox = outbox
        self._store: Store | None = None

    def open(self) -> None:
        """Connects, and brings the tables up to date."""
        self.close()
        store = None
        try:
            store = Store(self._address)
            store.upgrade()
        except StoreError as error:
            if store is not None:
                store.close()
            raise DeliveryError(str(error)) from None
        self._store = store

    def deliver(self, events: Sequence[Event]) -> None:
        """Keeps the events."""
        try:
            self._opened().append(events)
        except StoreError as error:
            self.close()  # the database that comes back may be another one, without tables
            raise DeliveryError(str(error)) from None

    def tend(self) -> None:
        """Hands over the counts that the store has not got."""
        try:
            writer, counts = self._outbox.unsent_counts(_COUNTS)
            if counts:
                self._opened().set_counts(writer, counts)
                self._outbox.counts_sent(counts)
        except StoreError as error:
            raise DeliveryError(str(error)) from None

    def close(self) -> None:
        """Lets go of the database."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _opened(self) -> Store:
        if self._store is None:
            self.open()
        assert self._store is not None
        return self._store
