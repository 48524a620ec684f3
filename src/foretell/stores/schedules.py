"""What tenants say of when their jobs are due, and when each was last started; and what the house did for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a tenant says of a schedule (None: the default), and up to which moment what was due was started."""

    cron: str | None = None
    enabled: bool | None = None
    fired_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A tenant by whose clocks things are due: its zone, since when it is there, and what it says, by name."""

    zone: str
    since: datetime
    told: Mapping[str, Told]


_CLOCKS = (
    "SELECT t.tenant_id, coalesce((SELECT s.value #>> '{}' FROM settings_changes s WHERE s.tenant_id = t.tenant_id"
    " AND s.domain = 'tenant' AND s.field = 'zone' ORDER BY s.change_id DESC LIMIT 1), t.zone), t.created_at"
    " FROM tenants t"
)


def clocks(connection: Connection[Any]) -> dict[str, Clock]:
    """Every tenant's clock, for a worker: it sees nothing else of them. For a tenant, its own."""
    told: dict[str, dict[str, Told]] = {}
    for tenant, name, cron, enabled, fired in connection.execute(
        "SELECT tenant_id, name, cron, enabled, fired_at FROM schedules"
    ).fetchall():
        told.setdefault(tenant, {})[name] = Told(cron=cron, enabled=enabled, fired_at=fired)
    return {
        tenant: Clock(zone=zone, since=since, told=told.get(tenant, {}))
        for tenant, zone, since in connection.execute(_CLOCKS).fetchall()
    }


def fire(connection: Connection[Any], tenant: str, name: str, due: datetime) -> bool:
    """Say that what was due is started; False where another was quicker, or it was started already."""
    done = connection.execute(
        "INSERT INTO schedules (tenant_id, name, fired_at) VALUES (%(tenant)s, %(name)s, %(due)s)"
        " ON CONFLICT (tenant_id, name) DO UPDATE SET fired_at = excluded.fired_at"
        " WHERE schedules.fired_at IS NULL OR schedules.fired_at < excluded.fired_at",
        {"tenant": tenant, "name": name, "due": due},
    )
    return bool(done.rowcount)


def tell(connection: Connection[Any], tenant: str, name: str, told: Told) -> None:
    """Keep what a tenant says of a schedule. What was due before now by another time is not caught up."""
    connection.execute(
        "INSERT INTO schedules (tenant_id, name, cron, enabled, fired_at) VALUES (%s, %s, %s, %s, now())"
        " ON CONFLICT (tenant_id, name) DO UPDATE SET cron = excluded.cron, enabled = excluded.enabled,"
        " fired_at = excluded.fired_at",
        [tenant, name, told.cron, told.enabled],
    )


# ---------------------------------------------------------------- the house


GOES = 3  # at a run whose workers are lost


@contextmanager
def alone(url: str, role: str, name: str) -> Iterator[bool]:
    """Whether nobody else does this for the house, and nobody begins to until the block ends, or its process."""
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 2))", [name]).fetchone()
        yield bool(row and row[0])


def last_run(connection: Connection[Any], name: str) -> datetime | None:
    """When what the house does for itself was last due and came to an end, or was given up; None before the first."""
    row = connection.execute(
        "SELECT max(due) FROM house_runs WHERE name = %s AND (ended_at IS NOT NULL OR attempts >= %s)", [name, GOES]
    ).fetchone()
    last: datetime | None = row[0] if row else None
    return last


def run_begins(connection: Connection[Any], name: str, due: datetime) -> int:
    """Begin what is due, or what a lost worker left, for who is `alone` with it: the how manieth go; 0 for no more."""
    row = connection.execute(
        "INSERT INTO house_runs AS r (name, due) VALUES (%s, %s) ON CONFLICT (name, due) DO UPDATE"
        " SET attempts = r.attempts + 1 WHERE r.ended_at IS NULL AND r.attempts < %s RETURNING attempts",
        [name, due, GOES],
    ).fetchone()
    return int(row[0]) if row else 0


def run_ends(
    connection: Connection[Any], name: str, due: datetime, *, told: Mapping[str, Any] | None, error: str | None
) -> None:
    """Say what came of it."""
    connection.execute(
        "UPDATE house_runs SET ended_at = now(), told = %s, error = %s WHERE name = %s AND due = %s",
        [None if told is None else Jsonb(told), error, name, due],
    )
