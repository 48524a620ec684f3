"""A domain's tables, made from their declarations: `traffic.metrics` is the table `metrics` in the schema `traffic`.

Beside the declared columns each has `tenant_id`, `entity` where one is declared, `known_at`, and the two times of a
revision: it holds from `recorded_at` until `replaced_at`, which is infinity while it is the newest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex, CreateTable

from foretell.contract import Kind, Table
from foretell.errors import BrokenDomain, Misconfigured
from foretell.stores import views
from foretell.stores.access import APP, ERASER, OPERATOR, READER, closed
from foretell.stores.shape import by_time, columns, filled, fingerprint, form, identity

TYPES: dict[Kind, Any] = {
    "text": sa.Text(),
    "number": sa.Double(),
    "integer": sa.BigInteger(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "instant": sa.DateTime(timezone=True),
    "object": JSONB(),
}
DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
LONGEST = 25  # characters: two of them go into the name of an index, which has at most 63
OURS = ("tenant_id", "entity", "known_at", "recorded_at", "replaced_at")
YEARS = range(2015, 2036)  # those with a part of their own; what lies outside goes into one for the rest


def built(domain: str, table: Table) -> sa.Table:
    """The table of a declaration. Raises BrokenDomain where it declares a column that is ours."""
    if taken := sorted(({*table.kinds} & {*OURS}) - {table.known_at or "", *table.entity}):
        raise BrokenDomain(f"{domain}.{table.name}: {', '.join(taken)} can't be a column of its own")
    if table.yearly and table.time not in table.key:
        raise BrokenDomain(f"{domain}.{table.name}: a yearly table needs its time, {table.time}, in its key")
    if wrong := [name for name in table.persons if table.kinds.get(name) != "text" or _part(table, name)]:
        raise BrokenDomain(
            f"{domain}.{table.name}: persons names {wrong[0]!r}, which must be a column of texts, and no part of an"
            " entity of several columns"
        )
    if max(len(name) for name in (table.name, *table.entity)) > LONGEST:
        raise BrokenDomain(f"{domain}.{table.name}: names have at most {LONGEST} characters")
    always = filled(table)
    made = [sa.Column("tenant_id", sa.Text, nullable=False)]
    made += [sa.Column(name, TYPES[kind], nullable=name not in always) for name, kind in columns(table).items()]
    made += [sa.Column(name, TYPES["instant"], nullable=False) for name in ("recorded_at", "replaced_at")]
    out = sa.Table(
        table.name,
        sa.MetaData(),
        *made,
        sa.PrimaryKeyConstraint("tenant_id", *identity(table), "replaced_at"),
        schema=domain,
        postgresql_partition_by=f'RANGE ("{table.time}")' if table.yearly else None,
    )
    tenant, newest = out.c.tenant_id, out.c[table.time].desc()
    if not by_time(table):
        whom = ["entity"] if table.entity else []
        sa.Index(f"idx_{table.name}_known", tenant, *(out.c[name] for name in whom), out.c.known_at)
    sa.Index(f"idx_{table.name}_tenant_time", tenant, newest)
    for name in table.entity[1:]:
        sa.Index(f"idx_{table.name}_tenant_{name}", tenant, out.c[name], newest)
    return out


def _part(table: Table, name: str) -> bool:
    return name in table.entity and len(table.entity) > 1


def make(connection: sa.Connection, domain: str, table: Table) -> None:
    """Make a table, or add the columns that its declaration has gained.

    Raises Misconfigured where a column has changed its type, its need of a value, or is gone: such a change needs a new
    table name.
    """
    inspector = sa.inspect(connection)
    if domain not in inspector.get_schema_names():
        connection.exec_driver_sql(f'CREATE SCHEMA "{domain}"')
        connection.exec_driver_sql(f'GRANT USAGE ON SCHEMA "{domain}" TO {APP}, {READER}, {OPERATOR}, {ERASER}')
    if inspector.has_table(table.name, schema=domain):
        _grow(connection, inspector.get_columns(table.name, schema=domain), domain, table)
    else:
        for statement in _statements(domain, table):
            connection.exec_driver_sql(statement)
    for statement in _erasable(f'"{domain}"."{table.name}"', table):
        connection.exec_driver_sql(statement)
    for view in views.of(domain, table):
        connection.exec_driver_sql(view.as_string())
    connection.exec_driver_sql(
        "INSERT INTO declared_tables VALUES (%s, %s, %s, %s) ON CONFLICT (domain, name)"
        " DO UPDATE SET fingerprint = excluded.fingerprint",
        (domain, table.name, fingerprint(table), form(table)),
    )


def _grow(connection: sa.Connection, there: Sequence[Any], domain: str, table: Table) -> None:
    wanted, name = built(domain, table), f'"{domain}"."{table.name}"'
    old = {str(column["name"]): _told(column["type"], column["nullable"]) for column in there}
    new = {column.name: _told(column.type, column.nullable) for column in wanted.columns}
    was = connection.exec_driver_sql(
        "SELECT form FROM declared_tables WHERE domain = %s AND name = %s", (domain, table.name)
    ).scalar()
    if was != form(table):
        raise Misconfigured(
            f"{domain}.{table.name} has changed its key, entity, time, lateness or layout; stored rows can't follow:"
            " give the new form a name of its own"
        )
    changed = [each for each, told in old.items() if new.get(each) != told]
    if changed or any(not wanted.c[each].nullable for each in new.keys() - old.keys()):
        raise Misconfigured(
            f"{domain}.{table.name} has changed its columns {', '.join(changed) or 'that need a value'}; stored rows"
            " can't follow: give the new form a name of its own, or let new columns have no value"
        )
    for each in new.keys() - old.keys():
        connection.exec_driver_sql(f'ALTER TABLE {name} ADD COLUMN "{each}" {new[each][0]}')


def _told(kind: Any, nullable: bool | None) -> tuple[str, bool]:
    return str(kind.compile(DIALECT)), bool(nullable)


def _statements(domain: str, table: Table) -> Iterator[str]:
    """Everything that makes a table, in order; rights are granted on it alone, never on its parts."""
    made, name = built(domain, table), f'"{domain}"."{table.name}"'
    yield str(CreateTable(made).compile(dialect=DIALECT))
    yield closed(name)
    for index in sorted(made.indexes, key=lambda each: str(each.name)):
        yield str(CreateIndex(index).compile(dialect=DIALECT))
    if table.yearly:
        for part, bounds in _parts(table.name):
            yield f'CREATE TABLE "{domain}"."{part}" PARTITION OF {name} {bounds}'
            yield closed(f'"{domain}"."{part}"')
    yield f"GRANT SELECT, INSERT, UPDATE (replaced_at) ON {name} TO {APP}"
    yield f"GRANT SELECT ON {name} TO {READER}"


def _erasable(name: str, table: Table) -> Iterator[str]:
    """The rights of who takes facts away, as the table declares whom it names."""
    yield f"REVOKE ALL ON {name} FROM {ERASER}"
    yield f"GRANT SELECT, DELETE ON {name} TO {ERASER}"
    if blanked := dict.fromkeys([*table.persons, *(["entity"] if {*table.entity} & {*table.persons} else [])]):
        columns_ = ", ".join(f'"{column}"' for column in blanked)
        yield f"GRANT UPDATE ({columns_}) ON {name} TO {ERASER}"


def _parts(name: str) -> Iterator[tuple[str, str]]:
    for year in YEARS:
        yield f"{name}_{year}", f"FOR VALUES FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')"
    yield f"{name}_rest", "DEFAULT"
