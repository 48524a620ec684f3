"""A tenant is removed whole, nobody else loses anything, and nothing is written for it afterwards."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import Connection, sql

from foretell.app import App
from foretell.app.opening import add_tenant, add_tenants, remove_tenant, tenants
from foretell.cli import cli
from foretell.errors import ForetellError, InvalidRequest, Misconfigured, NotFound, NotReady, Refused, Unavailable
from foretell.stores import launcher, records, removing
from foretell.stores.access import DATABASE, LOGIN, OWNER, QUEUE, url_of
from foretell.stores.blobs import REMOVING, Blobs

ROW = {"time": "2024-05-01T00:00:00Z", "service": "web", "metric_type": "requests_per_minute", "value": 1.0}
VALUES = {
    "text": "'x'", "uuid": "gen_random_uuid()", "jsonb": "'{}'", "boolean": "true", "date": "'2024-05-01'",
    "timestamp with time zone": "'2024-05-01'", "text[]": "'{}'",
}  # fmt: skip


@pytest.fixture
def name(alone: Path) -> str:
    """A tenant nobody else has, with something in every table and among the files."""
    name = f"gone{uuid4().hex[:8]}"
    add_tenant(name, zone="Europe/Athens")
    filled(alone, name)
    return name


@contextmanager
def above(home: Path) -> Iterator[Connection[Any]]:
    with psycopg.connect(launcher.start(home).url(DATABASE), autocommit=True) as connection:
        yield connection


def tables(connection: Connection[Any]) -> list[tuple[str, str, bool]]:
    """Every table there is, and whether it holds rows of tenants."""
    return connection.execute(
        "SELECT n.nspname, c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid"
        " AND a.attname = 'tenant_id') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_'"
        " AND n.nspname <> 'information_schema' ORDER BY 1, 2"
    ).fetchall()


def filled(home: Path, tenant: str) -> None:
    """A row of a tenant in every table that has tenants' rows, a job in the queue, a blob and a file."""
    with above(home) as connection:
        connection.execute("SET session_replication_role = replica")  # nothing is asked of what a row refers to
        for schema, table, of_tenants in tables(connection):
            if not of_tenants or table == "tenants":
                continue
            columns = connection.execute(
                "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute a WHERE attrelid = %s::regclass"
                " AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = ''"
                " AND attname <> 'tenant_id'",
                [f'"{schema}"."{table}"'],
            ).fetchall()
            made = [sql.SQL(VALUES.get(kind, "1")) for _, kind in columns]
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(schema, table),
                    sql.SQL(", ").join(map(sql.Identifier, ["tenant_id", *(column for column, _ in columns)])),
                    sql.SQL(", ").join([sql.Literal(tenant), *made]),
                )
            )
        connection.execute(f"SELECT {QUEUE}.deliver(%s, 'number', 'ml_training', 'seal', 0)".encode(), [tenant])
    (home / "model").mkdir(exist_ok=True)
    (home / "model" / "a").write_text(tenant)
    blobs = Blobs(f"file://{home}/blobs")
    blobs.quarantine(tenant, blobs.put(tenant, home / "model").address, "it is bad")
    blobs.put(tenant, home / "model")
    blobs.write(tenant, "ml_datasets/global/toy/training_set_20240301.parquet", b"rows")
    blobs.write(tenant, "erasures/realestate.person/x.json", b"{}")


def naming(home: Path, name: str) -> dict[str, int]:
    """How many rows of each table hold a name, in any column."""
    with above(home) as connection:
        found = {
            f"{schema}.{table}": connection.execute(
                sql.SQL("SELECT count(*) FROM {} t WHERE strpos(t::text, %s) > 0").format(
                    sql.Identifier(schema, table)
                ),
                [name],
            ).fetchone()
            for schema, table, _ in tables(connection)
        }
    return {table: count[0] for table, count in found.items() if count and count[0]}


def files(home: Path, name: str) -> list[Path]:
    return [each for each in (home / "blobs").rglob("*") if name in str(each)]


def run(*words: str, input: str | None = None) -> Result:  # noqa: A002 - click's own name
    done = CliRunner().invoke(cli, [*words], input=input)
    if isinstance(done.exception, ForetellError):
        raise done.exception
    return done


def test_all_of_a_tenant_goes_and_nothing_of_another(alone: Path, name: str) -> None:
    other = f"stays{uuid4().hex[:8]}"
    add_tenant(other, zone="UTC")
    filled(alone, other)
    with above(alone) as connection:
        every = {f"{schema}.{table}" for schema, table, of_tenants in tables(connection) if of_tenants}
    had, kept = naming(alone, name), naming(alone, other)
    assert {*had} == {*kept} == every | {f"{QUEUE}.procrastinate_jobs"}
    was = files(alone, other)
    done = remove_tenant(name)
    assert (set(done.rows), set(done.rows.values())) == (every, {1})
    assert done.files == 5  # a blob, one in quarantine with its reason, two files
    assert naming(alone, name) == {}
    assert files(alone, name) == []
    assert (naming(alone, other), files(alone, other)) == (kept, was)
    assert other in tenants()
    with pytest.raises(NotFound, match=f"no tenant {name}"):
        remove_tenant(name)
    add_tenant(name, zone="UTC")
    assert {*naming(alone, name)} == {"public.tenants"}


