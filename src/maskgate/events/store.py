"""The store: events, or their counts, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Engine, Row, Select, Table, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from maskgate.errors import InputError
from maskgate.events.credentials import Address
from maskgate.events.database import open_database, reading, upgrade, writing
from maskgate.events.database.layout import counts, events
from maskgate.events.queries import EVERYTHING, Arrival, CameraState, Count, Cursor, Filter, Page
from maskgate.events.times import milliseconds_of, time_at
from maskgate.events.types import Event, EventType
from maskgate.types import Label

MOST_A_PAGE = 1000
SHORTEST_INTERVAL = 60

_BOX = ("x1", "y1", "x2", "y2")
_KIND = ("camera", "zone", "type", "label", "violation")
"""What tells counts of one interval apart."""


class Store:
    """Events in a database; safe to use from several threads, and from several processes at once.

    Args:
        address: of the database, ``sqlite:///FILE`` or ``postgresql+psycopg://…``.

    All methods raise :class:`~maskgate.errors.StoreError` where the database is away, full or damaged;
    they can be called again when it is back. Nothing is half-written.
    """

    def __init__(self, address: Address) -> None:
        self._engine: Engine = open_database(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the database's connections."""
        self._engine.dispose()

    def upgrade(self) -> None:
        """Makes the tables where they are missing, and brings older ones up to date."""
        upgrade(self._engine, "store")

    def append(self, new: Sequence[Event]) -> None:
        """Keeps events, in one transaction. One whose id is there already changes nothing."""
        if new:
            with writing(self._engine) as connection:
                statement = self._insert(events).on_conflict_do_nothing(index_elements=["id"])
                now = {"kept_ms": milliseconds_of(datetime.now(UTC))}
                connection.execute(statement, [_to_row(event) | now for event in new])

    def get(self, id: str) -> Event | None:
        """The event of that id; None where there is none."""
        with reading(self._engine) as connection:
            row = connection.execute(select(events).where(events.c.id == id)).one_or_none()
        return None if row is None else _from_row(row)

    def arrival(self, id: str | None = None) -> Arrival | None:
        """When the event of that id came, or, for None, the one that came last; None where there is none."""
        query = select(events.c.kept_ms, events.c.id)
        if id is None:
            query = query.order_by(events.c.kept_ms.desc(), events.c.id.desc()).limit(1)
        else:
            query = query.where(events.c.id == id)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Arrival(row.kept_ms, row.id)

    def arrived(
        self, after: Arrival, wanted: Filter = EVERYTHING, *, limit: int = MOST_A_PAGE
    ) -> list[tuple[Arrival, Event]]:
        """Events in the order in which they came, those after ``after``.

        Of several writers, one may still come to be seen whose arrival lies before others' that were seen.
        """
        place = (events.c.kept_ms, events.c.id)
        later = or_(place[0] > after.kept_ms, and_(place[0] == after.kept_ms, place[1] > after.id))
        query = select(events).where(later, *wanted.conditions(events, "time_ms"))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(*place).limit(limit)).all()
        return [(Arrival(row.kept_ms, row.id), _from_row(row)) for row in rows]

    def page(
        self,
        wanted: Filter = EVERYTHING,
        *,
        cursor: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> Page:
        """Events in order of time and id.

        Args:
            wanted: which ones.
            cursor: :attr:`Page.next` of the page before, asked for with the same filter; None: the first.
            limit: most events of the page, 1 to 1000.
            newest_first: the direction, of the first page; the others keep to it.

        Raises :class:`~maskgate.errors.InputError` for another limit, and what is no cursor.
        """
        if not 1 <= limit <= MOST_A_PAGE:
            raise InputError(f"the limit is {limit}; wanted: 1 to {MOST_A_PAGE}")
        query = select(events).where(*wanted.conditions(events, "time_ms"))
        if cursor is not None:
            place = Cursor.parse(cursor)
            newest_first = place.newest_first
            query = query.where(place.condition(events))
        columns = (events.c.time_ms, events.c.id)
        query = query.order_by(*(c.desc() if newest_first else c.asc() for c in columns)).limit(limit + 1)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        more = len(rows) > limit
        last = rows[limit - 1] if more else None
        following = None if last is None else str(Cursor(newest_first, last.time_ms, last.id))
        return Page(tuple(map(_from_row, rows[:limit])), following)

    def statistics(self, wanted: Filter = EVERYTHING, interval_seconds: int = 3600) -> list[Count]:
        """How many events there were in each interval, by camera, zone, type, label and violation.

        Both the kept events and the kept counts are summed. Intervals start at whole multiples of their
        length since 1970 in UTC; empty ones are left out. The list is in order of time.

        Args:
            wanted: which events; counts know no track.
            interval_seconds: at least 60. Counts kept for longer intervals are given at their start.

        Raises :class:`~maskgate.errors.InputError` for a shorter interval.
        """
        if interval_seconds < SHORTEST_INTERVAL:
            raise InputError(f"the interval is {interval_seconds} s; wanted: at least {SHORTEST_INTERVAL}")
        length = interval_seconds * 1000
        queries = [_grouped(events, "time_ms", length, func.count(), wanted)]
        if wanted.track is None:
            queries.append(_grouped(counts, "start_ms", length, func.sum(counts.c.count), wanted))
        sums: Counter[tuple[Any, ...]] = Counter()
        with reading(self._engine) as connection:
            for query in queries:
                for start, camera, zone, type, label, violation, count in connection.execute(query):
                    # in the table of counts, an empty text stands for nothing
                    of_track = EventType(type).of_track
                    key = (
                        start,
                        camera,
                        zone or "",
                        type,
                        label or "",
                        bool(violation) if of_track else None,
                    )
                    sums[key] += int(count)
        return [
            Count(
                start=time_at(int(start)),
                camera=camera,
                type=EventType(type),
                zone=zone or None,
                label=Label(label) if label else None,
                violation=violation,
                count=count,
            )
            for (start, camera, zone, type, label, violation), count in sorted(sums.items(), key=_order)
        ]

    def cameras(self) -> list[CameraState]:
        """All cameras that kept events are of, by name."""
        newest = (
            func.row_number()
            .over(partition_by=events.c.camera, order_by=[events.c.time_ms.desc(), events.c.id.desc()])
            .label("place")
        )
        of_cameras = [str(t) for t in EventType if not t.of_track]
        ranked = select(events, newest).where(events.c.type.in_(of_cameras)).subquery()
        said = select(ranked.c.camera, ranked.c.type, ranked.c.time_ms).where(ranked.c.place == 1)
        seen = select(events.c.camera, func.max(events.c.time_ms)).group_by(events.c.camera)
        with reading(self._engine) as connection:
            states = {row.camera: row for row in connection.execute(said)}
            latest = {row[0]: row[1] for row in connection.execute(seen)}
        return [
            CameraState(
                camera=camera,
                online=state.type == EventType.CAMERA_ONLINE if (state := states.get(camera)) else None,
                since=time_at(state.time_ms) if state else None,
                last=time_at(last),
            )
            for camera, last in sorted(latest.items())
        ]

    def set_counts(self, writer: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keeps counts, in one transaction; setting them again changes nothing.

        Args:
            writer: who counted; others' counts stay.
            rows: the columns of the table ``counts`` but ``writer`` and ``kept_ms``; ``count`` is all of
                the interval.
        """
        now = milliseconds_of(datetime.now(UTC))
        given = [dict(row) | {"writer": writer, "kept_ms": now} for row in rows]
        if given:
            with writing(self._engine) as connection:
                statement = self._insert(counts)
                update = {name: statement.excluded[name] for name in ("count", "kept_ms")}
                keys = [c.name for c in counts.primary_key]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=update), given)

    def delete_before(self, time: datetime) -> int:
        """Deletes the events and the counts that came into the store before an aware time.

        Their own times may be older, as those of a recorded film are. Gives the number of rows deleted.
        """
        limit = milliseconds_of(time)
        with writing(self._engine) as connection:
            return sum(
                connection.execute(delete(table).where(table.c.kept_ms < limit)).rowcount
                for table in (events, counts)
            )

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        of_postgresql = self._engine.dialect.name == "postgresql"
        return postgresql.insert(table) if of_postgresql else sqlite.insert(table)


def _grouped(table: Table, time: str, length: int, number: Any, wanted: Filter) -> Select[Any]:
    start = table.c[time] - table.c[time] % length
    columns = [start.label("start"), *(table.c[name] for name in _KIND)]
    return select(*columns, number).where(*wanted.conditions(table, time)).group_by(*columns)


def _order(item: tuple[tuple[Any, ...], int]) -> tuple[str | int, ...]:
    return tuple(-1 if part is None else part for part in item[0])


def _to_row(event: Event) -> dict[str, Any]:
    content = event.to_json()
    corners = content.pop("box") or [None] * 4
    del content["time"]
    return content | {"time_ms": event.milliseconds} | dict(zip(_BOX, corners, strict=True))


def _from_row(row: Row[Any]) -> Event:
    content = dict(row._mapping)
    corners = tuple(content.pop(name) for name in _BOX)
    del content["kept_ms"]
    content["time"] = time_at(content.pop("time_ms"))
    return Event(**content, box=None if corners[0] is None else corners)
