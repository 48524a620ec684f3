"""What is looked at every week: the three queries of the real-estate document, in typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row


@dataclass(frozen=True, kw_only=True)
class FeatureQuality:
    """What a task's feature was like when it was last looked at; `worst_null_rate` is that of its worst day."""

    task: str
    feature_name: str
    day: date
    null_rate: float
    worst_null_rate: float
    mean_value: float | None
    std_dev: float | None
    drift: float | None


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What a version said: requests, predictions in them, how sure it was and how long it took on average.

    `turned_out` are the metrics when the task's served forecasts, of all versions, were last compared with what
    happened; None where that was not done.
    """

    model_name: str
    version: str
    request_count: int
    prediction_count: int
    avg_confidence: float | None
    avg_latency_ms: float | None
    turned_out: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """A day on which features of a task had drifted, by how many standard deviations, of so many entities."""

    model_id: str
    period_start: datetime
    entities: int
    feature_drift: Mapping[str, float]


def quality(connection: Connection[Any], tenant: str, since: datetime) -> list[FeatureQuality]:
    """Every feature that was looked at since a moment, the worst null rate first."""
    with connection.cursor(row_factory=class_row(FeatureQuality)) as cursor:
        return cursor.execute(
            "SELECT * FROM (SELECT DISTINCT ON (task, feature_name) task, feature_name, day, null_rate,"
            " max(null_rate) OVER (PARTITION BY task, feature_name) AS worst_null_rate, mean_value, std_dev, drift"
            " FROM ml_features WHERE tenant_id = %s AND last_updated >= %s"
            " ORDER BY task, feature_name, day DESC) newest ORDER BY worst_null_rate DESC, task, feature_name",
            [tenant, since],
        ).fetchall()


def performance(connection: Connection[Any], tenant: str, since: datetime) -> list[Performance]:
    """Every version that was asked since a moment, by model, the most asked first."""
    with connection.cursor(row_factory=class_row(Performance)) as cursor:
        return cursor.execute(
            "SELECT p.*, m.metrics AS turned_out FROM (SELECT model_name, version, count(*) AS request_count,"
            " sum(prediction_count) AS prediction_count, avg(confidence) AS avg_confidence,"
            " avg(latency_ms) AS avg_latency_ms FROM ml_predictions"
            " WHERE tenant_id = %(tenant)s AND predicted_at >= %(since)s GROUP BY model_name, version) p"
            " LEFT JOIN LATERAL (SELECT metrics FROM ml_monitoring WHERE tenant_id = %(tenant)s"
            " AND model_id = p.model_name AND feature_drift IS NULL AND created_at >= %(since)s"
            " ORDER BY monitoring_id DESC LIMIT 1) m ON true ORDER BY p.model_name, p.prediction_count DESC, p.version",
            {"tenant": tenant, "since": since},
        ).fetchall()


def drifted(connection: Connection[Any], tenant: str, since: datetime) -> list[Drifted]:
    """Every day since a moment on which features had drifted, as they were last looked at, the newest first."""
    with connection.cursor(row_factory=class_row(Drifted)) as cursor:
        return cursor.execute(
            "SELECT model_id, period_start, entities, feature_drift FROM (SELECT DISTINCT ON (model_id, period_start)"
            " model_id, period_start, prediction_count AS entities, drift_detected, feature_drift FROM ml_monitoring"
            " WHERE tenant_id = %s AND period_start >= %s AND feature_drift IS NOT NULL"
            " ORDER BY model_id, period_start, monitoring_id DESC) last"
            " WHERE drift_detected ORDER BY period_start DESC, model_id",
            [tenant, since],
        ).fetchall()
