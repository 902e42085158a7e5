"""The first tables: waiting events, deliveries, tallies, the writer's identity."""

import sqlalchemy as sa
from alembic import op

revision = "outbox0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "waiting",
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_waiting"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("receiver", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("refused", sa.Boolean, nullable=False, server_default="0"),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("receiver", "position", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["position"], ["waiting.position"], ondelete="CASCADE"),
    )
    op.create_index("ix_deliveries_position", "deliveries", ["position"])
    op.create_index(
        "ix_deliveries_receiver_refused_position", "deliveries", ["receiver", "refused", "position"]
    )
    op.create_table(
        "tallies",
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("camera", sa.String(200), nullable=False),
        sa.Column("zone", sa.String(200), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("violation", sa.Boolean, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint(
            "start_ms", "camera", "zone", "type", "label", "violation", name="pk_tallies"
        ),
    )
    op.create_table(
        "identity",
        sa.Column("writer", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_identity"),
    )


def downgrade() -> None:
    """Removes the tables."""
    for table in ("identity", "tallies", "deliveries", "waiting"):
        op.drop_table(table)
