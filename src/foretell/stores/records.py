"""What the engine writes down: tenants, predictions and what people say of them, and who did what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import ConfigDict, TypeAdapter

from foretell.errors import NotFound, Refused

Json = Mapping[str, Any]

# What is no number is not made null on the way: the database refuses it.
_PLAIN: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))


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
    prediction_id: UUID
    latency_ms: float | None  # from the first look at the facts until it was written down; null of one given again
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


# ---------------------------------------------------------------- predictions

_SERVED = (
    "model_name", "version", "method", "fallback", "as_of", "request", "answer", "questions", "forecast", "raw",
    "marks", "own_facts", "prediction_count", "confidence", "prediction_id",
    "latency_ms",
)  # fmt: skip


_LOG = (
    f"INSERT INTO ml_predictions (tenant_id, {', '.join(_SERVED)}) SELECT %s, {', '.join(_SERVED)}"  # noqa: S608 - our own names
    " FROM jsonb_populate_recordset(NULL::ml_predictions, %s)"
).encode()
_LEDGER = f"SELECT {', '.join(_SERVED)}, predicted_at FROM ml_predictions".encode()  # noqa: S608 - our own names


def log(connection: Connection[Any], tenant: str, served: Sequence[Served]) -> None:
    """Add predictions to the ledger, as one value: the driver takes as long for each value as for all of these."""
    connection.execute(_LOG, [tenant, Jsonb([vars(one) for one in served], _PLAIN.dump_json)])


def failed(connection: Connection[Any], tenant: str, codes: Sequence[tuple[str, str]]) -> None:
    """Write down predictions that could not be made, by no fault of who asked: the task, and the error's code."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ml_failures (tenant_id, model_name, code) VALUES (%s, %s, %s)",
            [(tenant, name, code) for name, code in codes],
        )


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a task's model does: what it said and how long that took, of all versions, and what could not be said.

    `drift_detected` is what the last look at drift found; null without one.
    """

    version: str | None
    deployed_at: datetime | None
    prediction_count: int
    avg_latency_ms: float | None
    error_rate: float
    drift_detected: bool | None
    last_prediction_at: datetime | None


def health(connection: Connection[Any], tenant: str, name: str) -> Health:
    """How a task's model does, counted from what is on record."""
    with connection.cursor(row_factory=class_row(Health)) as cursor:
        found = cursor.execute(
            "SELECT d.version, d.deployed_at, p.count AS prediction_count, p.took AS avg_latency_ms,"
            " coalesce(f.count::float8 / nullif(f.count + p.count, 0), 0) AS error_rate, m.drift_detected,"
            " p.last AS last_prediction_at"
            " FROM (SELECT count(*), avg(latency_ms) took, max(predicted_at) last FROM ml_predictions"
            " WHERE tenant_id = %(tenant)s AND model_name = %(name)s) p"
            " CROSS JOIN (SELECT count(*) FROM ml_failures WHERE tenant_id = %(tenant)s AND model_name = %(name)s) f"
            " LEFT JOIN LATERAL (SELECT version, deployed_at FROM ml_deployments WHERE tenant_id = %(tenant)s"
            " AND model_name = %(name)s ORDER BY deployment_id DESC LIMIT 1) d ON true"
            " LEFT JOIN LATERAL (SELECT drift_detected FROM ml_monitoring WHERE tenant_id = %(tenant)s"
            " AND model_id = %(name)s AND drift_detected IS NOT NULL"
            " ORDER BY period_end DESC, monitoring_id DESC LIMIT 1) m ON true",
            {"tenant": tenant, "name": name},
        ).fetchone()
    assert found is not None  # counts have a row
    return found


