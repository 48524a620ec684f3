"""What is on record of models: versions, which of them serves, and the runs that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.contract import ModelStatus
from foretell.errors import NotFound

SWEEPING = 4_072_027  # names the lock under which files are swept
KEPT = 3  # newest versions of a task that are kept even if they never serve


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A trained model as it is on record."""

    model_name: str  # the task's
    version: str
    candidate: str
    card: dict[str, Any]
    blob: str  # address of its files
    size: int  # bytes of them
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run: what was raced under which parameters, how everyone did, and what came of it."""

    model_name: str
    version: str
    as_of: datetime
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    promoted: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a task's model, without its card."""

    version: str
    candidate: str
    created_at: datetime
    size: int  # bytes of its files
    state: ModelStatus
    deployed_at: datetime | None  # when it was last let serve
    deployed_by: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What every prediction looks up first, at one moment."""

    zone: str | None  # None: there is no such tenant
    deployed: Mapping[str, Sequence[str]]  # by task: the versions that were let serve, the one in service first
    marks: Mapping[str, int]  # by table: how often it has changed
    settings: str  # in force at a moment, as JSON: by domain, by field
    approved: str  # within a day of `at`, as JSON by subject: [seconds since 1970, action]


def look(
    connection: Connection[Any], tenant: str, names: Sequence[str], tables: Sequence[str], at: datetime | None = None
) -> Look:
    """The tenant's zone and settings, the versions of these tasks, the data marks of these tables (`traffic.metrics`).

    And what was approved of the tasks' recommendations in the day before `at` (None: now). Settings are those of `at`:
    of a field what was told last by then. Before it was first told anything it is what was told first: somebody who
    brings old facts today, and says today where they are from, means that place.
    """
    row = connection.execute(
        "SELECT (SELECT zone FROM tenants WHERE tenant_id = %(tenant)s),"
        " (SELECT json_object_agg(model_name, versions) FROM (SELECT model_name,"
        " json_agg(version ORDER BY newest DESC) versions FROM (SELECT model_name, version, max(deployment_id) newest"
        " FROM ml_deployments WHERE tenant_id = %(tenant)s AND model_name = ANY(%(names)s) GROUP BY 1, 2) each"
        " GROUP BY 1) deployed),"
        " (SELECT json_object_agg(table_name, mark) FROM data_marks"
        " WHERE tenant_id = %(tenant)s AND table_name = ANY(%(tables)s)),"
        # Of each field what was told last by then; else what was told of it first, afterwards.
        " (SELECT json_object_agg(domain, told) FROM (SELECT domain, json_object_agg(field, value) told FROM ("
        "SELECT DISTINCT ON (domain, field) domain, field, value FROM settings_changes WHERE tenant_id = %(tenant)s"
        " ORDER BY domain, field, changed_at <= coalesce(%(at)s, now()) DESC,"
        " CASE WHEN changed_at <= coalesce(%(at)s, now()) THEN change_id ELSE -change_id END DESC) each"
        " GROUP BY domain) by_domain)::text,"
        " (SELECT json_object_agg(subject, json_build_array(seconds, approved)) FROM (SELECT DISTINCT ON (subject)"
        " subject, extract(epoch FROM decided_at) seconds, approved FROM recommendations WHERE tenant_id = %(tenant)s"
        " AND model_name = ANY(%(names)s) AND state = 'approved' AND decided_at <= coalesce(%(at)s, now())"
        " AND decided_at > coalesce(%(at)s, now()) - interval '1 day' ORDER BY subject, decided_at DESC) last)::text",
        {"tenant": tenant, "names": list(names), "tables": list(tables), "at": at},
    ).fetchone()
    zone, deployed, marks, settings, approved = row or (None,) * 5
    return Look(
        zone=zone,
        deployed=dict.fromkeys(names, ()) | (deployed or {}),
        marks=dict.fromkeys(tables, 0) | (marks or {}),
        settings=settings or "{}",
        approved=approved or "{}",
    )


def keep(connection: Connection[Any], tenant: str, model: Kept) -> None:
    """Put a model on record; the same version again changes nothing."""
    values = {"tenant": tenant, **vars(model), "card": Jsonb(model.card)}
    connection.execute(
        "INSERT INTO ml_models (tenant_id, model_name, version, candidate, card, blob, size, created_at)"
        " VALUES (%(tenant)s, %(model_name)s, %(version)s, %(candidate)s, %(card)s, %(blob)s, %(size)s, %(created_at)s)"
        " ON CONFLICT DO NOTHING",
        values,
    )


def versions(connection: Connection[Any], tenant: str, name: str) -> list[Version]:
    """A task's versions, newest first."""
    with connection.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(
            "SELECT m.version, m.candidate, m.created_at, m.size, d.deployed_at, d.deployed_by, d.reason,"
            " CASE WHEN d.deployment_id = max(d.deployment_id) OVER ()"
            " THEN CASE WHEN d.pinned THEN 'pinned' ELSE 'serving' END"
            " WHEN row_number() OVER (ORDER BY m.created_at DESC, m.version DESC) <= %(kept)s THEN 'kept'"
            " ELSE 'archived' END AS state"
            " FROM ml_models m LEFT JOIN LATERAL (SELECT * FROM ml_deployments d WHERE d.tenant_id = m.tenant_id"
            " AND d.model_name = m.model_name AND d.version = m.version ORDER BY deployment_id DESC LIMIT 1) d ON true"
            " WHERE m.tenant_id = %(tenant)s AND m.model_name = %(name)s ORDER BY m.created_at DESC, m.version DESC",
            {"tenant": tenant, "name": name, "kept": KEPT},
        ).fetchall()


