"""Run by Alembic: ``migrating.py`` hands it a connection within a transaction."""

from alembic import context

from maskgate.events.database.layout import STORE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=STORE,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
