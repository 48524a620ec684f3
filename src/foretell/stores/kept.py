"""Answers that are given again for a while: which prediction of the ledger answers which request, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.contract import Table
from foretell.stores.facts import table_name
from foretell.stores.records import Json

SWEPT = 1000  # answers that are let go at once


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Which prediction it is, and what it rests on beyond the ledger.

    `seen` says up to which moment each table that it read had been recorded, in ISO 8601; null for an empty one. `card`
    is the model's, where that is kept nowhere else; `known_at` when the newest fact behind it became known.
    """

    request_hash: str
    prediction_id: UUID
    seen: Mapping[str, str | None]
    card: Json | None
    known_at: datetime | None


Row = tuple[str, UUID | None, Json, Json | None, datetime | None]
"""Of an answer that is to be kept: hash, prediction, seen, card, known_at."""


def find(connection: Connection[Any], tenant: str, hashes: Sequence[str]) -> dict[str, Kept]:
    """The answers that are kept to these requests, by hash."""
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        found = cursor.execute(
            "SELECT request_hash, prediction_id, seen, card, known_at FROM kept_answers"
            " WHERE tenant_id = %s AND request_hash = ANY(%s) AND kept_until > now()",
            [tenant, list(hashes)],
        )
        return {one.request_hash: one for one in found.fetchall()}


def keep(connection: Connection[Any], tenant: str, lasting: timedelta, kept: Sequence[Row]) -> None:
    """Keep answers for so long from now on, and sweep."""
    connection.cursor().executemany(
        "INSERT INTO kept_answers VALUES (%s, %s, %s, now() + %s, %s, %s, %s) ON CONFLICT (tenant_id, request_hash)"
        " DO UPDATE SET prediction_id = excluded.prediction_id, kept_until = excluded.kept_until,"
        " seen = excluded.seen, card = excluded.card, known_at = excluded.known_at",
        [
            [tenant, name, number, lasting, Jsonb(seen), None if card is None else Jsonb(card), known_at]
            for name, number, seen, card, known_at in sorted(kept, key=lambda each: each[0])
        ],
    )
    sweep(connection, tenant)


def sweep(connection: Connection[Any], tenant: str) -> None:
    """Let go of answers whose time is over."""
    connection.execute(
        "DELETE FROM kept_answers WHERE (tenant_id, request_hash) IN (SELECT tenant_id, request_hash FROM kept_answers"
        " WHERE tenant_id = %s AND kept_until <= now() LIMIT %s FOR UPDATE SKIP LOCKED)",
        [tenant, SWEPT],
    )


def recorded(connection: Connection[Any], tenant: str, tables: Sequence[str]) -> dict[str, str]:
    """Up to which moment facts of these tables are on record, as this transaction sees them; without the empty ones."""
    rows = connection.execute(
        "SELECT table_name, recorded_at FROM data_marks WHERE tenant_id = %s AND table_name = ANY(%s)",
        [tenant, list(tables)],
    )
    return {name: moment.isoformat() for name, moment in rows.fetchall()}


def changed(
    connection: Connection[Any], tenant: str, domain: str, table: Table, since: str, only: Mapping[str, Sequence[str]]
) -> bool:
    """Whether facts of a table were recorded or ended after a moment: those whose columns have a value in `only`."""
    these = [
        sql.SQL(" AND {} = ANY({})").format(sql.Identifier(name), sql.Placeholder(f"only_{name}")) for name in only
    ]
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM {} WHERE tenant_id = %(tenant)s AND (recorded_at > %(since)s::timestamptz"
        " OR replaced_at > %(since)s::timestamptz AND replaced_at < 'infinity'){})"
    ).format(table_name(domain, table), sql.Composed(these))
    values = {"tenant": tenant, "since": since} | {f"only_{column}": list(some) for column, some in only.items()}
    row = connection.execute(query, values).fetchone()
    return bool(row and row[0])
