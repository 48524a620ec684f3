"""Imports on record, batch by batch, and how one is taken back.

A batch's revisions are told by the moment they bear, which no other batch of the tenant's table has. What holds of a
fact is its newest revision among those that no import recorded which was taken back: taking one back ends revisions and
copies older ones, so that what was on record at any moment can still be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import ClientCursor, Connection, sql
from psycopg.rows import class_row

from foretell.contract import Table
from foretell.errors import NotFound, Refused
from foretell.stores.facts import Written, moved, names, same_fact, table_name, turn
from foretell.stores.quarantine import Origin
from foretell.stores.shape import columns, identity


@dataclass(frozen=True, kw_only=True)
class Import:
    """What an import brought into a table, all its batches together; null while it is not taken back.

    `at` is when its first batch came (UTC), `zone` what clock times without an offset were read as.
    """

    import_id: UUID
    table: str
    at: datetime
    who: str
    source: str
    zone: str
    accepted: int
    revised: int
    unchanged: int
    rejected: int
    undone_at: datetime | None
    undone_by: str | None


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What became of the facts of an import that was taken back.

    `removed` are gone, `restored` are again what they were, `stayed` what a later import made of them. `released` rows
    that it had put into quarantine are there no more.
    """

    import_id: UUID
    table: str
    removed: int
    restored: int
    stayed: int
    released: int


def put(
    connection: Connection[Any], tenant: str, number: UUID, name: str, who: str, origin: Origin, done: Written, bad: int
) -> None:
    """Put a batch that was just written on record, in the transaction that wrote it.

    Raises Refused where the import was taken back while it was running.
    """
    made = connection.execute(
        "INSERT INTO imports (tenant_id, import_id, table_name, who, source, zone, accepted, revised, unchanged,"
        " rejected, recorded_at) SELECT tenant_id, %(number)s, table_name, %(who)s, %(source)s, %(zone)s, %(accepted)s,"
        " %(revised)s, %(unchanged)s, %(bad)s, CASE WHEN %(accepted)s + %(revised)s > 0 THEN recorded_at END"
        " FROM data_marks WHERE tenant_id = %(tenant)s AND table_name = %(name)s AND NOT EXISTS (SELECT FROM imports"
        " WHERE tenant_id = %(tenant)s AND import_id = %(number)s AND undone_at IS NOT NULL)",
        {
            "tenant": tenant, "number": number, "name": name, "who": who, "source": origin.source, "zone": origin.zone,
            "bad": bad, **vars(done),
        },
    )  # fmt: skip
    if not made.rowcount:
        raise Refused(f"import {number} into {name} was taken back while it was running; nothing more of it goes in")


def listed(
    connection: Connection[Any], tenant: str, *, name: str | None = None, number: UUID | None = None, limit: int = 1
) -> list[Import]:
    """The last imports of a tenant, newest first: those into a table, or the one with a number, where that is given."""
    with connection.cursor(row_factory=class_row(Import)) as cursor:
        return cursor.execute(
            'SELECT import_id, table_name AS "table", min(at) AS at, min(who) AS who,'
            " string_agg(DISTINCT source, ', ') AS source, string_agg(DISTINCT zone, ', ') AS zone,"
            " sum(accepted)::int8 AS accepted, sum(revised)::int8 AS revised, sum(unchanged)::int8 AS unchanged,"
            " sum(rejected)::int8 AS rejected, min(undone_at) AS undone_at, min(undone_by) AS undone_by"
            " FROM imports WHERE tenant_id = %(tenant)s AND (%(name)s::text IS NULL OR table_name = %(name)s)"
            " AND (%(number)s::uuid IS NULL OR import_id = %(number)s)"
            " GROUP BY import_id, table_name ORDER BY min(batch_id) DESC LIMIT %(limit)s",
            {"tenant": tenant, "name": name, "number": number, "limit": limit},
        ).fetchall()


def clean(connection: Connection[Any], tenant: str, older: timedelta) -> int:
    """Forget imports that are older; those that were taken back stay, for their revisions count for nothing."""
    return connection.execute(
        "DELETE FROM imports WHERE tenant_id = %s AND undone_at IS NULL AND at < now() - %s", [tenant, older]
    ).rowcount


