"""What somebody should hear of, and whether it was sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from foretell.stores.access import APP, ERASER, READER, closed

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "notices",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("notice_id", sa.Uuid, primary_key=True),
        sa.Column("about", sa.Text, nullable=False),  # a task, report, source or kind of job
        sa.Column("subject", sa.Text, nullable=False),  # of a report; else empty
        sa.Column("severity", sa.Text, nullable=False),  # the gravest of its findings
        sa.Column("kinds", ARRAY(sa.Text), nullable=False),  # of its findings: what is not told again too soon
        sa.Column("findings", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),  # when the last of it was sent, or found to be for nobody
        sa.Column("sent", JSONB),  # to how many by which way
        sa.Column("error", sa.Text),  # why something could not be sent
        sa.Index("idx_notices_about", "tenant_id", "about", "subject", "created_at"),
    )
    op.execute(closed("notices"))
    op.execute(f"GRANT SELECT, INSERT, DELETE, UPDATE (sent_at, sent, error) ON notices TO {APP}")
    op.execute(f"GRANT SELECT ON notices TO {READER}")
    op.execute(f"GRANT SELECT, DELETE ON notices TO {ERASER}")
