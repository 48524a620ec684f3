"""Facts in and out: revisions that never overwrite, data marks, and frames read as of any moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from psycopg import ClientCursor, Connection, sql
from psycopg.pq import ExecStatus

from foretell.contract import DTYPES, Frame, Kind, Table
from foretell.errors import Unavailable
from foretell.stores.shape import by_time, columns, identity

CORRECTS = sql.Identifier("corrects a fact")  # no column of a table can have such a name
PARTS = 1 << 20  # of which a share of the entities is some
PART = f"(hashtextextended(entity, 0) & {PARTS - 1})"  # that an entity is in
FEW = 100  # entities that a statement names

UNIT, NOTHING = "\x1f", "\x1e"  # between texts, and in the place of one that is missing; never part of one


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of good rows: new ones, those that corrected an older row, and those that were there already."""

    accepted: int
    revised: int
    unchanged: int


def table_name(domain: str, table: Table) -> sql.Identifier:
    """The table as SQL names it."""
    return sql.Identifier(domain, table.name)


# ---------------------------------------------------------------- in


def write(connection: Connection[Any], tenant: str, domain: str, table: Table, rows: Frame) -> Written:
    """Record a batch of good rows, one for each key, in the connection's transaction.

    A row whose key is known adds a revision if anything in it differs, else it changes nothing. Two batches of a
    tenant's table wait for each other. The data mark moves if anything changed.
    """
    name, recorded = table_name(domain, table), turn(connection, tenant, f"{domain}.{table.name}")
    if rows.is_empty():
        return Written(accepted=0, revised=0, unchanged=0)
    _send(connection, tenant, domain, table, rows)
    kept = names(list(columns(table)))
    values = {"tenant": tenant, "recorded": recorded}
    revised = connection.execute(
        sql.SQL(
            "UPDATE {table} t SET replaced_at = %(recorded)s FROM changed i WHERE i.{corrects} AND {same_fact}"
        ).format(table=name, corrects=CORRECTS, same_fact=same_fact(table)),
        values,
    ).rowcount
    entered = connection.execute(
        sql.SQL(
            "INSERT INTO {table} (tenant_id, {columns}, recorded_at, replaced_at)"
            " SELECT %(tenant)s, {columns}, %(recorded)s, 'infinity' FROM changed"
        ).format(table=name, columns=kept),
        values,
    ).rowcount
    connection.execute("DROP TABLE incoming, changed")
    if entered:
        moved(connection, tenant, f"{domain}.{table.name}", recorded)
    return Written(accepted=entered - revised, revised=revised, unchanged=rows.height - entered)


def turn(connection: Connection[Any], tenant: str, name: str) -> datetime:
    """Wait for the turn to write to a tenant's table; the moment of what is written now, later than all before."""
    connection.execute(
        "INSERT INTO data_marks (tenant_id, table_name) VALUES (%s, %s) ON CONFLICT DO NOTHING", [tenant, name]
    )
    connection.execute("SELECT FROM data_marks WHERE tenant_id = %s AND table_name = %s FOR UPDATE", [tenant, name])
    row = connection.execute(
        "SELECT greatest(clock_timestamp(), recorded_at + interval '1 microsecond') FROM data_marks"
        " WHERE tenant_id = %s AND table_name = %s",
        [tenant, name],
    ).fetchone()
    if row is None:
        raise Unavailable(f"the data mark of {name} is gone; try again")
    moment: datetime = row[0]
    return moment


def moved(connection: Connection[Any], tenant: str, name: str, recorded: datetime) -> None:
    """Move a table's data mark: what rests on its facts is to be made anew."""
    connection.execute(
        "UPDATE data_marks SET mark = mark + 1, recorded_at = %s WHERE tenant_id = %s AND table_name = %s",
        [recorded, tenant, name],
    )


