"""Who may take facts away for good."""

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import ERASER

revision = "0010"
down_revision = "0009"

TAKEN = (
    "quarantine", "ml_predictions", "ml_feedback", "answered", "kept_answers", "recommendations",
    "ml_anomaly_detections", "ml_feature_values",
)  # fmt: skip
SEEN = ("ml_models", "ml_experiments", "ml_monitoring", "ml_features", "ml_deployments", "ml_failures", "schedules")


def upgrade() -> None:
    """Let the eraser in; a domain's tables are given their rights with their declaration."""
    op.execute(f"GRANT SELECT, DELETE ON {', '.join(TAKEN)} TO {ERASER}")
    op.execute(f"GRANT SELECT ON {', '.join(SEEN)}, tenants, settings_changes TO {ERASER}")
    op.execute(f"GRANT SELECT ON declared_tables, alembic_version TO {ERASER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE (mark, recorded_at) ON data_marks TO {ERASER}")
    op.execute(f"GRANT SELECT, UPDATE (told, notes, result, doing, message) ON jobs TO {ERASER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE (details) ON audit TO {ERASER}")
    for schema in op.get_bind().execute(sa.text("SELECT DISTINCT domain FROM declared_tables")).scalars().all():
        op.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO {ERASER}')
