"""Run by Alembic: ``migrating.py`` hands it a connection within a transaction."""

from alembic import context

from maskgate.events.database.layout import OUTBOX

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=OUTBOX,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