def _send(connection: Connection[Any], tenant: str, domain: str, table: Table, rows: Frame) -> None:
    """Copy rows into `incoming`, tables of the transaction's own, and of them the new and corrected into `changed`.

    COPY does not go into a table with row security. Instants travel as whole microseconds, which is three times faster.
    """
    kinds, name = columns(table), table_name(domain, table)
    sent = {kind: sql.SQL(TYPES[kind]) for kind in set(kinds.values())}
    shape = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(each), sent[kind]) for each, kind in kinds.items()
    )
    micro = rows.select(pl.col(each).cast(pl.Int64) if kind == "instant" else each for each, kind in kinds.items())
    connection.execute(sql.SQL("CREATE TEMP TABLE incoming ({}) ON COMMIT DROP").format(shape))
    with connection.cursor().copy("COPY incoming FROM STDIN (FORMAT csv)") as copy:
        copy.write(micro.write_csv(include_header=False).encode())
    connection.execute("ANALYZE incoming")
    # In two steps: a number times an interval is a float, which knows no microseconds beyond the year 2255.
    moment = (
        "'epoch'::timestamptz + ({0} / 1000000) * interval '1 second'"
        " + mod({0}, 1000000) * interval '1 microsecond' AS {0}"
    )
    stored = [
        sql.SQL(moment if kind == "instant" else "{0}").format(sql.Identifier(each)) for each, kind in kinds.items()
    ]
    near, values = _near(table, rows)
    differs = [sql.SQL("t.{0} IS DISTINCT FROM i.{0}").format(sql.Identifier(each)) for each in kinds]
    ClientCursor(connection).execute(  # such a statement takes no parameters from outside
        sql.SQL(
            "CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT i.*, t.tenant_id IS NOT NULL AS {corrects}"
            " FROM (SELECT {stored} FROM incoming) i"
            " LEFT JOIN {table} t ON {same_fact} WHERE t.tenant_id IS NULL OR {differs}"
        ).format(
            stored=sql.SQL(", ").join(stored),
            corrects=CORRECTS,
            table=name,
            same_fact=same_fact(table) + near,
            differs=sql.SQL(" OR ").join(differs),
        ),
        {"tenant": tenant, **values},
    )


TYPES: Mapping[Kind, str] = {
    "text": "text",
    "number": "float8",
    "integer": "int8",
    "boolean": "bool",
    "date": "date",
    "instant": "int8",
    "object": "jsonb",
}


def _near(table: Table, rows: Frame) -> tuple[sql.SQL | sql.Composed, dict[str, Any]]:
    """What follows from being the same fact as one of these rows; it spares the database the rest of a long history."""
    near: list[sql.Composable] = []
    values: dict[str, Any] = {}
    key = identity(table)
    if table.time in key:
        near.append(sql.SQL(" AND t.{} BETWEEN %(first)s AND %(last)s").format(sql.Identifier(table.time)))
        values |= {"first": rows[table.time].min(), "last": rows[table.time].max()}
    if "entity" in key and (whom := rows["entity"].unique()).len() <= FEW:
        near.append(sql.SQL(" AND t.entity = ANY(%(whom)s)"))
        values["whom"] = whom.to_list()
    return sql.SQL("").join(near), values


def names(columns_: Sequence[str]) -> sql.Composed:
    """Columns as SQL names them, one after the other."""
    return sql.SQL(", ").join(map(sql.Identifier, columns_))


def same_fact(table: Table) -> sql.Composed:
    """Whether `t` is the newest revision of the tenant's fact that the row `i` is of."""
    newest = sql.SQL("t.tenant_id = %(tenant)s AND t.replaced_at = 'infinity'")
    same = (sql.SQL("t.{0} = i.{0}").format(sql.Identifier(each)) for each in identity(table))
    return sql.SQL(" AND ").join([newest, *same])


# ---------------------------------------------------------------- out