def served(connection: Connection[Any], tenant: str, name: str, *, since: datetime | None = None) -> list[Served]:
    """The ledger of a task, oldest first, from a moment on where one is given.

    Without predictions on facts that came with the request.
    """
    with connection.cursor(row_factory=class_row(Served)) as cursor:
        return cursor.execute(
            _LEDGER + b" WHERE tenant_id = %(tenant)s AND model_name = %(name)s AND NOT own_facts"
            b" AND (%(since)s::timestamptz IS NULL OR predicted_at >= %(since)s) ORDER BY predicted_at",
            {"tenant": tenant, "name": name, "since": since},
        ).fetchall()


def newest(connection: Connection[Any], tenant: str, name: str, *, limit: int, before: datetime | None) -> list[Served]:
    """The last predictions of a task, newest first, made before a moment where one is given."""
    with connection.cursor(row_factory=class_row(Served)) as cursor:
        return cursor.execute(
            _LEDGER + b" WHERE tenant_id = %(tenant)s AND model_name = %(name)s"
            b" AND (%(before)s::timestamptz IS NULL OR predicted_at < %(before)s)"
            b" ORDER BY predicted_at DESC, prediction_id LIMIT %(limit)s",
            {"tenant": tenant, "name": name, "before": before, "limit": limit},
        ).fetchall()


def numbered(connection: Connection[Any], tenant: str, numbers: Sequence[UUID]) -> dict[UUID, Served]:
    """The predictions with these numbers, as far as they are there."""
    with connection.cursor(row_factory=class_row(Served)) as cursor:
        found = cursor.execute(_LEDGER + b" WHERE tenant_id = %s AND prediction_id = ANY(%s)", [tenant, list(numbers)])
        return {one.prediction_id: one for one in found.fetchall()}


def forget(connection: Connection[Any], tenant: str, older: timedelta) -> int:
    """Forget the predictions that were made longer ago, with what was said of them; how many."""
    values = {"tenant": tenant, "older": older}
    old = "SELECT prediction_id FROM ml_predictions WHERE tenant_id = %(tenant)s AND predicted_at < now() - %(older)s"
    connection.execute(f"DELETE FROM ml_feedback WHERE tenant_id = %(tenant)s AND prediction_id IN ({old})", values)  # noqa: S608
    connection.execute("DELETE FROM ml_failures WHERE tenant_id = %(tenant)s AND failed_at < now() - %(older)s", values)
    gone = connection.execute(
        "DELETE FROM ml_predictions WHERE tenant_id = %(tenant)s AND predicted_at < now() - %(older)s", values
    )
    return gone.rowcount


# ---------------------------------------------------------------- feedback


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What somebody says of a prediction: what happened, whether it helped, a note."""

    prediction_id: UUID
    given_by: str
    outcome: float | str | None
    helpful: bool | None
    note: str | None
    given_at: datetime | None = None


def say(connection: Connection[Any], tenant: str, said: Feedback) -> None:
    """Keep what somebody says of a prediction; raises NotFound where the tenant has no such one."""
    done = connection.execute(
        "INSERT INTO ml_feedback (tenant_id, prediction_id, given_by, outcome, helpful, note)"
        " SELECT tenant_id, prediction_id, %s, %s, %s, %s FROM ml_predictions"
        " WHERE tenant_id = %s AND prediction_id = %s",
        [
            said.given_by,
            None if said.outcome is None else Jsonb(said.outcome),
            said.helpful,
            said.note,
            tenant,
            said.prediction_id,
        ],
    )
    if not done.rowcount:
        raise NotFound(f"there is no prediction {said.prediction_id}")


def feedback(connection: Connection[Any], tenant: str, predictions: Sequence[UUID]) -> list[Feedback]:
    """What was said of these predictions, oldest first."""
    with connection.cursor(row_factory=class_row(Feedback)) as cursor:
        return cursor.execute(
            "SELECT prediction_id, given_by, outcome, helpful, note, given_at FROM ml_feedback"
            " WHERE tenant_id = %s AND prediction_id = ANY(%s) ORDER BY feedback_id",
            [tenant, list(predictions)],
        ).fetchall()


# ---------------------------------------------------------------- requests sent twice


def answered(connection: Connection[Any], tenant: str, key: str, fingerprint: str) -> Json | None:
    """What a request with this key was answered within the last day; None for a new one.

    Another request with the same key waits for the end of the transaction that has it. Raises Refused where the key
    was another request's.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{tenant}\n{key}"])
    connection.execute("DELETE FROM answered WHERE tenant_id = %s AND answered_at < now() - interval '1 day'", [tenant])
    row = connection.execute(
        "SELECT fingerprint, answer FROM answered WHERE tenant_id = %s AND request_key = %s", [tenant, key]
    ).fetchone()
    if row is None:
        return None
    if row[0] != fingerprint:
        raise Refused(f"the idempotency key {key!r} was another request's; take a new one for each request")
    told: Json = row[1]
    return told


