"""Rows that broke a rule, kept apart with it for a human: to be mended and taken in again, or erased."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
from psycopg import Connection, sql

from foretell.contract import DTYPES, Frame

KEPT = 10_000  # rejected rows of a table that are kept for a tenant; more are counted, not kept


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where rows come from, and how they were read: their zone, and how long a value stands for."""

    source: str
    zone: str
    interval: timedelta | None


def reject(connection: Connection[Any], tenant: str, name: str, rejected: Frame, origin: Origin) -> int:
    """Keep rejected rows (`rule`, `original`) of a table for a human; returns how many are kept anew.

    The same row rejected again changes nothing; beyond `KEPT` of a tenant's table none is kept.
    """
    if rejected.is_empty():
        return 0
    rows = [
        (named(name, rule, original), rule, original)
        for rule, original in rejected.select("rule", "original").unique(maintain_order=True).iter_rows()
    ]
    fingerprints, rules, originals = zip(*rows, strict=True)
    return connection.execute(
        "INSERT INTO quarantine (tenant_id, table_name, fingerprint, rule, original, source, zone, seconds)"
        " SELECT %(tenant)s, %(name)s, f, r, o, %(source)s, %(zone)s, %(seconds)s"
        " FROM unnest(%(f)s::text[], %(r)s::text[], %(o)s::text[]) u(f, r, o)"
        " WHERE NOT EXISTS (SELECT FROM quarantine q"
        " WHERE q.tenant_id = %(tenant)s AND q.table_name = %(name)s AND q.fingerprint = f)"
        " LIMIT greatest(0, %(kept)s - (SELECT count(*) FROM quarantine"
        " WHERE tenant_id = %(tenant)s AND table_name = %(name)s))"
        " ON CONFLICT DO NOTHING",
        {
            "tenant": tenant,
            "name": name,
            "source": origin.source,
            "zone": origin.zone,
            "seconds": origin.interval.total_seconds() if origin.interval else None,
            "kept": KEPT,
            "f": list(fingerprints),
            "r": list(rules),
            "o": list(originals),
        },
    ).rowcount


def named(name: str, rule: str, original: str) -> str:
    """The fingerprint of a rejected row of a table."""
    return hashlib.sha256(f"{name}\n{rule}\n{original}".encode()).hexdigest()


def quarantined(connection: Connection[Any], tenant: str, name: str | None = None) -> Frame:
    """What is in a tenant's quarantine, oldest first.

    Columns: `table_name`, `rule`, `original`, `source`, `zone`, `seconds` (how long a value stands for), `first_seen`
    (UTC) and `fingerprint`, which names the row.
    """
    names = ["table_name", "rule", "original", "source", "zone", "seconds", "first_seen", "fingerprint"]
    told = connection.execute(
        sql.SQL(
            "SELECT {} FROM quarantine WHERE tenant_id = %s AND (%s::text IS NULL OR table_name = %s)"
            " ORDER BY first_seen, fingerprint"
        ).format(sql.SQL(", ").join(map(sql.Identifier, names))),
        [tenant, name, name],
    ).fetchall()
    schema = dict.fromkeys(names, pl.String()) | {"first_seen": DTYPES["instant"], "seconds": pl.Float64()}
    return pl.DataFrame(told, schema=schema, orient="row")


def release(connection: Connection[Any], tenant: str, fingerprints: Sequence[str]) -> int:
    """Take rows out of a tenant's quarantine; returns how many there were."""
    return connection.execute(
        "DELETE FROM quarantine WHERE tenant_id = %s AND fingerprint = ANY(%s)", [tenant, list(fingerprints)]
    ).rowcount