def read(  # noqa: PLR0913 - each a way to look at the same rows
    connection: Connection[Any],
    tenant: str,
    domain: str,
    table: Table,
    *,
    known: datetime,
    recorded: datetime | None = None,
    window: timedelta | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    between: tuple[datetime | None, datetime | None] = (None, None),
    sees: Callable[[str], bool] = lambda _: True,
    share: float = 1.0,
    others: bool = False,
) -> Frame:
    """The facts of a tenant's table that were known at `known`, oldest first, as recorded at `recorded` (None: now).

    A batch counts as recorded from the moment at which its turn came, and can be read once it is whole: a `recorded`
    younger than the beginning of an import that is still running may gain its rows.

    `window` keeps what became known so long before `known`; `only` the rows whose column has one of the values;
    `between` those whose own time lies from the one moment up to, not at, the other; `share` those of about so many of
    the entities, the same in every table; with `others` the rest is there too, as nobody's. The columns are those of
    `shape.columns` that `sees` lets through, instants UTC.
    """
    kinds = {name: kind for name, kind in columns(table).items() if sees(name)}
    # Who a fact is about is found by an index; so is the column that alone says it.
    only = {"entity" if table.entity == (name,) else name: some for name, some in (only or {}).items()}
    first, last = between
    values = {"tenant": tenant, "known": known, "recorded": recorded, "first": first, "last": last}
    values |= {f"only_{column}": list(some) for column, some in only.items()}
    if window is not None:
        values |= {
            "since": _before(known, window),
            "earliest": _before(_before(known, window), table.late or timedelta()),
        }
    if share < 1:
        values["others" if others else "part"] = int(share * PARTS)
    given = frozenset(name for name, value in values.items() if value is not None)
    alone = len(only.get("entity", ())) == 1 < len(kinds)  # nothing but its name would come
    told = tuple(name for name in kinds if not (alone and name == "entity"))
    query = _query(domain, table, tuple(only), given, told)
    with connection.cursor(binary=True) as cursor:
        # Planned each time, in 0.2 ms: one plan for any values is of the usual tenant, and where that is a small one it
        # reads all services of a large one to find one's hours.
        cursor.execute(query, values, prepare=False)
        result = cursor.pgresult
        if result is None or result.status != ExecStatus.TUPLES_OK:
            raise Unavailable("the database gave no rows; try again")
        made = {name: _column(name, kinds[name], result.get_value(0, place)) for place, name in enumerate(told)}
    if alone:
        made["entity"] = pl.Series("entity", only["entity"], dtype=pl.String).new_from_index(0, len(made[told[0]]))
    return pl.DataFrame([made[name] for name in kinds])


def _before(moment: datetime, span: timedelta) -> datetime:
    """So long before a moment; the beginning of time where that is further back."""
    try:
        return moment - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@cache
def _query(domain: str, table: Table, only: tuple[str, ...], given: frozenset[str], wanted: tuple[str, ...]) -> bytes:
    """The statement of a `read` with these values given."""
    where = ["tenant_id = %(tenant)s", "known_at <= %(known)s"]
    where.append(
        "recorded_at <= %(recorded)s AND replaced_at > %(recorded)s"
        if "recorded" in given
        else "replaced_at = 'infinity'"
    )
    time = sql.Identifier(table.time).as_string()
    where += ["known_at > %(since)s"] if "since" in given else []
    if by_time(table):  # what the index can do
        where += [f"{time} <= %(known)s", *([f"{time} > %(earliest)s"] if "since" in given else [])]
    where += [f"{sql.Identifier(column).as_string()} = ANY(%(only_{column})s)" for column in only]
    where += [f"{PART} < %(part)s"] if "part" in given else []
    where += [f"{time} {sign} %({name})s" for name, sign in (("first", ">="), ("last", "<")) if name in given]
    kinds = columns(table)
    return (
        sql.SQL("SELECT {} FROM (SELECT {} FROM {} WHERE {} ORDER BY known_at, {}) facts")
        .format(
            sql.SQL(", ").join(_gathered(name, kinds[name]) for name in wanted),
            sql.SQL(", ").join(
                sql.SQL(f"CASE WHEN {PART} < %(others)s THEN entity ELSE '' END AS entity")
                if name == "entity" and "others" in given
                else sql.Identifier(name)
                for name in wanted
            ),
            table_name(domain, table),
            sql.SQL(" AND ".join(where)),
            names(identity(table)),
        )
        .as_bytes()
    )


def _gathered(name: str, kind: Kind) -> sql.Composed:
    """A column as one array, or one text: it then comes in a few bytes objects, not in one a value."""
    column = sql.Identifier(name)
    if kind in ("text", "object"):
        text = sql.SQL("coalesce({}::text, {})").format(column, NOTHING)
        return sql.SQL("string_agg({}, {})").format(text, UNIT)
    shapes = {
        "number": "array_agg(coalesce({}, 'NaN'))",
        "integer": f"array_agg(coalesce({{}}, {MISSING}))",
        "boolean": f"array_agg(coalesce({{}}::int4::int8, {MISSING}))",
        "date": f"array_agg(coalesce(({{}} - '1970-01-01'::date)::int8, {MISSING}))",
        "instant": "array_agg(coalesce({}, '-infinity'))",
    }
    return sql.SQL(shapes[kind]).format(column)


