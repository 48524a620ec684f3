"""Everybody's features, kept for a day (UTC) or until facts come that they are made of; and what they are like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, kw_only=True)
class Vector:
    """An entity's features; `about` says whom they are made of, by the columns that a task reads by."""

    entity_id: str
    about: Mapping[str, str]
    known_at: datetime | None
    feature_values: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """What a feature was like on a day; `drift` is of its mean, in standard deviations of then."""

    feature_name: str
    day: date
    counted: int
    null_rate: float
    mean_value: float | None
    std_dev: float | None
    min_value: float | None
    max_value: float | None
    drift: float | None = None


_STATISTIC = "feature_name, day, counted, null_rate, mean_value, std_dev, min_value, max_value, drift"


def find(
    connection: Connection[Any], tenant: str, task: str, form: str, day: date, entities: Sequence[str]
) -> dict[str, Vector]:
    """The vectors that hold on a day, of these entities."""
    with connection.cursor(row_factory=class_row(Vector)) as cursor:
        found = cursor.execute(
            "SELECT entity_id, about, known_at, feature_values FROM ml_feature_values"
            " WHERE tenant_id = %s AND task = %s AND form = %s AND day = %s AND entity_id = ANY(%s)",
            [tenant, task, form, day, list(entities)],
        )
        return {one.entity_id: one for one in found}


def still(connection: Connection[Any], tenant: str, marks: Mapping[str, int]) -> bool:
    """Whether nothing has come into these tables since; nothing will before the transaction ends.

    False, too, while somebody else is bringing something.
    """
    rows = connection.execute(
        "SELECT table_name, mark FROM data_marks WHERE tenant_id = %s AND table_name = ANY(%s) FOR SHARE SKIP LOCKED",
        [tenant, list(marks)],
    ).fetchall()
    return dict(rows) == {name: mark for name, mark in marks.items() if mark}


def keep(connection: Connection[Any], tenant: str, task: str, form: str, day: date, rows: Iterable[Vector]) -> None:
    """Keep vectors that hold on a day, in the place of older ones."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ml_feature_values (tenant_id, task, entity_id, form, day, about, known_at, feature_values)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (tenant_id, task, entity_id) DO UPDATE SET"
            " form = excluded.form, day = excluded.day, about = excluded.about, known_at = excluded.known_at,"
            " feature_values = excluded.feature_values, computed_at = now()",
            [
                (tenant, task, one.entity_id, form, day, Jsonb(one.about), one.known_at, Jsonb(one.feature_values))
                for one in rows
            ],
        )


def forget(connection: Connection[Any], tenant: str, task: str, by: str, values: Sequence[str]) -> None:
    """Forget the vectors that are made of facts about these, by the column that a task reads by."""
    column = "entity_id" if by == "entity" else "about->>%(by)s"
    connection.execute(
        "DELETE FROM ml_feature_values WHERE tenant_id = %(tenant)s AND task = %(task)s"  # noqa: S608 - our own words
        f" AND {column} = ANY(%(values)s)",
        {"tenant": tenant, "task": task, "by": by, "values": list(values)},
    )


def forget_all(connection: Connection[Any], tenant: str, task: str) -> None:
    """Forget every vector of a task."""
    connection.execute("DELETE FROM ml_feature_values WHERE tenant_id = %s AND task = %s", [tenant, task])


LIKE = ("counted", "null_rate", "mean_value", "std_dev", "min_value", "max_value", "drift")
DEFINED = (
    "category", "part", "feature_type", "data_type", "entity_type", "description", "computation", "version", "owner",
    "is_deprecated",
)  # fmt: skip
WORTH = ("importance", "model_version")


def tell(
    connection: Connection[Any],
    tenant: str,
    task: str,
    rows: Sequence[Statistic],
    defined: Mapping[str, Mapping[str, Any]],
    worth: tuple[str | None, Mapping[str, float]],
) -> None:
    """Put on record what features are like, what they are (`DEFINED`, by name), and their worth to a model's version.

    Of a day the last look counts.
    """
    columns = (*LIKE, *DEFINED, *WORTH)
    version, weights = worth
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO ml_features (tenant_id, task, feature_name, day, {', '.join(columns)})"  # noqa: S608
            f" VALUES (%(tenant)s, %(task)s, %(feature_name)s, %(day)s, {', '.join(f'%({name})s' for name in columns)})"
            " ON CONFLICT (tenant_id, task, feature_name, day) DO UPDATE SET"
            f" {', '.join(f'{name} = excluded.{name}' for name in columns)}, last_updated = now()",
            [
                {
                    "tenant": tenant, "task": task, **vars(one), **defined[one.feature_name],
                    "importance": weights.get(one.feature_name), "model_version": version,
                }
                for one in rows
            ],
        )  # fmt: skip


def importance(connection: Connection[Any], tenant: str, task: str, version: str) -> dict[str, float]:
    """What each feature was found to be worth to a version of a task's model, where it is on record."""
    found = connection.execute(
        "SELECT DISTINCT ON (feature_name) feature_name, importance FROM ml_features WHERE tenant_id = %s AND task = %s"
        " AND model_version = %s AND importance IS NOT NULL ORDER BY feature_name, day DESC",
        [tenant, task, version],
    )
    return dict(found.fetchall())


def earlier(connection: Connection[Any], tenant: str, task: str, day: date) -> dict[str, Statistic]:
    """What each of a task's features was like on the oldest of the thirty days before one, of those it was seen on."""
    with connection.cursor(row_factory=class_row(Statistic)) as cursor:
        found = cursor.execute(
            f"SELECT DISTINCT ON (feature_name) {_STATISTIC} FROM ml_features"  # noqa: S608 - our own names
            " WHERE tenant_id = %(tenant)s AND task = %(task)s AND day < %(day)s AND day >= %(day)s::date - 30"
            " ORDER BY feature_name, day",
            {"tenant": tenant, "task": task, "day": day},
        )
        return {one.feature_name: one for one in found}


def statistics(connection: Connection[Any], tenant: str, task: str, since: date) -> list[Statistic]:
    """What a task's features were like, day by day since one, in the order of days and names."""
    with connection.cursor(row_factory=class_row(Statistic)) as cursor:
        return cursor.execute(
            f"SELECT {_STATISTIC} FROM ml_features"  # noqa: S608 - our own names
            " WHERE tenant_id = %s AND task = %s AND day >= %s ORDER BY day, feature_name",
            [tenant, task, since],
        ).fetchall()