def test_what_began_before_is_waited_for_and_nothing_begins(alone: Path, name: str) -> None:
    with App.open(name) as app:
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(remove_tenant(name)))
        with app.desk.transaction() as connection:
            connection.execute("SELECT 1")
            thread.start()
            while name in tenants():
                time.sleep(0.05)
            with pytest.raises(NotFound, match=f"no tenant {name}"):
                app.import_("traffic.metrics", [ROW])
            with pytest.raises(NotFound, match=f"no tenant {name}"):
                app.jobs.start("clean", {})
            assert thread.is_alive()
            records.audit(connection, name, "me", "did", "something late", {})
        thread.join()
        assert done[0].rows["public.audit"] == 2
        with pytest.raises(NotFound, match=f"no tenant {name}"), app.desk.transaction() as connection:
            pass
    assert naming(alone, name) == {}


def test_what_was_interrupted_goes_on_and_the_name_is_not_given_away(
    alone: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with App.open(name) as app, app.desk.transaction() as connection:
        connection.execute("SELECT 1")
        with monkeypatch.context() as hasty:
            hasty.setattr(removing, "PATIENCE", 0.1)
            with pytest.raises(Unavailable, match=r"has not ended \(PostgreSQL's process [0-9]+\); end it and type"):
                remove_tenant(name)
    assert name not in tenants()
    assert "public.audit" in naming(alone, name)
    with pytest.raises(NotReady, match=f"type: foretell tenant remove {name}"):
        add_tenant(name, zone="UTC")
    (alone / "blobs" / name / "blobs" / "half").write_bytes(b"")  # what a run that died left
    remove_tenant(name)
    assert (naming(alone, name), files(alone, name)) == ({}, [])
    assert Blobs(f"file://{alone}/blobs").read(name, REMOVING) is None


def test_the_name_is_asked_for_again(name: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing was removed"):
        run("tenant", "remove", name, input="other\n")
    assert name in tenants()
    done = run("tenant", "remove", name, input=f"{name}\n")
    assert f"tenant {name} removed: " in done.output
    add_tenant(name, zone="UTC")
    told = json.loads(run("tenant", "remove", name, "--yes", "--json").output)
    assert told == {"tenant": name, "rows": {"public.tenants": 1}, "files": 0}
    with pytest.raises(NotFound):
        run("tenant", "remove", name, "--yes")


def test_another_postgresql_needs_its_owner(alone: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = launcher.start(alone)
    monkeypatch.setenv("FORETELL_DATABASE", url_of(server, LOGIN))
    with pytest.raises(Misconfigured, match="FORETELL_DATABASE_OWNER"):
        remove_tenant(name)
    monkeypatch.setenv("FORETELL_DATABASE_OWNER", url_of(server, LOGIN))
    with pytest.raises(Misconfigured, match="must be the tables' owner"):
        remove_tenant(name)
    assert name in tenants()
    monkeypatch.setenv("FORETELL_DATABASE_OWNER", url_of(server, OWNER))
    remove_tenant(name)
    assert naming(alone, name) == {}


def test_many_are_added_in_one_go(alone: Path) -> None:
    one, two = (f"many{uuid4().hex[:8]}" for _ in range(2))
    told = dict(add_tenants([(one, "UTC"), ("Not A Name", "UTC"), (two, "Mars/Olympus"), (f"{one}b", "Asia/Tokyo")]))
    assert (told[one], told[f"{one}b"]) == (None, None)
    assert isinstance(told["Not A Name"], InvalidRequest)
    assert isinstance(told[two], InvalidRequest)
    assert isinstance(dict(add_tenants([(one, "UTC")]))[one], Refused)
    assert tenants()[f"{one}b"] == "Asia/Tokyo"
    assert two not in tenants()


def test_several_are_added_by_one_command_and_from_a_file(alone: Path, tmp_path: Path) -> None:
    a, b, c, d = (f"many{uuid4().hex[:8]}" for _ in range(4))
    done = run("tenant", "add", a, b, "--zone", "Europe/Athens")
    assert done.output.splitlines() == [f"tenant {each} added, on the clocks of Europe/Athens" for each in (a, b)]
    again = run("tenant", "add", a, c, "--zone", "UTC")
    assert again.exit_code == 1
    assert again.output.splitlines() == [
        f"tenant {a}: there is a tenant {a} already", f"tenant {c} added, on the clocks of UTC"
    ]  # fmt: skip
    file = tmp_path / "tenants.csv"
    file.write_text(f"tenant,zone\n{a},UTC\n\n {d} , Asia/Tokyo\n")
    done = run("tenant", "add", "--from", str(file))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        f"tenant {a}: there is a tenant {a} already", f"tenant {d} added, on the clocks of Asia/Tokyo"
    ]  # fmt: skip
    assert {name: zone for name, zone in tenants().items() if name in (a, b, c, d)} == {
        a: "Europe/Athens", b: "Europe/Athens", c: "UTC", d: "Asia/Tokyo",
    }  # fmt: skip
    file.write_text(f"{d}\nNo Name\n{d}e\n")
    done = run("tenant", "add", "--from", str(file), "--zone", "UTC", "--json")
    assert done.exit_code == 1
    told = json.loads(done.output)
    assert [each["tenant"] for each in told if "error" not in each] == [f"{d}e"]
    assert "can't be a tenant" in told[1]["error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n", "a has no time zone"),
        ("a,UTC,x\n", "a,UTC,x is no tenant,zone"),
        ("", "names no tenants"),
        (None, "can't be read"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "list").write_text(text)
    with pytest.raises(InvalidRequest, match=words):
        run("tenant", "add", "--from", str(tmp_path / "list"))
