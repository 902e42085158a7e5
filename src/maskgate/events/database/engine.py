"""Opens SQLite and PostgreSQL databases, and turns their errors into sentences."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from maskgate.errors import StoreError
from maskgate.events.credentials import Address

_BUSY_SECONDS = 20
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 60
_WRITING = "maskgate_writing"


def open_database(address: Address, *, durable: bool = True) -> Engine:
    """An engine; it connects when it is first used, and again after the database was away.

    SQLite files are made with the access rights 0600, their folder with 0700. They use a write-ahead
    log, and deleted rows are overwritten. Without ``durable``, a loss of power may take the latest writes
    to an SQLite file back; the end of the process does not.

    Raises :class:`~maskgate.errors.StoreError` where an SQLite file cannot be made.
    """
    if address.reveal().startswith("sqlite:"):
        return _open_sqlite(Path(address.reveal().removeprefix("sqlite:///")), durable)
    return create_engine(
        make_url(address.reveal()),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=2,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            # a server that vanishes without a word is noticed
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": f"-c statement_timeout={_STATEMENT_SECONDS}s -c lock_timeout={_BUSY_SECONDS}s",
            "application_name": "maskgate",
        },
    )


def _open_sqlite(path: Path, durable: bool) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the database {path} cannot be written: {error.strerror}") from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )
    pragmas = ["journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"]
    pragmas.append(f"synchronous={'FULL' if durable else 'NORMAL'}")
    event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection, pragmas))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, pragmas: Iterable[str]) -> None:
    connection.isolation_level = None  # transactions begin where we say, see _begin_sqlite
    for pragma in pragmas:
        _execute_patiently(connection, f"PRAGMA {pragma}")


def _execute_patiently(connection: Any, statement: str) -> None:
    """Tries again while another process is just changing the journal: SQLite then says at once that the
    file is locked, whatever its timeout."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # a reader that turns into a writer may find the database changed, and fails; so writers say it first
    mode = " IMMEDIATE" if connection.get_execution_options().get(_WRITING) else ""
    connection.exec_driver_sql(f"BEGIN{mode}")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: committed at the end, rolled back where an error comes.

    Raises :class:`~maskgate.errors.StoreError` for errors of the database; nothing was written then.
    """
    with _translated(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITING: True})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads. Raises :class:`~maskgate.errors.StoreError` for errors of the database."""
    with _translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"{_called(engine)} {_said(error)}") from None


def _called(engine: Engine) -> str:
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    return f"the database {url.database} on {url.host or 'this machine'}"


def _said(error: SQLAlchemyError) -> str:
    """What happened, in our words where we know it. The database's own words hold no password."""
    original = error.orig if isinstance(error, DBAPIError) else None
    words = str(original or type(error).__name__).strip().split("\n")[0]
    state = getattr(original, "sqlstate", None) or ""
    if "disk is full" in words or state == "53100":
        return "cannot be written: the disk is full; make room there"
    if "readonly" in words:
        return "cannot be written: it is read-only; change its access rights"
    if "malformed" in words or "not a database" in words:
        return "is damaged; move it away, or restore it from a copy"
    if "unable to open" in words:
        return "cannot be opened; see whether its folder is there and may be written"
    if "disk I/O" in words:
        return "cannot be read or written: the disk reports an error, or is full"
    if "locked" in words:
        return f"was in use by others for more than {_BUSY_SECONDS} seconds"
    if isinstance(error, DBAPIError) and (error.connection_invalidated or not state or state[:2] in _AWAY):
        return f"cannot be reached: {words}"
    return f"cannot do it: {words}"


_AWAY = ("08", "57")  # classes of SQLSTATE: connection exception, operator intervention
