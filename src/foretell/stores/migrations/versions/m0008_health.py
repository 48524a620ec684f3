"""How long predictions took, and which could not be made."""

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import APP, READER, closed

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add a column and a table."""
    op.add_column("ml_predictions", sa.Column("latency_ms", sa.Double))
    op.create_table(
        "ml_failures",
        sa.Column("failure_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("code", sa.Text, nullable=False),
        sa.Index("idx_ml_failures_newest", "tenant_id", "model_name", "failed_at"),
    )
    op.execute(closed("ml_failures"))
    op.execute(f"GRANT SELECT, INSERT, DELETE ON ml_failures TO {APP}")
    op.execute(f"GRANT SELECT ON ml_failures TO {READER}")
