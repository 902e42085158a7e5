"""Brings a database's tables up to date, by the migrations that ship beside this module."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, text

from maskgate.errors import StoreError
from maskgate.events.database.engine import writing

Kind = Literal["store", "outbox"]

_ONE_AT_A_TIME = threading.Lock()
"""Alembic's context is one for all threads of a process."""

_LOCK = 0x6D61736B67617465  # "maskgate": whoever upgrades a PostgreSQL database holds this lock


def upgrade(engine: Engine, kind: Kind) -> None:
    """Makes the tables, or changes older ones, in one transaction; processes may do it at once.

    Raises :class:`~maskgate.errors.StoreError` where the database cannot be changed, or was made by a
    newer maskgate.
    """
    config = Config()
    config.set_main_option("script_location", str(_folder(kind)).replace("%", "%%"))
    try:
        with _ONE_AT_A_TIME, writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the {kind} database was made by a newer maskgate ({error}); install that one"
        ) from None


def _folder(kind: Kind) -> Path:
    return Path(__file__).with_name("migrations") / kind
