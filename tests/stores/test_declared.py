"""Tables from declarations: made once, grown by what stored rows can follow, refused where they can't."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import Connection
from pydantic import AwareDatetime, create_model
from tests.conftest import reachable
from tests.stores.conftest import declared as tables
from tests.stores.test_facts import frame, whole
from tests.stores.toy import DEEDS, THINGS, YEARLY

from foretell import Frame, Table
from foretell.errors import BrokenDomain, Misconfigured
from foretell.stores import declared, facts, launcher, opened
from foretell.stores.access import APP, DATABASE, LOGIN, OWNER, url_of
from foretell.stores.database import Database, schema
from foretell.stores.migrate import migrate
from foretell.stores.server import Server
from foretell.stores.shape import fingerprint

START = datetime(2024, 5, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "who": (str, ...),
    "where": (str, "here"),
    "at": (AwareDatetime, ...),
    "number": (float, ...),
    "maybe": (int | None, None),
}


def table(fields: dict[str, Any] | None = None, **declared_: Any) -> Table:
    """A declaration; as if written anew, by a program of another version."""
    told: dict[str, Any] = {"name": "probe", "key": ("who", "where", "at"), "time": "at", "entity": ("who",)}
    return Table(row=create_model("Row", **(FIELDS if fields is None else fields)), **(told | declared_))


def row(**changes: Any) -> dict[str, Any]:
    return {"who": "a", "where": "here", "at": START, "number": 1.0} | changes


@pytest.fixture
def connection(server: Server) -> Iterator[sa.Connection]:
    """The owner, in a transaction that leaves nothing behind."""
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(server.url(DATABASE)), poolclass=sa.NullPool
    )
    with engine.connect() as made:
        made.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
        yield made
        made.rollback()


@contextmanager
def as_app(connection: sa.Connection) -> Iterator[Connection[Any]]:
    """The app, working for the tenant `t` in the owner's transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, Connection)
    driver.execute(f"SET LOCAL ROLE {APP}".encode())
    driver.execute("SELECT set_config('app.current_tenant', 't', true)")
    yield driver
    driver.execute(f"SET LOCAL ROLE {OWNER}".encode())


def wrote(connection: sa.Connection, what: Table, *rows: dict[str, Any], domain: str = "new") -> facts.Written:
    with as_app(connection) as app:
        return facts.write(app, "t", domain, what, frame(what, [whole(what, each) for each in rows]))


def stored(connection: sa.Connection, what: Table, domain: str = "new", **asked: Any) -> Frame:
    with as_app(connection) as app:
        return facts.read(app, "t", domain, what, **({"known": LAST} | asked))


def seen(connection: sa.Connection, domain: str = "new") -> list[Any]:
    """All that the catalogue says about the tables of a domain; their views are made anew each time."""
    queries = (
        "SELECT CASE relkind WHEN 'v' THEN 0 ELSE c.oid END, relname, relkind, relrowsecurity, relforcerowsecurity,"
        " relacl::text FROM pg_class c",
        "SELECT relname, attname, atttypid, attnotnull, attnum, attacl::text FROM pg_attribute"
        " JOIN pg_class c ON c.oid = attrelid",
        "SELECT polname, polrelid, pg_get_expr(polqual, polrelid) FROM pg_policy JOIN pg_class c ON c.oid = polrelid",
    )
    where = f" WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{domain}') ORDER BY 1, 2"
    told = [list(connection.exec_driver_sql(query + where)) for query in queries]
    return [*told, list(connection.exec_driver_sql("SELECT * FROM declared_tables ORDER BY 1, 2"))]


# ---------------------------------------------------------------- fingerprints


def test_the_same_declaration_has_the_same_fingerprint() -> None:
    assert fingerprint(table()) == fingerprint(table())
    assert fingerprint(table(rules={"number must be odd": pl.col("number") % 2 == 1})) == fingerprint(table())
    assert len({fingerprint(each) for each in (THINGS, YEARLY, DEEDS)}) == 3