def take_back(connection: Connection[Any], tenant: str, domain: str, table: Table, number: UUID, who: str) -> Undone:
    """Take an import into a table back, in the connection's transaction; what became of its facts.

    A fact whose newest revision is the import's is again what it was before, or gone; one that a later import revised
    stays. The data mark moves. Raises NotFound for no such import, Refused for one that was taken back already.
    """
    name = f"{domain}.{table.name}"
    recorded = turn(connection, tenant, name)  # from now on no batch comes in between
    found = listed(connection, tenant, name=name, number=number)
    if not found:
        raise NotFound(f"there is no import {number} into {name}")
    if found[0].undone_at:
        by = f"at {found[0].undone_at:%Y-%m-%d %H:%M:%S %Z} by {found[0].undone_by}"
        raise Refused(f"import {number} into {name} was taken back already, {by}; it can be imported again")
    connection.execute(
        "UPDATE imports SET undone_at = %s, undone_by = %s WHERE tenant_id = %s AND import_id = %s",
        [recorded, who, tenant, number],
    )
    removed, restored, stayed = _revert(connection, tenant, domain, table, number, recorded)
    moved(connection, tenant, name, recorded)
    values = {"tenant": tenant, "name": name, "number": number}
    released = connection.execute(
        "DELETE FROM quarantine WHERE tenant_id = %(tenant)s AND table_name = %(name)s AND first_seen IN"
        " (SELECT at FROM imports WHERE tenant_id = %(tenant)s AND import_id = %(number)s)",
        values,
    ).rowcount
    # What a request with a key was told holds no longer: that it brought these rows, or that they were there already.
    connection.execute(
        "DELETE FROM answered a USING imports i WHERE a.tenant_id = %(tenant)s AND i.tenant_id = %(tenant)s"
        " AND a.answered_at > now() - interval '1 day' AND a.answer->>'import_id' = i.import_id::text"
        " AND i.table_name = %(name)s AND (i.import_id = %(number)s OR i.unchanged > 0)",
        values,
    )
    return Undone(
        import_id=number, table=name, removed=removed, restored=restored, stayed=stayed, released=released
    )  # fmt: skip


def _revert(
    connection: Connection[Any], tenant: str, domain: str, table: Table, number: UUID, recorded: datetime
) -> tuple[int, int, int]:
    """Let each fact that an import recorded be what it is without it: how many are gone, are as before, stay."""
    named, key = table_name(domain, table), names(identity(table))
    own = "SELECT recorded_at FROM imports WHERE tenant_id = %s AND import_id = %s AND recorded_at IS NOT NULL"
    # Copies that were made when an import was taken back count for nothing either: what they are copies of does.
    void = (
        "SELECT unnest(ARRAY[recorded_at, undone_at]) FROM imports WHERE tenant_id = %s AND table_name = %s"
        " AND undone_at IS NOT NULL AND recorded_at IS NOT NULL"
    )
    values = {
        "tenant": tenant, "recorded": recorded,
        "own": [moment for (moment,) in connection.execute(own, [tenant, number])],
        "void": [moment for (moment,) in connection.execute(void, [tenant, f"{domain}.{table.name}"])],
    }  # fmt: skip
    if not values["own"]:
        return 0, 0, 0
    kept, plain = names([*columns(table)]), ClientCursor(connection)  # such statements take no parameters from outside
    touched = plain.execute(
        sql.SQL(
            "CREATE TEMP TABLE touched ON COMMIT DROP AS SELECT DISTINCT {} FROM {}"
            " WHERE tenant_id = %(tenant)s AND recorded_at = ANY(%(own)s)"
        ).format(key, named),
        values,
    ).rowcount
    connection.execute("ANALYZE touched")
    plain.execute(
        sql.SQL(
            "CREATE TEMP TABLE due ON COMMIT DROP AS SELECT DISTINCT ON ({key}) {kept} FROM {table} JOIN touched"
            " USING ({key}) WHERE tenant_id = %(tenant)s AND recorded_at <> ALL(%(void)s)"
            " ORDER BY {key}, recorded_at DESC"
        ).format(key=key, kept=kept, table=named),
        values,
    )
    connection.execute("ANALYZE due")
    differs = sql.SQL(" OR ").join(
        sql.SQL("t.{0} IS DISTINCT FROM d.{0}").format(sql.Identifier(each)) for each in columns(table)
    )
    ended = connection.execute(
        sql.SQL(
            "UPDATE {table} t SET replaced_at = %(recorded)s FROM touched i LEFT JOIN due d USING ({key})"
            " WHERE {same} AND ({differs})"  # a later import's is what is due itself
        ).format(table=named, key=key, same=same_fact(table), differs=differs),
        values,
    ).rowcount
    restored = connection.execute(
        sql.SQL(
            "INSERT INTO {table} (tenant_id, {kept}, recorded_at, replaced_at)"
            " SELECT %(tenant)s, {kept}, %(recorded)s, 'infinity' FROM due i"
            " WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same})"
        ).format(table=named, kept=kept, same=same_fact(table)),
        values,
    ).rowcount
    connection.execute("DROP TABLE touched, due")
    return ended - restored, restored, touched - ended
