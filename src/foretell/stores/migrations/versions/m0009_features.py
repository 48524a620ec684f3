"""What is kept of everybody's features, and what they are like day by day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, READER, closed

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add two tables, by the names that the documents give them."""
    op.create_table(
        "ml_feature_values",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("entity_id", sa.Text, primary_key=True),
        sa.Column("form", sa.Text, nullable=False),  # which features, in which versions
        sa.Column("day", sa.Date, nullable=False),  # UTC, for which they hold
        sa.Column("about", JSONB, nullable=False),  # whom else they are made of: its property, its area
        sa.Column("known_at", sa.DateTime(timezone=True)),  # when the newest fact of the entity became known
        sa.Column("feature_values", JSONB, nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    op.create_table(
        "ml_features",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("feature_name", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("null_rate", sa.Double, nullable=False),
        sa.Column("mean_value", sa.Double),
        sa.Column("std_dev", sa.Double),
        sa.Column("min_value", sa.Double),
        sa.Column("max_value", sa.Double),
        sa.Column("drift", sa.Double),  # of the mean since the oldest day of the last thirty, in its deviations
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    for name in ("ml_feature_values", "ml_features"):
        op.execute(closed(name))
        op.execute(f"GRANT SELECT, INSERT, DELETE ON {name} TO {APP}")
        op.execute(f"GRANT SELECT ON {name} TO {READER}")
    op.execute(f"GRANT UPDATE (form, day, about, known_at, feature_values, computed_at) ON ml_feature_values TO {APP}")
    columns = "counted, null_rate, mean_value, std_dev, min_value, max_value, drift, last_updated"
    op.execute(f"GRANT UPDATE ({columns}) ON ml_features TO {APP}")
