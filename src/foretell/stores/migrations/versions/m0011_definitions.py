"""What the features are of which statistics are kept: what they mean, how they are worked out, what they are worth."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import APP

revision = "0011"
down_revision = "0010"

TEXTS = ("category", "part", "feature_type", "data_type", "entity_type", "description", "computation", "owner")


def upgrade() -> None:
    """Add columns; of days before, nobody has said what they are."""
    columns: list[sa.Column[Any]] = [
        *(sa.Column(name, sa.Text) for name in TEXTS),
        sa.Column("version", sa.Integer),
        sa.Column("is_deprecated", sa.Boolean),
        sa.Column("importance", sa.Double),  # by how much the task's metric is worse without it
        sa.Column("model_version", sa.Text),  # to which model
    ]
    for column in columns:
        op.add_column("ml_features", column)
    op.execute(f"GRANT UPDATE ({', '.join(column.name for column in columns)}) ON ml_features TO {APP}")
