"""Answers that are given again for a while."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, READER, closed

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a table, which those that only read may write as they may the ledger."""
    op.create_table(
        "kept_answers",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.Text, primary_key=True),
        sa.Column("prediction_id", sa.Uuid, nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", JSONB, nullable=False),
        sa.Column("card", JSONB),
        sa.Column("known_at", sa.DateTime(timezone=True)),
        sa.Index("idx_kept_answers_until", "tenant_id", "kept_until"),
    )
    op.execute(closed("kept_answers"))
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON kept_answers TO {APP}, {READER}")
