"""Tables of the two databases: the store of events, and the outbox of what is still to be delivered.

Times are milliseconds since 1970 in UTC: exact, and alike in SQLite and PostgreSQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

_NAMES = {"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
_ID, _NAME = 64, 200

STORE = MetaData(naming_convention=_NAMES)
OUTBOX = MetaData(naming_convention=_NAMES)

events = Table(
    "events",
    STORE,
    Column("id", String(_ID), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("schema", SmallInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("camera", String(_NAME), nullable=False),
    Column("track", String(_NAME)),
    Column("zone", String(_NAME)),
    Column("label", String(32)),
    Column("violation", Boolean),
    Column("confidence", Double),
    Column("votes", Integer),
    Column("x1", Double),
    Column("y1", Double),
    Column("x2", Double),
    Column("y2", Double),
    Column("media_seconds", Double),
    Column("kept_ms", BigInteger, nullable=False),
    Index(None, "kept_ms"),
    Index(None, "time_ms", "id"),
    Index(None, "camera", "time_ms", "id"),
)
"""One row an event, with the fields of :class:`~maskgate.events.types.Event`; ``kept_ms`` is when it came."""

counts = Table(
    "counts",
    STORE,
    Column("writer", String(_ID), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("camera", String(_NAME), primary_key=True),
    Column("zone", String(_NAME), primary_key=True),
    Column("type", String(32), primary_key=True),
    Column("label", String(32), primary_key=True),
    Column("violation", Boolean, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("kept_ms", BigInteger, nullable=False),
    Index(None, "kept_ms"),
    Index(None, "start_ms"),
)
"""How many events there were from ``start_ms`` on, until the interval's end, by each writer.

Empty texts and false stand for what an event lacks, as a primary key holds no nulls."""

waiting = Table(
    "waiting",
    OUTBOX,
    Column("position", Integer, primary_key=True),
    Column("id", String(_ID), nullable=False, unique=True),
    Column("made_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    sqlite_autoincrement=True,  # a position never comes again
)
"""Events that not all receivers have taken, in order of ``position``; ``event`` is its JSON."""

deliveries = Table(
    "deliveries",
    OUTBOX,
    Column("receiver", String(32), primary_key=True),
    Column("position", ForeignKey(waiting.c.position, ondelete="CASCADE"), primary_key=True),
    Column("attempts", Integer, nullable=False, default=0, server_default="0"),
    Column("refused", Boolean, nullable=False, default=False, server_default="0"),
    Column("error", Text),
    Index(None, "position"),
    Index(None, "receiver", "refused", "position"),
)
"""Who is still to receive which event. A delivery goes when it is done."""

tallies = Table(
    "tallies",
    OUTBOX,
    *(
        Column(c.name, c.type, primary_key=True, autoincrement=False)
        for c in counts.primary_key
        if c.name != "writer"
    ),
    Column("count", Integer, nullable=False),
    Column("sent", Integer, nullable=False, default=0, server_default="0"),
)
"""Counts on their way to the store: ``sent`` is what the store has of ``count``."""

identity = Table("identity", OUTBOX, Column("writer", String(_ID), primary_key=True))
"""One row: what this outbox is called among the store's writers."""
