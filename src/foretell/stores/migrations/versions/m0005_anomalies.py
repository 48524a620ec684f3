"""What reports found amiss, and since when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, READER, closed

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a table, by the name that the documents give it."""
    op.create_table(
        "ml_anomaly_detections",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("anomaly_id", sa.Uuid, primary_key=True),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("anomaly_type", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("evidence", JSONB, nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Index(
            "idx_ml_anomaly_detections_open", "tenant_id", "report", "subject", "anomaly_type",
            unique=True, postgresql_where=sa.text("resolved_at IS NULL"),
        ),
    )  # fmt: skip
    op.execute(closed("ml_anomaly_detections"))
    columns = "severity, description, evidence, seen_at, resolved_at"
    op.execute(f"GRANT SELECT, INSERT, UPDATE ({columns}) ON ml_anomaly_detections TO {APP}")
    op.execute(f"GRANT SELECT ON ml_anomaly_detections TO {READER}")
