"""What has been asked of those who are asked for facts, and who is left alone for a while."""

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import APP, READER

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add a table that is no tenant's: a provider counts the requests of all of them together."""
    op.create_table(
        "providers",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("spent", sa.Double, nullable=False),  # of the day's quota
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # one after the other
        sa.Column("rests_until", sa.DateTime(timezone=True)),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE (day, spent, failures, rests_until) ON providers TO {APP}")
    op.execute(f"GRANT SELECT ON providers TO {READER}")
