"""The outbox: events that are on the disk, and not yet with all their receivers.

An event and its deliveries are written in one transaction. When that is done the event is confirmed:
no kill, no loss of power and no dead receiver loses it. The outbox is always a local SQLite file, so that
it works while the store's database is away; the store is one of the receivers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, update
from sqlalchemy.dialects import sqlite

from maskgate.errors import EventError
from maskgate.events.credentials import Address
from maskgate.events.database import open_database, reading, upgrade, writing
from maskgate.events.database.layout import deliveries, identity, tallies, waiting
from maskgate.events.ids import new_id
from maskgate.events.times import milliseconds_of
from maskgate.events.types import Event

_LONGEST_ERROR = 500
_MOST_A_STATEMENT = 500  # older SQLite takes 999 values


@dataclass(frozen=True)
class Backlog:
    """What a receiver has not got.

    Attributes:
        waiting: events that are still to be delivered.
        refused: events that the receiver will not have; they are kept until retention takes them.
        attempts: tries of the first waiting event.
        error: why the last try failed.
    """

    waiting: int = 0
    refused: int = 0
    attempts: int = 0
    error: str | None = None


class Outbox:
    """Events on their way. Safe to use from several threads.

    Args:
        path: of the SQLite file; it is made where it is missing.

    The class and all methods raise :class:`~maskgate.errors.StoreError` where the file cannot be read or
    written, such as on a full disk; they can be called again afterwards.
    """

    def __init__(self, path: Path) -> None:
        address = Address(f"sqlite:///{path.absolute()}")
        self._engine: Engine = open_database(address)
        # what a loss of power takes back of these writes is done again: a delivery is repeated
        self._relaxed: Engine = open_database(address, durable=False)
        # threads that wait here take turns; at SQLite's own lock they would sleep and try again
        self._lock = threading.Lock()
        upgrade(self._engine, "outbox")
        with self._writing() as connection:
            if connection.execute(select(identity.c.writer)).first() is None:
                connection.execute(insert(identity).values(writer=new_id()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()
        self._relaxed.dispose()

    @contextmanager
    def _writing(self, *, durable: bool = True) -> Iterator[Connection]:
        with self._lock, writing(self._engine if durable else self._relaxed) as connection:
            yield connection

    def append(self, new: Iterable[tuple[Event, Sequence[str]]]) -> None:
        """Keeps events with the names of their receivers, in one transaction, in that order.

        When it returns, they are confirmed. An event that is waiting already changes nothing.
        """
        made = milliseconds_of(datetime.now(UTC))
        with self._writing() as connection:
            for event, receivers in new:
                if not receivers:
                    continue
                row = {"id": event.id, "made_ms": made, "event": event.to_text()}
                statement = sqlite.insert(waiting).values(row).on_conflict_do_nothing(index_elements=["id"])
                position = connection.execute(statement.returning(waiting.c.position)).scalar()
                if position is not None:
                    rows = [{"receiver": name, "position": position} for name in receivers]
                    connection.execute(insert(deliveries), rows)

    def waiting(self, receiver: str, limit: int) -> list[tuple[int, Event]]:
        """The first events that ``receiver`` has not got, with their positions, in order."""
        query = (
            select(waiting.c.position, waiting.c.event)
            .join(deliveries, deliveries.c.position == waiting.c.position)
            .where(deliveries.c.receiver == receiver, deliveries.c.refused.is_(False))
            .order_by(deliveries.c.position)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        found = []
        for position, text in rows:
            try:
                found.append((position, Event.from_text(text)))
            except EventError as error:  # written by a newer version
                self.refused(receiver, [position], str(error))
        return found if found or not rows else self.waiting(receiver, limit)

    def delivered(self, receiver: str, positions: Sequence[int]) -> None:
        """Notes that ``receiver`` has got the events at ``positions``."""
        with self._writing(durable=False) as connection:
            for start in range(0, len(positions), _MOST_A_STATEMENT):
                part = positions[start : start + _MOST_A_STATEMENT]
                connection.execute(
                    delete(deliveries).where(
                        deliveries.c.receiver == receiver, deliveries.c.position.in_(part)
                    )
                )
                connection.execute(delete(waiting).where(waiting.c.position.in_(part), ~_with_deliveries()))

    def failed(self, receiver: str, position: int, error: str) -> None:
        """Notes that a try failed and will be repeated."""
        self._note(receiver, [position], error, refused=False)

    def refused(self, receiver: str, positions: Sequence[int], error: str) -> None:
        """Sets events aside that ``receiver`` will never take, so that they block no others."""
        self._note(receiver, positions, error, refused=True)

    def _note(self, receiver: str, positions: Sequence[int], error: str, *, refused: bool) -> None:
        values = {
            "attempts": deliveries.c.attempts + 1,
            "error": error[:_LONGEST_ERROR],
            "refused": refused,
        }
        with self._writing(durable=False) as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.receiver == receiver, deliveries.c.position.in_(positions))
                .values(values)
            )

    def retry_refused(self, receiver: str) -> int:
        """Lets the events that were set aside wait again, in their old places; gives their number."""
        with self._writing() as connection:
            return connection.execute(
                update(deliveries)
                .where(deliveries.c.receiver == receiver, deliveries.c.refused.is_(True))
                .values(refused=False, attempts=0)
            ).rowcount

    def backlogs(self) -> dict[str, Backlog]:
        """What each receiver has not got, by its name; a receiver that has all is left out."""
        column = deliveries.c
        first = func.min(column.position).filter(column.refused.is_(False))
        query = select(
            column.receiver,
            func.count().filter(column.refused.is_(False)),
            func.count().filter(column.refused.is_(True)),
            first.label("first"),
        ).group_by(column.receiver)
        found = {}
        with reading(self._engine) as connection:
            for receiver, count, refused, position in connection.execute(query).all():
                head = connection.execute(
                    select(column.attempts, column.error).where(
                        column.receiver == receiver, column.position == position
                    )
                ).one_or_none()
                attempts, error = (0, None) if head is None else head
                found[receiver] = Backlog(count, refused, attempts, error)
        return found

    def give_up_oldest(self, receiver: str, most: int) -> int:
        """Drops what waits for ``receiver`` beyond ``most`` events, the oldest; gives their number."""
        column = deliveries.c
        mine = and_(column.receiver == receiver, column.refused.is_(False))
        with self._writing() as connection:
            last_dropped = connection.execute(
                select(column.position).where(mine).order_by(column.position.desc()).offset(most).limit(1)
            ).scalar()
            if last_dropped is None:
                return 0
            done = connection.execute(delete(deliveries).where(mine, column.position <= last_dropped))
            connection.execute(delete(waiting).where(~_with_deliveries()))
            return done.rowcount

    def purge(self, before: datetime) -> int:
        """Drops the events that were written before that time; gives the number of those undelivered."""
        old = waiting.c.made_ms < milliseconds_of(before)
        positions = select(waiting.c.position).where(old)
        with self._writing() as connection:
            undone = select(func.count()).where(
                deliveries.c.position.in_(positions), deliveries.c.refused.is_(False)
            )
            number = connection.execute(undone).scalar_one()
            connection.execute(delete(waiting).where(old))  # deliveries go with them
            return number

    def count(self, event: Event, interval_seconds: int) -> None:
        """Counts an event in its interval, and keeps nothing else of it."""
        length = interval_seconds * 1000
        row = {
            "start_ms": event.milliseconds - event.milliseconds % length,
            "camera": event.camera,
            "zone": event.zone or "",
            "type": str(event.type),
            "label": str(event.label or ""),
            "violation": bool(event.violation),
            "count": 1,
        }
        statement = sqlite.insert(tallies).values(row)
        with self._writing() as connection:
            connection.execute(statement.on_conflict_do_update(set_={"count": tallies.c.count + 1}))

    def unsent_counts(self, limit: int) -> tuple[str, list[Mapping[str, Any]]]:
        """The writer, and counts that the store has not got, as :meth:`Store.set_counts` takes them."""
        columns = [c for c in tallies.c if c.name != "sent"]
        query = select(*columns).where(tallies.c.count > tallies.c.sent).order_by(tallies.c.start_ms)
        with reading(self._engine) as connection:
            writer = connection.execute(select(identity.c.writer)).scalar_one()
            return writer, [dict(row) for row in connection.execute(query.limit(limit)).mappings()]

    def counts_sent(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Notes that the store has these counts."""
        with self._writing() as connection:
            for row in rows:
                same = [tallies.c[c.name] == row[c.name] for c in tallies.primary_key]
                connection.execute(update(tallies).where(*same).values(sent=row["count"]))

    def renew_counts(self) -> None:
        """Forgets the counts where the store has got them all, and goes on under another writer's name.

        Under the old one, a late event of an old interval would take the place of what was counted there.
        """
        with self._writing() as connection:
            unsent = select(tallies.c.count).where(tallies.c.count > tallies.c.sent).limit(1)
            if connection.execute(unsent).first() is None:
                connection.execute(delete(tallies))
                connection.execute(update(identity).values(writer=new_id()))


def _with_deliveries() -> Any:
    return select(deliveries.c.position).where(deliveries.c.position == waiting.c.position).exists()