def answer(connection: Connection[Any], tenant: str, key: str, fingerprint: str, told: Json) -> None:
    """Keep what a request with this key is answered."""
    connection.execute(
        "INSERT INTO answered (tenant_id, request_key, fingerprint, answer) VALUES (%s, %s, %s, %s)",
        [tenant, key, fingerprint, Jsonb(told)],
    )


# ---------------------------------------------------------------- how it turned out


def monitored(
    connection: Connection[Any], tenant: str, model: str, start: datetime, end: datetime, count: int, metrics: Json
) -> None:
    """Write down how a task's predictions of a period turned out; `looked` writes what their features were like."""
    connection.execute(
        "INSERT INTO ml_monitoring (tenant_id, model_id, period_start, period_end, prediction_count, metrics)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [tenant, model, start, end, count, Jsonb(metrics)],
    )


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look at the features of so many entities on a day (UTC): which had drifted, by how many standard deviations.

    `compared` are the features that there was a mean of before; without any nothing is known of drift.
    """

    day: date
    entities: int
    compared: int
    drifted: Mapping[str, float]


def looked(connection: Connection[Any], tenant: str, models: Sequence[str], look: Look) -> None:
    """Write down a look at the features of some tasks' models; one that found what the day's last did adds nothing."""
    start = datetime.combine(look.day, time(), UTC)
    told = {
        "tenant": tenant, "start": start, "end": start + timedelta(days=1), "count": look.entities,
        "metrics": Jsonb({"features_compared": look.compared}),
        "found": bool(look.drifted) if look.compared else None, "drift": Jsonb(look.drifted),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ml_monitoring (tenant_id, model_id, period_start, period_end, prediction_count, metrics,"
            " drift_detected, feature_drift)"
            " SELECT %(tenant)s, %(model)s, %(start)s, %(end)s, %(count)s, %(metrics)s, %(found)s::boolean, %(drift)s"
            " WHERE NOT EXISTS (SELECT FROM (SELECT * FROM ml_monitoring WHERE tenant_id = %(tenant)s"
            " AND model_id = %(model)s AND period_start = %(start)s AND feature_drift IS NOT NULL"
            " ORDER BY monitoring_id DESC LIMIT 1) last WHERE prediction_count = %(count)s AND metrics = %(metrics)s"
            " AND drift_detected IS NOT DISTINCT FROM %(found)s::boolean AND feature_drift = %(drift)s)",
            [{**told, "model": name} for name in models],
        )


def audit(connection: Connection[Any], tenant: str, who: str, action: str, subject: str, details: Json) -> None:
    """Write down who did what; in the transaction of the deed."""
    connection.execute(
        "INSERT INTO audit (tenant_id, who, action, subject, details) VALUES (%s, %s, %s, %s, %s)",
        [tenant, who, action, subject, Jsonb(details)],
    )


def audited(
    connection: Connection[Any], tenant: str, action: str, since: datetime
) -> list[tuple[datetime, str, dict[str, Any]]]:
    """When a deed was done since a moment, on what, with its details; oldest first."""
    return connection.execute(
        "SELECT at, subject, details FROM audit WHERE tenant_id = %s AND action = %s AND at >= %s ORDER BY audit_id",
        [tenant, action, since],
    ).fetchall()
