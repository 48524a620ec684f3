"""Jobs, when they are due, and the queue that hands them to workers."""

from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from foretell.stores.access import APP, OPERATOR, QUEUE, READER, WORKER, closed

revision = "0006"
down_revision = "0005"

# Who has few jobs waiting comes before who has many; of one tenant those of a queue are done one after the other.
DELIVER = f"""
CREATE FUNCTION {QUEUE}.deliver(tenant text, job text, queue text, seal text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = {QUEUE}, pg_temp AS $$
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        queue, 'job',
        -(SELECT count(*) FROM procrastinate_jobs j WHERE j.lock = tenant || '/' || queue AND j.status = 'todo')::int,
        tenant || '/' || queue, NULL, jsonb_build_object('tenant', tenant, 'job', job, 'seal', seal), NULL
    )::procrastinate_job_to_defer_v1])
$$;
REVOKE ALL ON FUNCTION {QUEUE}.deliver FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {QUEUE}.deliver TO {APP}
"""  # noqa: S608 - our own names


def upgrade() -> None:
    """Add tables for jobs and schedules, and a library's queue in a schema of its own."""
    _jobs()
    _schedules()
    _queue()
    op.execute(f"GRANT DELETE ON ml_predictions, ml_feedback TO {APP}")  # of those that are old


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("run_key", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("told", JSONB, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.Double, nullable=False, server_default="0"),
        sa.Column("doing", sa.Text),
        sa.Column("notes", JSONB, nullable=False, server_default="{}"),
        sa.Column("cancelled", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("result", JSONB),
        sa.Column("error", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Index("idx_jobs_run_key", "tenant_id", "run_key", unique=True),
        sa.Index("idx_jobs_newest", "tenant_id", "created_at"),
    )
    op.execute(closed("jobs"))
    op.execute(f"GRANT SELECT, INSERT, DELETE ON jobs TO {APP}")
    columns = "state, attempts, progress, doing, notes, cancelled, result, error, message, started_at, ended_at"
    op.execute(f"GRANT UPDATE ({columns}) ON jobs TO {APP}")
    op.execute(f"GRANT SELECT ON jobs TO {READER}")


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cron", sa.Text),
        sa.Column("enabled", sa.Boolean),
        sa.Column("fired_at", sa.DateTime(timezone=True)),
    )
    op.execute(closed("schedules"))
    op.execute(f"GRANT SELECT, INSERT, UPDATE (cron, enabled, fired_at) ON schedules TO {APP}")
    op.execute(f"GRANT SELECT ON schedules TO {READER}")
    # Whoever starts what is due sees whose it is and when, and none of their data.
    op.execute(f"CREATE POLICY workers ON schedules FOR SELECT TO {WORKER} USING (true)")
    op.execute(f"CREATE POLICY workers ON tenants FOR SELECT TO {WORKER} USING (true)")
    op.execute(
        f"CREATE POLICY workers ON settings_changes FOR SELECT TO {WORKER} USING (domain = 'tenant' AND field = 'zone')"
    )
    op.execute(f"GRANT SELECT ON schedules, tenants, settings_changes, alembic_version, declared_tables TO {WORKER}")
    op.create_table(
        "house_runs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("due", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("told", JSONB),
        sa.Column("error", sa.Text),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE (ended_at, told, error) ON house_runs TO {WORKER}")
    op.execute(f"GRANT SELECT ON house_runs TO {OPERATOR}")


def _queue() -> None:
    # The library's own tables, of the release that is locked; a newer one's changes go into a migration of ours.
    told = files("procrastinate").joinpath("sql/schema.sql").read_text()
    op.execute(f"CREATE SCHEMA {QUEUE}")
    before = op.get_bind().exec_driver_sql("SHOW search_path").scalar_one()
    op.get_bind().exec_driver_sql(f"SET LOCAL search_path TO {QUEUE}")
    op.get_bind().connection.cursor().execute(told.encode())  # as it is: it is full of signs that mean something else
    op.get_bind().exec_driver_sql(f"SET LOCAL search_path TO {before}")
    op.get_bind().exec_driver_sql(DELIVER)
    op.execute(f"GRANT USAGE ON SCHEMA {QUEUE} TO {APP}, {WORKER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {QUEUE} TO {WORKER}")
    op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {QUEUE} TO {WORKER}")
