"""What reports found amiss: since when, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.contract import Finding, Severity
from foretell.stores.records import Json

LIST = (
    "SELECT anomaly_id, report, subject, anomaly_type, severity, description, evidence, detected_at, seen_at,"
    " resolved_at FROM ml_anomaly_detections WHERE tenant_id = %(tenant)s AND report = %(report)s"
    " AND (%(subject)s::text IS NULL OR subject = %(subject)s) AND (%(every)s OR resolved_at IS NULL)"
    " ORDER BY detected_at DESC, anomaly_type"
)
KEEP = (
    "INSERT INTO ml_anomaly_detections (tenant_id, anomaly_id, report, subject, anomaly_type, severity,"
    " description, evidence, detected_at, seen_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (tenant_id, report, subject, anomaly_type) WHERE resolved_at IS NULL DO UPDATE SET"
    " severity = excluded.severity, description = excluded.description, evidence = excluded.evidence,"
    " seen_at = excluded.seen_at"
)


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """Something amiss with a subject; open while `resolved_at` is null. Instants are UTC."""

    anomaly_id: UUID
    report: str
    subject: str
    anomaly_type: str
    severity: Severity
    description: str
    evidence: Json
    detected_at: datetime
    seen_at: datetime
    resolved_at: datetime | None


def found(
    connection: Connection[Any], tenant: str, report: str, subject: str, findings: Sequence[Finding], now: datetime
) -> list[Anomaly]:
    """Put on record what a report finds amiss with a subject now; what it no longer finds is resolved.

    There is one open anomaly of a kind and subject; found again, it is told anew and keeps the time it was first
    detected at. Returns those that are open now.
    """
    kinds = [one.kind for one in findings]
    connection.execute(
        "UPDATE ml_anomaly_detections SET resolved_at = %s WHERE tenant_id = %s AND report = %s AND subject = %s"
        " AND resolved_at IS NULL AND NOT anomaly_type = ANY(%s)",
        [now, tenant, report, subject, kinds],
    )
    connection.cursor().executemany(
        KEEP,
        [
            (tenant, uuid4(), report, subject, one.kind, one.severity, one.words, Jsonb(dict(one.evidence)), now, now)
            for one in findings
        ],
    )
    return listed(connection, tenant, report=report, subject=subject)


def listed(
    connection: Connection[Any], tenant: str, *, report: str, subject: str | None = None, every: bool = False
) -> list[Anomaly]:
    """The anomalies of a report that are open, or with `every` all there were; of one subject, or all. Newest first."""
    with connection.cursor(row_factory=class_row(Anomaly)) as cursor:
        asked = {"tenant": tenant, "report": report, "subject": subject, "every": every}
        return cursor.execute(LIST, asked).fetchall()
