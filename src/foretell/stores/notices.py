"""What somebody should hear of: when it came up, and how it was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.contract import Finding, Severity
from foretell.errors import NotFound
from foretell.stores.records import Json

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What somebody should hear of: findings about a `subject` of a report, or about a task, a source, a kind of job.

    `sent` says to how many it went by which way; null, and with it `sent_at`, while it is not sent. `error` is why
    something could not be sent. Instants are UTC.
    """

    notice_id: UUID
    about: str
    subject: str
    severity: Severity
    findings: Sequence[Json]
    created_at: datetime
    sent_at: datetime | None
    sent: Mapping[str, int] | None
    error: str | None


_COLUMNS = ", ".join(Notice.__dataclass_fields__)


def told(connection: Connection[Any], tenant: str, about: str, subject: str, since: datetime) -> set[str]:
    """The kinds of findings that notices since then were about."""
    rows = connection.execute(
        "SELECT DISTINCT unnest(kinds) FROM notices"
        " WHERE tenant_id = %s AND about = %s AND subject = %s AND created_at > %s",
        [tenant, about, subject, since],
    ).fetchall()
    return {kind for (kind,) in rows}


def add(
    connection: Connection[Any], tenant: str, about: str, subject: str, findings: Sequence[Finding], now: datetime
) -> UUID:
    """Put a notice on record; its number."""
    number, gravest = uuid4(), max((one.severity for one in findings), key=SEVERITIES.index)
    connection.execute(
        "INSERT INTO notices (tenant_id, notice_id, about, subject, severity, kinds, findings, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            tenant, number, about, subject, gravest, [one.kind for one in findings],
            Jsonb([asdict(one) for one in findings]), now,
        ],
    )  # fmt: skip
    return number


def get(connection: Connection[Any], tenant: str, number: UUID) -> Notice:
    """A notice by its number; raises NotFound."""
    with connection.cursor(row_factory=class_row(Notice)) as cursor:
        query = f"SELECT {_COLUMNS} FROM notices WHERE tenant_id = %s AND notice_id = %s"  # noqa: S608 - our own names
        found = cursor.execute(query.encode(), [tenant, number]).fetchone()
    if found is None:
        raise NotFound(f"there is no notice {number}; type: foretell notices list")
    return found


def listed(connection: Connection[Any], tenant: str, *, before: datetime | None, limit: int) -> list[Notice]:
    """Notices, newest first; those that came up before a moment, where one is given."""
    query = (
        f"SELECT {_COLUMNS} FROM notices WHERE tenant_id = %(tenant)s"  # noqa: S608 - our own names
        " AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)"
        " ORDER BY created_at DESC, notice_id LIMIT %(limit)s"
    )
    with connection.cursor(row_factory=class_row(Notice)) as cursor:
        return cursor.execute(query.encode(), {"tenant": tenant, "before": before, "limit": limit}).fetchall()


def sent(
    connection: Connection[Any], tenant: str, number: UUID, to: Mapping[str, int], now: datetime, error: str | None
) -> None:
    """Say to how many a notice went by which way, and why something could not be sent."""
    connection.execute(
        "UPDATE notices SET sent = %s, sent_at = %s, error = %s WHERE tenant_id = %s AND notice_id = %s",
        [Jsonb(dict(to)), now, error, tenant, number],
    )


def clean(connection: Connection[Any], tenant: str, older: timedelta) -> int:
    """Forget the notices that came up longer ago; how many."""
    gone = connection.execute("DELETE FROM notices WHERE tenant_id = %s AND created_at < now() - %s", [tenant, older])
    return gone.rowcount
