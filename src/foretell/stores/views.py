"""Views of facts for people and their tools: what holds now, and what each day came to.

They show what whoever asks may see: the policies of the tables below hold (`security_invoker`). A day is one of the
clocks that the tenant lives by now.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from foretell.contract import Table
from foretell.errors import BrokenDomain
from foretell.stores.access import APP, READER
from foretell.stores.shape import columns

NOW, DAILY = "now", "daily"
OF_A_DAY = ("avg", "min", "max", "sum")


def of(domain: str, table: Table) -> Iterator[sql.Composed]:
    """Everything that makes the views of a table, anew where they are there.

    `{table}_now` has the facts that no later revision corrects; `{table}_daily`, where the declaration names columns
    for it (`Table.daily`), has a row for each of whom the facts are about and each day: how many facts there are, and
    mean, least, most and sum of each column. Raises BrokenDomain for a column that has no such figures.
    """
    if wrong := [name for name in table.daily if table.kinds.get(name) not in ("number", "integer")]:
        raise BrokenDomain(f"{domain}.{table.name}: daily names {wrong[0]!r}, which is no column of numbers")
    name = sql.Identifier(domain, table.name)
    for suffix in (NOW, DAILY):
        yield sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(domain, f"{table.name}_{suffix}"))
    shown = sql.SQL(", ").join(sql.Identifier(each) for each in ("tenant_id", *columns(table), "recorded_at"))
    newest = sql.SQL("SELECT {} FROM {} WHERE replaced_at = 'infinity'").format(shown, name)
    yield from _made(domain, f"{table.name}_{NOW}", newest)
    if table.daily:
        yield from _made(domain, f"{table.name}_{DAILY}", _by_day(domain, table))


def _made(domain: str, name: str, query: sql.Composed) -> Iterator[sql.Composed]:
    view = sql.Identifier(domain, name)
    yield sql.SQL("CREATE VIEW {} WITH (security_invoker = true) AS {}").format(view, query)
    yield sql.SQL("GRANT SELECT ON {} TO {}").format(view, sql.SQL(", ").join(map(sql.Identifier, (APP, READER))))


def _by_day(domain: str, table: Table) -> sql.Composed:
    time = sql.Identifier(table.time)
    instant = table.kinds[table.time] == "instant"
    day = sql.SQL("({} AT TIME ZONE zone)::date" if instant else "{}").format(time)
    whom = [sql.Identifier(each) for each in table.entity]
    figures = [
        sql.SQL("{}({}) AS {}").format(sql.SQL(how), sql.Identifier(each), sql.Identifier(f"{each}_{how}"))
        for each in table.daily
        for how in OF_A_DAY
    ]
    return sql.SQL(
        "SELECT {}, count(*) AS facts, {} FROM {} JOIN tenant_zones USING (tenant_id)"
        " WHERE replaced_at = 'infinity' GROUP BY {}"
    ).format(
        sql.SQL(", ").join([sql.Identifier("tenant_id"), *whom, sql.SQL("{} AS day").format(day)]),
        sql.SQL(", ").join(figures),
        sql.Identifier(domain, table.name),
        sql.SQL(", ").join(sql.SQL(str(k + 1)) for k in range(len(whom) + 2)),
    )
