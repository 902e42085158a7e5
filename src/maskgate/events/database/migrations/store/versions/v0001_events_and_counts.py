"""The first tables: events and counts."""

import sqlalchemy as sa
from alembic import op

revision = "store0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("schema", sa.SmallInteger, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("camera", sa.String(200), nullable=False),
        sa.Column("track", sa.String(200)),
        sa.Column("zone", sa.String(200)),
        sa.Column("label", sa.String(32)),
        sa.Column("violation", sa.Boolean),
        sa.Column("confidence", sa.Double),
        sa.Column("votes", sa.Integer),
        sa.Column("x1", sa.Double),
        sa.Column("y1", sa.Double),
        sa.Column("x2", sa.Double),
        sa.Column("y2", sa.Double),
        sa.Column("media_seconds", sa.Double),
        sa.Column("kept_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_kept_ms", "events", ["kept_ms"])
    op.create_index("ix_events_time_ms_id", "events", ["time_ms", "id"])
    op.create_index("ix_events_camera_time_ms_id", "events", ["camera", "time_ms", "id"])
    op.create_table(
        "counts",
        sa.Column("writer", sa.String(64), nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("camera", sa.String(200), nullable=False),
        sa.Column("zone", sa.String(200), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("violation", sa.Boolean, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("kept_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "writer", "start_ms", "camera", "zone", "type", "label", "violation", name="pk_counts"
        ),
    )
    op.create_index("ix_counts_kept_ms", "counts", ["kept_ms"])
    op.create_index("ix_counts_start_ms", "counts", ["start_ms"])


def downgrade() -> None:
    """Removes the tables."""
    op.drop_table("counts")
    op.drop_table("events")
