"""What the engine writes down: tenants, models and which of them serve, runs, predictions, and who did what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.errors import NotFound, Refused

Json = Mapping[str, Any]


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
    parameters: Json
    metrics: Json
    promoted: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Served:
    """A prediction as the ledger has it; `questions`, `forecast` and `raw` by column."""

    model_name: str
    version: str
    method: str
    fallback: str | None
    as_of: datetime
    request: Json
    answer: Json
    questions: Json
    forecast: Json
    raw: Json
    marks: Json
    own_facts: bool  # its facts came with the request: never compared with the stored ones
    prediction_count: int
    confidence: float | None
    predicted_at: datetime | None = None


# ---------------------------------------------------------------- tenants


def add_tenant(connection: Connection[Any], tenant: str, zone: str) -> None:
    """Add a tenant (as operator); raises Refused where there is one of that name."""
    done = connection.execute(
        "INSERT INTO tenants (tenant_id, zone) VALUES (%s, %s) ON CONFLICT DO NOTHING", [tenant, zone]
    )
    if not done.rowcount:
        raise Refused(f"there is a tenant {tenant} already")


def tenants(connection: Connection[Any]) -> dict[str, str]:
    """The tenants that the role may see, with their time zones: all for an operator, else the transaction's own."""
    return dict(connection.execute("SELECT tenant_id, zone FROM tenants ORDER BY tenant_id").fetchall())


# ---------------------------------------------------------------- models


def keep(connection: Connection[Any], tenant: str, model: Kept) -> None:
    """Put a model on record; the same version again changes nothing."""
    values = {"tenant": tenant, **vars(model), "card": Jsonb(model.card)}
    connection.execute(
        "INSERT INTO ml_models (tenant_id, model_name, version, candidate, card, blob, size, created_at)"
        " VALUES (%(tenant)s, %(model_name)s, %(version)s, %(candidate)s, %(card)s, %(blob)s, %(size)s, %(created_at)s)"
        " ON CONFLICT DO NOTHING",
        values,
    )


def models(connection: Connection[Any], tenant: str, name: str | None = None) -> list[Kept]:
    """A tenant's models, newest first; of one task where `name` is given."""
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        return cursor.execute(
            "SELECT model_name, version, candidate, card, blob, size, created_at FROM ml_models"
            " WHERE tenant_id = %s AND (%s::text IS NULL OR model_name = %s) ORDER BY created_at DESC, version DESC",
            [tenant, name, name],
        ).fetchall()


def deploy(connection: Connection[Any], tenant: str, name: str, version: str, who: str, reason: str) -> None:
    """Let a version serve from now on."""
    connection.execute(
        "INSERT INTO ml_deployments (tenant_id, model_name, version, deployed_by, reason) VALUES (%s, %s, %s, %s, %s)",
        [tenant, name, version, who, reason],
    )


def deployed(connection: Connection[Any], tenant: str, name: str) -> list[str]:
    """The versions of a task that were let serve, newest first, each once; the first is the one in service."""
    told = connection.execute(
        "SELECT version FROM ml_deployments WHERE tenant_id = %s AND model_name = %s"
        " GROUP BY version ORDER BY max(deployment_id) DESC",
        [tenant, name],
    ).fetchall()
    return [version for (version,) in told]


def blob_of(connection: Connection[Any], tenant: str, name: str, version: str) -> str:
    """The address of a model's files; raises NotFound where there is no such version."""
    row = connection.execute(
        "SELECT blob FROM ml_models WHERE tenant_id = %s AND model_name = %s AND version = %s", [tenant, name, version]
    ).fetchone()
    if row is None:
        raise NotFound(f"{name} has no version {version}")
    blob: str = row[0]
    return blob


def experiment(connection: Connection[Any], tenant: str, run: Run) -> None:
    """Write a training run down."""
    connection.execute(
        "INSERT INTO ml_experiments (tenant_id, model_name, version, as_of, parameters, metrics, promoted, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [tenant, *map(_stored, vars(run).values())],
    )


# ---------------------------------------------------------------- predictions

_SERVED = (
    "model_name", "version", "method", "fallback", "as_of", "request", "answer", "questions", "forecast", "raw",
    "marks", "own_facts", "prediction_count", "confidence",
)  # fmt: skip


def log(connection: Connection[Any], tenant: str, served: Sequence[Served]) -> None:
    """Add predictions to the ledger."""
    places = ", ".join(["%s"] * (len(_SERVED) + 1))
    query = f"INSERT INTO ml_predictions (tenant_id, {', '.join(_SERVED)}) VALUES ({places})".encode()  # noqa: S608 - our own names
    rows = [[tenant, *(_stored(getattr(one, name)) for name in _SERVED)] for one in served]
    if len(rows) == 1:
        connection.execute(query, rows[0])
    else:
        connection.cursor().executemany(query, rows)


def _stored(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, Mapping) else value


def served(connection: Connection[Any], tenant: str, name: str) -> list[Served]:
    """The ledger of a task, oldest first; without predictions on facts that came with the request."""
    with connection.cursor(row_factory=class_row(Served)) as cursor:
        return cursor.execute(
            f"SELECT {', '.join(_SERVED)}, predicted_at FROM ml_predictions".encode()  # noqa: S608 - our own names
            + b" WHERE tenant_id = %s AND model_name = %s AND NOT own_facts ORDER BY predicted_at",
            [tenant, name],
        ).fetchall()


def monitored(
    connection: Connection[Any], tenant: str, model: str, start: datetime, end: datetime, count: int, metrics: Json
) -> None:
    """Write down how a task's predictions of a period turned out."""
    connection.execute(
        "INSERT INTO ml_monitoring (tenant_id, model_id, period_start, period_end, prediction_count, metrics)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [tenant, model, start, end, count, Jsonb(metrics)],
    )


def audit(connection: Connection[Any], tenant: str, who: str, action: str, subject: str, details: Json) -> None:
    """Write down who did what; in the transaction of the deed."""
    connection.execute(
        "INSERT INTO audit (tenant_id, who, action, subject, details) VALUES (%s, %s, %s, %s, %s)",
        [tenant, who, action, subject, Jsonb(details)],
    )
