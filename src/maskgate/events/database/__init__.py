"""Databases: how they are opened, what their tables look like, and how older ones are brought up to date."""

from maskgate.events.database.engine import open_database, reading, writing
from maskgate.events.database.migrating import upgrade

__all__ = ["open_database", "reading", "upgrade", "writing"]
