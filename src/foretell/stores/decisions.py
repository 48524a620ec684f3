"""What people decide: their settings with history, and what becomes of recommendations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.contract import RecommendationState
from foretell.errors import NotFound


@dataclass(frozen=True, kw_only=True)
class Change:
    """A setting that was told; the value None is its default again."""

    field: str
    value: Any
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """An action that was recommended, and what became of it; `approved` is the action as it was approved."""

    recommendation_id: UUID
    task: str
    subject: str
    prediction_id: UUID
    action: Mapping[str, Any]
    reason: str
    made_at: datetime
    expires_at: datetime
    state: RecommendationState
    decided_at: datetime | None
    decided_by: str | None
    decided_why: str | None
    approved: Mapping[str, Any] | None


# ---------------------------------------------------------------- settings


def change(connection: Connection[Any], tenant: str, domain: str, who: str, values: Mapping[str, Any]) -> None:
    """Write down settings of a domain, by field."""
    connection.cursor().executemany(
        "INSERT INTO settings_changes (tenant_id, domain, field, value, changed_by) VALUES (%s, %s, %s, %s, %s)",
        [[tenant, domain, field, Jsonb(value), who] for field, value in values.items()],
    )


def changes(connection: Connection[Any], tenant: str, domain: str) -> list[Change]:
    """What was told of a domain's settings, oldest first."""
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        return cursor.execute(
            "SELECT field, value, changed_at, changed_by FROM settings_changes WHERE tenant_id = %s AND domain = %s"
            " ORDER BY change_id",
            [tenant, domain],
        ).fetchall()


def alone(connection: Connection[Any], tenant: str, what: str) -> None:
    """Wait until nobody else decides about the same; for the rest of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"{tenant}\n{what}"])


# ---------------------------------------------------------------- recommendations

_COLUMNS = (
    "recommendation_id, model_name AS task, subject, prediction_id, action, reason, made_at, expires_at,"
    " CASE WHEN state = 'pending' AND expires_at <= now() THEN 'expired' ELSE state END AS state,"
    " decided_at, decided_by, decided_why, approved"
)
_RECOMMENDATIONS = f"SELECT {_COLUMNS} FROM recommendations WHERE tenant_id = %(tenant)s".encode()  # noqa: S608 - our own


def open_of(connection: Connection[Any], tenant: str, task: str, subject: str) -> Recommendation | None:
    """The recommendation on a subject that nobody has decided on; its state is expired where its time is over."""
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        return cursor.execute(
            _RECOMMENDATIONS + b" AND model_name = %(task)s AND subject = %(subject)s AND state = 'pending'",
            {"tenant": tenant, "task": task, "subject": subject},
        ).fetchone()


def decided_last(connection: Connection[Any], tenant: str, task: str, subject: str) -> Recommendation | None:
    """The recommendation on a subject that people decided on last; None if they never did."""
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        return cursor.execute(
            _RECOMMENDATIONS + b" AND model_name = %(task)s AND subject = %(subject)s AND decided_by IS NOT NULL"
            b" ORDER BY decided_at DESC LIMIT 1",
            {"tenant": tenant, "task": task, "subject": subject},
        ).fetchone()


def recommend(
    connection: Connection[Any],
    tenant: str,
    task: str,
    subject: str,
    *,
    prediction: UUID,
    action: Mapping[str, Any],
    reason: str,
    until: datetime,
) -> UUID:
    """Write a recommendation down; returns its number. None may be open for the subject."""
    number = uuid4()
    connection.execute(
        "INSERT INTO recommendations (recommendation_id, tenant_id, model_name, subject, prediction_id, action, reason,"
        " expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [number, tenant, task, subject, prediction, Jsonb(action), reason, until],
    )
    return number


def decide(
    connection: Connection[Any],
    tenant: str,
    number: UUID,
    state: RecommendationState,
    *,
    who: str | None = None,
    why: str | None = None,
    approved: Mapping[str, Any] | None = None,
) -> None:
    """Write down what became of a recommendation."""
    connection.execute(
        "UPDATE recommendations SET state = %s, decided_at = clock_timestamp(), decided_by = %s, decided_why = %s,"
        " approved = %s WHERE tenant_id = %s AND recommendation_id = %s",
        [state, who, why, None if approved is None else Jsonb(approved), tenant, number],
    )


def recommendation(connection: Connection[Any], tenant: str, number: UUID, *, hold: bool = False) -> Recommendation:
    """A recommendation by its number, held until the transaction ends if `hold`; raises NotFound."""
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        found = cursor.execute(
            _RECOMMENDATIONS + b" AND recommendation_id = %(number)s" + (b" FOR UPDATE" if hold else b""),
            {"tenant": tenant, "number": number},
        ).fetchone()
    if found is None:
        raise NotFound(f"there is no recommendation {number}; foretell recommendations list shows them")
    return found


def recommendations(
    connection: Connection[Any], tenant: str, *, state: RecommendationState | None, limit: int, before: datetime | None
) -> Sequence[Recommendation]:
    """The last recommendations, newest first, of one state if it is given, made before a moment if one is."""
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        return cursor.execute(
            b"SELECT * FROM (" + _RECOMMENDATIONS + b") told WHERE (%(state)s::text IS NULL OR state = %(state)s)"
            b" AND (%(before)s::timestamptz IS NULL OR made_at < %(before)s)"
            b" ORDER BY made_at DESC, recommendation_id LIMIT %(limit)s",
            {"tenant": tenant, "state": state, "before": before, "limit": limit},
        ).fetchall()
