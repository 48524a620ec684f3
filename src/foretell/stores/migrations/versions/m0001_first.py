"""Tenants, data marks, quarantine, audit; models, deployments, experiments, predictions, monitoring."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, OPERATOR, READER, closed

revision = "0001"
down_revision = None


def _made(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()"))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """Make the tables; each that holds a tenant's data is closed to other tenants before anybody can reach it."""
    op.create_table(
        "declared_tables",
        sa.Column("domain", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        _text("fingerprint"),
        _text("form"),
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("zone", sa.Text, nullable=False),
        _made("created_at"),
    )
    op.create_table(
        "data_marks",
        _text("tenant_id"),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default="-infinity"),
        sa.PrimaryKeyConstraint("tenant_id", "table_name"),
    )
    op.create_table(
        "quarantine",
        _text("tenant_id"),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("original", sa.Text, nullable=False),
        _text("source"),
        _text("zone"),
        sa.Column("seconds", sa.Double),
        _made("first_seen"),
        sa.PrimaryKeyConstraint("tenant_id", "table_name", "fingerprint"),
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("tenant_id"),
        _made("at"),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.Index("idx_audit_tenant_at", "tenant_id", "at"),
    )
    _models()
    _predictions()
    for name in ("data_marks", "quarantine", "audit", *MODELS):
        op.execute(closed(name))
        op.execute(f"GRANT SELECT, INSERT ON {name} TO {APP}")
        op.execute(f"GRANT SELECT ON {name} TO {READER}")
    op.execute(closed("tenants"))
    op.execute(f"CREATE POLICY operators ON tenants TO {OPERATOR} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT ON tenants, declared_tables, alembic_version TO {APP}, {READER}, {OPERATOR}")
    op.execute(f"GRANT INSERT, UPDATE (zone) ON tenants TO {OPERATOR}")
    op.execute(f"GRANT UPDATE (mark, recorded_at) ON data_marks TO {APP}")
    op.execute(f"GRANT DELETE ON quarantine TO {APP}")
    op.execute(f"GRANT INSERT ON ml_predictions TO {READER}")


MODELS = ("ml_models", "ml_deployments", "ml_experiments", "ml_predictions", "ml_monitoring")


def _models() -> None:
    op.create_table(
        "ml_models",
        _text("tenant_id"),
        _text("model_name"),
        _text("version"),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("card", JSONB, nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        _made("created_at"),
        sa.PrimaryKeyConstraint("tenant_id", "model_name", "version"),
    )
    op.create_table(
        "ml_deployments",
        sa.Column("deployment_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("tenant_id"),
        _text("model_name"),
        _text("version"),
        _made("deployed_at"),
        sa.Column("deployed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "model_name", "version"],
            ["ml_models.tenant_id", "ml_models.model_name", "ml_models.version"],
        ),
        sa.Index("idx_ml_deployments_newest", "tenant_id", "model_name", "deployment_id"),
    )
    op.create_table(
        "ml_experiments",
        sa.Column("run_id", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")),
        _text("tenant_id"),
        _text("model_name"),
        _text("version"),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parameters", JSONB, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("promoted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        _made("created_at"),
        sa.Index("idx_ml_experiments_newest", "tenant_id", "model_name", "created_at"),
    )


def _predictions() -> None:
    op.create_table(
        "ml_predictions",
        sa.Column("prediction_id", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")),
        _text("tenant_id"),
        _text("model_name"),
        _text("version"),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("fallback", sa.Text),
        _made("predicted_at"),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request", JSONB, nullable=False),
        sa.Column("answer", JSONB, nullable=False),
        sa.Column("questions", JSONB, nullable=False),
        sa.Column("forecast", JSONB, nullable=False),
        sa.Column("raw", JSONB, nullable=False),
        sa.Column("marks", JSONB, nullable=False),
        sa.Column("own_facts", sa.Boolean, nullable=False),
        sa.Column("prediction_count", sa.Integer, nullable=False),
        sa.Column("confidence", sa.Double),
        sa.Index("idx_ml_predictions_newest", "tenant_id", "model_name", "predicted_at"),
    )
    op.create_table(
        "ml_monitoring",
        sa.Column("monitoring_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("tenant_id"),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prediction_count", sa.Integer, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("drift_detected", sa.Boolean),
        sa.Column("feature_drift", JSONB),
        _made("created_at"),
    )