MISSING = -(2**63)
EPOCH = 946_684_800_000_000  # microseconds from 1970 to 2000, where PostgreSQL begins to count
HEAD = 20  # bytes before the first value of an array: dimensions, flags, type, length, lower bound


def _column(name: str, kind: Kind, array: bytes | None) -> pl.Series:
    """One column of what came; arrays are in PostgreSQL's binary form, each value of 8 bytes after 4 of its length."""
    if array is None:  # no rows
        return pl.Series(name, [], dtype=DTYPES[kind])
    if kind in ("text", "object"):
        return _texts(array.decode()).alias(name)
    form = np.dtype([("length", ">i4"), ("value", ">f8" if kind == "number" else ">i8")])
    values = np.frombuffer(array, form, offset=HEAD)["value"]
    if kind == "number":
        numbers = pl.Series(name, values.astype(np.float64))
        return numbers.fill_nan(None) if np.isnan(values).any() else numbers
    whole = values.astype(np.int64)
    missing = whole == MISSING
    series = pl.Series(name, whole + EPOCH if kind == "instant" else whole)
    if missing.any():
        series = series.set(pl.Series(missing), None)
    return series.cast(DTYPES[kind])


def _texts(text: str) -> pl.Series:
    """The texts in one, null where it says that one is missing."""
    first, unit, _ = text.partition(UNIT)
    count = text.count(UNIT) + 1
    if unit and text == UNIT.join([first] * count):  # one text over and over: much the quickest
        return pl.Series([None if first == NOTHING else first], dtype=pl.String).new_from_index(0, count)
    # Polars splits without a Python object a text, and takes a tenth of a millisecond to begin.
    if len(text) < 100_000:
        return pl.Series([None if each == NOTHING else each for each in text.split(UNIT)], dtype=pl.String)
    column = pl.Series([text]).str.split(UNIT).explode()
    missing = column == NOTHING
    return column.set(missing, None) if missing.any() else column


def latest(connection: Connection[Any], tenant: str, domain: str, table: Table) -> datetime | None:
    """When the newest fact of a table became known; None where there is none."""
    where = sql.SQL("FROM {} WHERE tenant_id = {} AND replaced_at = 'infinity'").format(
        table_name(domain, table), tenant
    )
    query = sql.SQL("SELECT max(known_at) {}").format(where)
    if by_time(table):  # whatever became known last happened not long before the last that happened
        query += sql.SQL(" AND {time} >= (SELECT max({time}) {where}) - {late}").format(
            time=sql.Identifier(table.time), where=where, late=table.late or timedelta()
        )
    row = connection.execute(query).fetchone()
    moment: datetime | None = row[0] if row else None
    return moment


def entities(
    connection: Connection[Any],
    tenant: str,
    domain: str,
    table: Table,
    *,
    only: Collection[str] | None = None,
    most: int | None = None,
) -> list[str]:
    """The entities of a tenant's table in order; those among `only`, and the first `most`, where that is given."""
    some = sql.SQL("") if only is None else sql.SQL(" AND entity = ANY({})").format(sorted(only))
    query = sql.SQL(
        "SELECT DISTINCT entity FROM {} WHERE tenant_id = {} AND replaced_at = 'infinity'{} ORDER BY entity LIMIT {}"
    ).format(table_name(domain, table), tenant, some, most)
    return [name for (name,) in connection.execute(query).fetchall()]


def count(connection: Connection[Any], tenant: str, domain: str, table: Table) -> int:
    """How many entities a tenant's table has facts of."""
    query = sql.SQL("SELECT count(DISTINCT entity) FROM {} WHERE tenant_id = {} AND replaced_at = 'infinity'")
    row = connection.execute(query.format(table_name(domain, table), tenant)).fetchone()
    return int(row[0]) if row else 0