def model(connection: Connection[Any], tenant: str, name: str, version: str) -> Kept:
    """A version as it is on record; raises NotFound, with the versions there are."""
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        found = cursor.execute(
            "SELECT model_name, version, candidate, card, blob, size, created_at FROM ml_models"
            " WHERE tenant_id = %s AND model_name = %s AND version = %s",
            [tenant, name, version],
        ).fetchone()
    if found is None:
        there = [each.version for each in versions(connection, tenant, name)]
        raise NotFound(f"{name} has no version {version}; there are {', '.join(there) or 'none yet: train first'}")
    return found


def numbered(connection: Connection[Any], tenant: str, name: str) -> list[tuple[int, Kept]]:
    """A task's versions, each with the number of its training: the first is 1.

    What was recalibrated has the number of the last training before it.
    """
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        found = cursor.execute(
            "SELECT model_name, version, candidate, card, blob, size, created_at FROM ml_models"
            " WHERE tenant_id = %s AND model_name = %s ORDER BY created_at, version",
            [tenant, name],
        ).fetchall()
    runs = connection.execute(
        "SELECT version, min(created_at) FROM ml_experiments WHERE tenant_id = %s AND model_name = %s GROUP BY 1"
        " ORDER BY 2, 1",
        [tenant, name],
    ).fetchall()
    numbers = {version: number for number, (version, _) in enumerate(runs, 1)}
    return [(numbers.get(one.version) or sum(at <= one.created_at for _, at in runs), one) for one in found]


def prune(connection: Connection[Any], tenant: str, name: str) -> None:
    """Let versions go that are no longer among the newest and never served."""
    with suppress(psycopg.errors.ForeignKeyViolation), connection.transaction():  # one was let serve just now
        connection.execute(
            "DELETE FROM ml_models m WHERE tenant_id = %(tenant)s AND model_name = %(name)s AND NOT EXISTS"
            " (SELECT FROM ml_deployments d WHERE d.tenant_id = m.tenant_id AND d.model_name = m.model_name"
            " AND d.version = m.version) AND version NOT IN (SELECT version FROM ml_models"
            " WHERE tenant_id = %(tenant)s AND model_name = %(name)s"
            " ORDER BY created_at DESC, version DESC LIMIT %(kept)s)",
            {"tenant": tenant, "name": name, "kept": KEPT},
        )


def needed(connection: Connection[Any], tenant: str) -> set[str] | None:
    """The addresses of the files of all versions on record, for who sweeps the others before the transaction ends.

    None while somebody else sweeps, or a backup reads the files that were on record when it began.
    """
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [SWEEPING]).fetchone()
    if not row or not row[0]:
        return None
    return {blob for (blob,) in connection.execute("SELECT blob FROM ml_models WHERE tenant_id = %s", [tenant])}


def deploy(
    connection: Connection[Any], tenant: str, name: str, version: str, who: str, reason: str, *, pinned: bool = False
) -> None:
    """Let a version serve from now on; while it is `pinned`, training promotes none."""
    connection.execute(
        "INSERT INTO ml_deployments (tenant_id, model_name, version, deployed_by, reason, pinned)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [tenant, name, version, who, reason, pinned],
    )


def alone(connection: Connection[Any], tenant: str, name: str) -> None:
    """Wait until nobody else changes what serves of a task; to the transaction's end nobody else then does."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"{tenant}\n{name}"])


def pinned(connection: Connection[Any], tenant: str, name: str) -> str | None:
    """The version that is pinned; None where training may promote another."""
    row = connection.execute(
        "SELECT version, pinned FROM ml_deployments WHERE tenant_id = %s AND model_name = %s"
        " ORDER BY deployment_id DESC LIMIT 1",
        [tenant, name],
    ).fetchone()
    return row[0] if row and row[1] else None


def before(connection: Connection[Any], tenant: str, name: str) -> str | None:
    """The version that served before the one in service was first let serve; None where there is none."""
    row = connection.execute(
        "SELECT version FROM ml_deployments WHERE tenant_id = %(tenant)s AND model_name = %(name)s AND deployment_id <"
        " (SELECT min(deployment_id) FROM ml_deployments WHERE tenant_id = %(tenant)s AND model_name = %(name)s"
        " AND version = (SELECT version FROM ml_deployments WHERE tenant_id = %(tenant)s AND model_name = %(name)s"
        " ORDER BY deployment_id DESC LIMIT 1)) ORDER BY deployment_id DESC LIMIT 1",
        {"tenant": tenant, "name": name},
    ).fetchone()
    return row[0] if row else None


def experiment(connection: Connection[Any], tenant: str, run: Run) -> None:
    """Write a training run down."""
    values = [Jsonb(value) if isinstance(value, Mapping) else value for value in vars(run).values()]
    connection.execute(
        "INSERT INTO ml_experiments (tenant_id, model_name, version, as_of, parameters, metrics, promoted, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [tenant, *values],
    )
