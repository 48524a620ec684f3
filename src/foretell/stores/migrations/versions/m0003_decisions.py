"""Decisions: what tenants change of their settings, and what is recommended to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, READER, closed

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add two tables."""
    now = sa.text("clock_timestamp()")  # not when the transaction began: it may have waited for its turn
    op.create_table(
        "settings_changes",
        sa.Column("change_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("value", JSONB, nullable=False),  # JSON's null: the default again
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Index("idx_settings_changes", "tenant_id", "domain", "change_id"),
    )
    op.create_table(
        "recommendations",
        sa.Column("recommendation_id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("prediction_id", sa.Uuid, nullable=False),
        sa.Column("action", JSONB, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_why", sa.Text),
        sa.Column("approved", JSONB),
        sa.CheckConstraint("state IN ('pending', 'approved', 'rejected', 'expired', 'superseded')", "known_state"),
        sa.Index("idx_recommendations_made", "tenant_id", "made_at"),
    )
    open_ = "recommendations (tenant_id, model_name, subject) WHERE state ="
    op.execute(f"CREATE UNIQUE INDEX one_recommendation_is_open ON {open_} 'pending'")
    op.execute(f"CREATE INDEX idx_recommendations_approved ON {open_} 'approved'")
    for name in ("settings_changes", "recommendations"):
        op.execute(closed(name))
        op.execute(f"GRANT SELECT, INSERT ON {name} TO {APP}")
        op.execute(f"GRANT SELECT ON {name} TO {READER}")
    decided = "state, decided_at, decided_by, decided_why, approved"
    op.execute(f"GRANT UPDATE ({decided}) ON recommendations TO {APP}")
