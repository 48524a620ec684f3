"""A tenant taken away for good, by the owner of the tables: no role of ours may delete the rows of most of them.

The owner is held by row security as everybody is, so each statement reaches the rows of the one tenant alone.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql

from foretell.errors import Unavailable
from foretell.stores.access import QUEUE
from foretell.stores.database import uncut
from foretell.stores.locks import ticks
from foretell.stores.registry import SWEEPING

PATIENCE = 120.0  # seconds that transactions which began before have to end

# What was running when the tenant was closed may have seen that it was there. A transaction holds its own number.
_RUNNING = (
    "SELECT l.virtualtransaction, l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'virtualxid' AND l.granted AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid()"
    " AND a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# What refers to others goes before them.
_TABLES = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped"
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'"
    " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
    " ORDER BY EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = c.oid), 1, 2"
)


def remove(owner: str, tenant: str) -> dict[str, int]:
    """Take a tenant and all its rows away; how many rows, by table. Called again, it goes on where it ended.

    The tenant goes first, and at once: from then on nothing begins for it. Then what had begun before is waited for,
    and a backup that runs; then the rows go, table by table. `owner` is the URL of the role that owns the tables.
    Raises Unavailable where somebody's transaction does not end, and Misconfigured for a role that may not.
    """
    with uncut(owner, "; it must be the tables' owner") as connection:
        connection.execute("SELECT set_config('app.current_tenant', %s, false)", [tenant])
        out = {
            "public.tenants": connection.execute("DELETE FROM public.tenants WHERE tenant_id = %s", [tenant]).rowcount
        }
        before = dict(connection.execute(_RUNNING.encode()).fetchall())
        connection.execute("SELECT pg_advisory_lock(%s)", [SWEEPING])  # a backup's files stay until it is written
        _wait(connection, before)
        for schema, name in connection.execute(_TABLES.encode()).fetchall():
            gone = sql.SQL("DELETE FROM {} WHERE tenant_id = %s").format(sql.Identifier(schema, name))
            out[f"{schema}.{name}"] = out.get(f"{schema}.{name}", 0) + connection.execute(gone, [tenant]).rowcount
        # One that runs is taken away by its worker; what it would write is refused.
        connection.execute(f"SET search_path TO {QUEUE}".encode())  # its triggers name its tables without it
        queued = sql.SQL("DELETE FROM {} WHERE args ->> 'tenant' = %s AND status <> 'doing'")
        connection.execute(queued.format(sql.Identifier(QUEUE, "procrastinate_jobs")), [tenant])
        return {name: rows for name, rows in out.items() if rows}


def _wait(connection: Connection[Any], before: dict[str, int]) -> None:
    """Return when none of these transactions runs any more."""
    still = before
    for _ in ticks(PATIENCE):
        now = dict(connection.execute(_RUNNING.encode()).fetchall())
        still = {number: process for number, process in before.items() if number in now}
        if not still:
            return
    told = ", ".join(map(str, sorted(still.values())))
    raise Unavailable(
        f"the tenant is closed, and its rows are still there: a transaction of before has not ended (PostgreSQL's"
        f" process {told}); end it and type the same again"
    )
