"""Turns in the queue: what somebody asked for before what was due; and what the house was lost with is counted."""

import sqlalchemy as sa
from alembic import op

from foretell.stores.access import APP, QUEUE, WORKER

revision = "0015"
down_revision = "0014"

# A rank is a million apart from the next; below it counts how many of the tenant wait in that queue in the same rank.
DELIVER = f"""
DROP FUNCTION {QUEUE}.deliver(text, text, text, text);
CREATE FUNCTION {QUEUE}.deliver(tenant text, job text, queue text, seal text, rank int) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = {QUEUE}, pg_temp AS $$
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        queue, 'job',
        rank * 1000000 - (
            SELECT count(*) FROM procrastinate_jobs j WHERE j.lock = tenant || '/' || queue AND j.status = 'todo'
            AND j.priority BETWEEN rank * 1000000 - 999999 AND rank * 1000000
        )::int,
        tenant || '/' || queue, NULL, jsonb_build_object('tenant', tenant, 'job', job, 'seal', seal), NULL
    )::procrastinate_job_to_defer_v1])
$$;
REVOKE ALL ON FUNCTION {QUEUE}.deliver FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {QUEUE}.deliver TO {APP}
"""  # noqa: S608 - our own names


def upgrade() -> None:
    """Let a job be put into the queue with a rank, and count how often the house began what it does for itself."""
    op.get_bind().exec_driver_sql(DELIVER)
    op.add_column("house_runs", sa.Column("attempts", sa.Integer, nullable=False, server_default="1"))
    op.execute(f"GRANT UPDATE (attempts) ON house_runs TO {WORKER}")
