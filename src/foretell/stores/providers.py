"""Whoever is asked for facts, of all tenants and processes together: what was spent of a quota, and who rests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

FAILURES = 3  # in a row, after which a provider is left alone
REST = timedelta(minutes=15)  # at first; each further failure doubles it
LONGEST = timedelta(hours=6)

SPEND = (
    "INSERT INTO providers AS p (provider, day, spent) VALUES (%(provider)s, %(day)s, %(cost)s)"
    " ON CONFLICT (provider) DO UPDATE SET day = excluded.day,"
    " spent = CASE WHEN p.day = excluded.day THEN p.spent ELSE 0 END + excluded.spent"
    " WHERE coalesce(p.rests_until <= %(now)s, true)"
    " AND CASE WHEN p.day = excluded.day THEN p.spent ELSE 0 END + excluded.spent <= %(quota)s"
)
FAILED = (
    "UPDATE providers SET failures = failures + 1, rests_until = greatest(%(least)s,"
    " CASE WHEN failures + 1 >= %(failures)s THEN %(now)s + least(%(longest)s, %(rest)s *"
    " power(2, least(failures + 1 - %(failures)s, 10))) END) WHERE provider = %(provider)s RETURNING rests_until"
)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What is known of a provider: what was spent on a day (UTC), failures in a row, and until when it is let rest."""

    day: date
    spent: float
    failures: int
    rests_until: datetime | None


def spend(connection: Connection[Any], provider: str, *, cost: float, quota: float, now: datetime) -> bool:
    """Take `cost` off the day's quota; False, and nothing is taken, where too little is left or the provider rests."""
    values = {"provider": provider, "day": now.date(), "cost": cost, "quota": quota, "now": now}
    return connection.execute(SPEND, values).rowcount == 1


def failed(connection: Connection[Any], provider: str, *, now: datetime, later: timedelta | None) -> datetime | None:
    """A request failed for good. After `FAILURES` in a row, or where it said how much `later`, the provider rests.

    Until when it rests is returned; None where it does not.
    """
    values = {"provider": provider, "now": now, "least": now + later if later else None, "failures": FAILURES}
    row = connection.execute(FAILED, values | {"rest": REST, "longest": LONGEST}).fetchone()
    return row[0] if row and row[0] and row[0] > now else None


def answered(connection: Connection[Any], provider: str) -> None:
    """A provider answered: its failures are forgotten."""
    connection.execute(
        "UPDATE providers SET failures = 0, rests_until = NULL WHERE provider = %s AND failures > 0", [provider]
    )


def known(connection: Connection[Any], provider: str) -> Provider | None:
    """What is known of a provider; None of one that was never asked."""
    with connection.cursor(row_factory=class_row(Provider)) as cursor:
        told = "SELECT day, spent, failures, rests_until FROM providers WHERE provider = %s"
        return cursor.execute(told, [provider]).fetchone()
