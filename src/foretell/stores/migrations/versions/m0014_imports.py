"""What each import recorded, so that it can be taken back."""

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import APP, ERASER, READER, closed

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add a table, a row a batch; of imports before it nothing is known."""
    op.create_table(
        "imports",
        sa.Column("batch_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("import_id", sa.Uuid, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        # Of the transaction, as `first_seen` of the rows that it put into quarantine.
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("accepted", "revised", "unchanged", "rejected")
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True)),  # of its revisions; null where it made none
        sa.Column("undone_at", sa.DateTime(timezone=True)),  # when the revisions were recorded that took it back
        sa.Column("undone_by", sa.Text),
        sa.Index("idx_imports_import", "tenant_id", "import_id"),
        sa.Index("idx_imports_table", "tenant_id", "table_name", "batch_id"),
    )  # fmt: skip
    op.execute(closed("imports"))
    op.execute(f"GRANT SELECT, INSERT, DELETE, UPDATE (undone_at, undone_by) ON imports TO {APP}")
    op.execute(f"GRANT SELECT ON imports TO {READER}, {ERASER}")