CHANGED = {
    "a new column": table(FIELDS | {"new": (str | None, None)}),
    "a column that is gone": table({name: kind for name, kind in FIELDS.items() if name != "maybe"}),
    "another type": table(FIELDS | {"number": (int, ...)}),
    "another type of a text": table(FIELDS | {"where": (date, ...)}),
    "a value that is not needed any more": table(FIELDS | {"number": (float | None, None)}),
    "a value that is needed now": table(FIELDS | {"maybe": (int, 7)}),
    "a new column that needs a value": table(FIELDS | {"new": (str, "x")}),
    "a column of another name": table(FIELDS | {"name": (float, ...)} | {"number": (float | None, None)}),
    "a shorter key": table(key=("who", "at")),
    "a longer key": table(key=("who", "where", "at", "number")),
    "another entity": table(entity=("who", "where")),
    "no entity": table(entity=()),
    "years": table(yearly=True),
    "another time": table(FIELDS | {"then": (AwareDatetime, ...)}, time="then"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_another_form_has_another_fingerprint(change: str) -> None:
    assert fingerprint(CHANGED[change]) != fingerprint(table())


# ---------------------------------------------------------------- made and grown


def test_made_twice_is_made_once(connection: sa.Connection) -> None:
    for what in (table(), table(name="years", yearly=True)):
        declared.make(connection, "new", what)
    wrote(connection, table(), row())
    before = seen(connection)
    for what in (table(), table(name="years", yearly=True)):
        declared.make(connection, "new", what)
    assert seen(connection) == before
    assert stored(connection, table()).height == 1


@pytest.mark.parametrize("yearly", [False, True])
def test_a_new_column_is_null_in_old_rows(connection: sa.Connection, yearly: bool) -> None:
    old, new = (
        table(yearly=yearly),
        table({"new": (str | None, None), **FIELDS, "day": (date | None, None)}, yearly=yearly),
    )
    declared.make(connection, "new", old)
    wrote(connection, old, row(), row(who="b"), row(who="rest", at=LAST))
    declared.make(connection, "new", new)
    assert stored(connection, new)["new"].to_list() == [None, None, None]
    day = date(2024, 2, 29)
    done = wrote(connection, new, row(new="", day=day), row(who="b"), row(who="c", new="ü"))
    assert done == facts.Written(accepted=1, revised=1, unchanged=1)
    found = stored(connection, new).sort("who")
    assert found["new"].to_list() == ["", None, "ü", None]
    assert found["day"].to_list() == [day, None, None, None]
    # The program before goes on.
    assert stored(connection, old).columns == [*FIELDS, "entity", "known_at"]
    assert wrote(connection, old, row(who="c")).unchanged == 1


@pytest.mark.parametrize("change", sorted(set(CHANGED) - {"a new column"}))
def test_what_stored_rows_can_not_follow_is_refused(connection: sa.Connection, change: str) -> None:
    declared.make(connection, "new", table())
    before = seen(connection)
    with pytest.raises(Misconfigured, match=r"new\.probe has changed its .*give the new form a name of its own"):
        declared.make(connection, "new", CHANGED[change])
    assert seen(connection) == before


def test_the_message_names_the_columns(connection: sa.Connection) -> None:
    declared.make(connection, "new", table())
    for change, names in {"another type": "number", "a column that is gone": "maybe"}.items():
        with pytest.raises(Misconfigured, match=f"has changed its columns {names};"):
            declared.make(connection, "new", CHANGED[change])
    with pytest.raises(Misconfigured, match="that need a value"):
        declared.make(connection, "new", CHANGED["a new column that needs a value"])


# ---------------------------------------------------------------- years


def test_each_year_has_its_part_and_the_rest_one_of_its_own(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL TimeZone TO 'Pacific/Kiritimati'")  # fourteen hours ahead
    what = table(yearly=True)
    declared.make(connection, "new", what)
    connection.exec_driver_sql("SET LOCAL TimeZone TO 'UTC'")
    tick = timedelta(microseconds=1)
    turns = [datetime(year, 1, 1, tzinfo=UTC) for year in (2015, 2020, 2035, 2036)]
    ends = [LAST, datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 7, 20, tzinfo=UTC)]
    times = [*ends, *turns, *(turn - tick for turn in turns)]
    assert wrote(connection, what, *(row(at=time) for time in times)).accepted == len(times)
    with as_app(connection) as app:
        parts = dict(app.execute("SELECT at, tableoid::regclass::text FROM new.probe").fetchall())
    for time in times:
        assert parts[time] == f"new.probe_{time.year if 2015 <= time.year < 2036 else 'rest'}", time
    assert stored(connection, what, known=LAST)["at"].to_list() == sorted(times)
    across = stored(connection, what, between=(turns[0] - tick, turns[2]))["at"].to_list()
    assert across == sorted(time for time in times if turns[0] - tick <= time < turns[2])
    window = stored(connection, what, known=turns[3], window=timedelta(days=365))["at"].to_list()
    assert window == [turns[3] - tick, turns[3]]
    assert wrote(connection, what, *(row(at=time, number=2.0) for time in times)).revised == len(times)
    assert set(stored(connection, what)["number"]) == {2.0}


# ---------------------------------------------------------------- what can't be declared


@pytest.mark.parametrize("name", declared.OURS)
def test_a_column_that_is_ours_is_refused(connection: sa.Connection, name: str) -> None:
    with pytest.raises(BrokenDomain, match=rf"new\.probe: {name} can't be a column of its own"):
        declared.make(connection, "new", table(FIELDS | {name: (str | None, None)}))
    assert seen(connection)[:3] == [[], [], []]


def test_years_without_the_time_in_the_key_are_refused(connection: sa.Connection) -> None:
    with pytest.raises(BrokenDomain, match=r"new\.probe: a yearly table needs its time, at, in its key"):
        declared.make(connection, "new", table(yearly=True, key=("who",)))


def test_a_name_that_is_too_long_is_refused(connection: sa.Connection) -> None:
    longest = "x" * declared.LONGEST
    long = table(FIELDS | {longest: (str, "")}, name=longest, entity=("who", longest), yearly=True)
    declared.make(connection, "new", long)
    assert wrote(connection, long, row() | {longest: "e"}).accepted == 1
    with pytest.raises(BrokenDomain, match="at most 25 characters"):
        declared.make(connection, "new", table(name=f"{longest}x"))


AWKWARD = (
    "corrects",
    "order",
    "User",
    "tenant",
    "known",
    "recorded",
    "since",
    "first",
    "i",
    "t",
    "mark",
    "ü",
    "incoming",
)


@pytest.mark.parametrize("yearly", [False, True])
def test_any_other_name_will_do(connection: sa.Connection, yearly: bool) -> None:
    fields: dict[str, Any] = {"Who": (str, ...), "end": (AwareDatetime, ...)} | dict.fromkeys(AWKWARD, (str, "x"))
    what = table(fields, name="select", key=("Who", "order", "end"), time="end", entity=("Who", "User"), yearly=yearly)
    declared.make(connection, "group", what)
    sent = [
        {"Who": "%s", "end": START, **dict.fromkeys(AWKWARD, "{}")},
        {"Who": "b", "end": LAST, **dict.fromkeys(AWKWARD, "$1")},
    ]
    assert wrote(connection, what, *sent, domain="group").accepted == 2
    assert wrote(connection, what, *(each | {"corrects": "y"} for each in sent), domain="group").revised == 2
    found = stored(
        connection, what, domain="group", only={"order": ["{}"], "Who": ["%s"]}, between=(START, LAST),
        window=timedelta(days=3_000_000),
    )  # fmt: skip
    assert found.select("Who", "order", "corrects", "entity").rows() == [("%s", "{}", "y", "%25s/{}")]


# ---------------------------------------------------------------- all of it


def test_a_migration_that_is_refused_changes_nothing(server: Server) -> None:
    url, before = url_of(server, OWNER), schema(url_of(server, LOGIN), APP)
    fresh = Table(name=f"n{uuid4().hex[:8]}", row=THINGS.row, key=THINGS.key, time="at", entity=("shop",))
    changed = Table(name="deeds", row=THINGS.row, key=THINGS.key, time="at")
    with pytest.raises(Misconfigured, match=r"toy\.deeds has changed"):
        migrate(url, tables() | {"toy": [fresh, changed]}, login=LOGIN)
    assert schema(url_of(server, LOGIN), APP) == before
    migrate(url, tables(), login=LOGIN)
    assert schema(url_of(server, LOGIN), APP) == before


def test_many_that_start_for_the_first_time_at_once_all_come_up(server: Server) -> None:
    with reachable() as home:
        launcher.start(home, version=server.version)

        def start(_: int) -> str | None:
            database: Database = opened({"toy": [DEEDS, YEARLY]}, home=home).database
            with database.nobody() as connection:
                (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            database.close()
            return version

        with ThreadPoolExecutor(4) as pool:
            assert len({*pool.map(start, range(4))}) == 1
        launcher.stop(home)
