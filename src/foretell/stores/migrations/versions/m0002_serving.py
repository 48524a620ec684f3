"""Serving: pinned deployments, feedback on predictions, requests that were answered once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, READER, closed

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a column and two tables; models that never served may go."""
    op.add_column("ml_deployments", sa.Column("pinned", sa.Boolean, nullable=False, server_default="false"))
    # Of a batch each has its own moment, so that a list can go on where it ended.
    op.execute("ALTER TABLE ml_predictions ALTER predicted_at SET DEFAULT clock_timestamp()")
    op.execute(f"GRANT DELETE ON ml_models TO {APP}")  # one that ever served can't go: its deployment refers to it
    op.create_table(
        "ml_feedback",
        sa.Column("feedback_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("prediction_id", sa.Uuid, nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("outcome", JSONB),
        sa.Column("helpful", sa.Boolean),
        sa.Column("note", sa.Text),
        sa.Index("idx_ml_feedback_prediction", "tenant_id", "prediction_id"),
    )
    op.create_table(
        "answered",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("request_key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("answer", JSONB, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("tenant_id", "request_key"),
    )
    for name in ("ml_feedback", "answered"):
        op.execute(closed(name))
        op.execute(f"GRANT SELECT, INSERT ON {name} TO {APP}")
        op.execute(f"GRANT SELECT ON {name} TO {READER}")
    op.execute(f"GRANT DELETE ON answered TO {APP}")
