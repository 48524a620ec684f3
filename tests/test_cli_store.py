"""The commands that keep the house going, on our own PostgreSQL and on somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.types.json import Jsonb
from tests.conftest import reachable

from foretell import upkeep
from foretell.app import App
from foretell.cli import store
from foretell.errors import Damaged, Misconfigured, NotFound, Refused
from foretell.settings import ForetellSettings
from foretell.stores import launcher
from foretell.stores.blobs import Blobs
from foretell.stores.migrations import HEAD
from foretell.stores.server import Server


def say(command: click.Command, *words: str | Path, **settings: str | Path) -> Result:
    """What a command says with these settings alone; raises what it refuses with."""
    names = ("home", "database", "database_owner", "blobs")
    given = {f"FORETELL_{name.upper()}": str(settings[name]) if name in settings else None for name in names}
    done = CliRunner().invoke(command, [str(word) for word in words], env=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def own() -> Iterator[Path]:
    """A home with tables, a tenant and a model file."""
    with reachable() as home:
        assert say(store.migrate, home=home).output == f"the tables are of version {HEAD}\n"
        server = launcher.start(home)
        kept = Blobs(f"file://{home}/blobs")
        (home / "model").mkdir()
        (home / "model" / "a").write_text("weights")
        blob = kept.put("acme", home / "model")
        with psycopg.connect(server.url("foretell")) as connection:
            connection.execute("INSERT INTO tenants VALUES ('acme', 'Europe/Athens')")
            connection.execute(
                "INSERT INTO ml_models VALUES ('acme', 'traffic.load', '1', 'naive', '{}', %s, %s)",
                [blob.address, blob.size],
            )
        yield home
        launcher.stop(home)


@pytest.fixture
def server(own: Path) -> Server:
    return launcher.start(own)


@pytest.fixture
def other(server: Server) -> Iterator[dict[str, str]]:
    """The settings for somebody else's PostgreSQL: an empty database, its owner, and a login without rights."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'p@:/'")
        connection.execute(
            "GRANT foretell_app, foretell_reader, foretell_operator, foretell_worker, foretell_eraser"
            " TO landlord WITH ADMIN OPTION"
        )
        connection.execute("CREATE ROLE lodger LOGIN PASSWORD 's3cret'")
        connection.execute('CREATE DATABASE "Others" OWNER landlord')
    login, owner = server.url("Others", "lodger", "s3cret"), server.url("Others", "landlord", "p@:/")
    yield {"database": login, "database_owner": owner}
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute('DROP DATABASE "Others" WITH (FORCE)')
        connection.execute("DROP ROLE landlord, lodger")


def test_the_doctor_starts_nothing(tmp_path: Path) -> None:
    done = say(store.doctor, home=tmp_path / "none")
    assert done.exit_code == 0, done.output
    assert "database   does not run" in done.output
    assert "all is well" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_what_is_there(own: Path, server: Server) -> None:
    seen = json.loads(say(store.doctor, "--json", home=own).output)
    assert seen["problems"] == []
    assert seen["running"] is True
    assert seen["pid"] == server.pid
    assert seen["postgres"] == 18
    assert seen["tables_version"] == seen["newest_version"] == HEAD
    assert seen["tenants"] == 1
    assert {"traffic.metrics", "public.ml_models"} <= seen["rows"].keys()
    assert seen["blobs_size"] > 0
    assert seen["size"] > 1_000_000
    words = say(store.doctor, home=own).output
    assert f"PostgreSQL 18 runs (process {server.pid}): {own}/postgres" in words
    assert "tenants    1" in words


def test_the_doctor_ends_with_1_where_something_is_wrong(own: Path, server: Server) -> None:
    with psycopg.connect(server.url("foretell"), autocommit=True) as connection:
        connection.execute("ALTER TABLE traffic.metrics NO FORCE ROW LEVEL SECURITY")
        own.chmod(0o770)
        done = say(store.doctor, home=own)
        own.chmod(0o710)
        connection.execute("ALTER TABLE traffic.metrics FORCE ROW LEVEL SECURITY")
    assert done.exit_code == 1
    assert f"wrong:     others may write in {own.resolve()}; type: chmod go-w" in done.output
    assert "wrong:     traffic.metrics is not closed to other tenants; type in psql: ALTER TABLE" in done.output
    assert "all is well" not in done.output
    assert say(store.doctor, home=own).exit_code == 0


@contextmanager
def without_its_file(own: Path) -> Iterator[str]:
    """The model's file is elsewhere meanwhile; its address."""
    (path,) = (each for each in (own / "blobs" / "acme" / "blobs").rglob("*") if each.is_file())
    path.rename(own / "aside")
    try:
        yield path.name
    finally:
        (own / "aside").rename(path)


def test_a_model_file_that_is_gone_is_told_and_stops_no_backup(own: Path, server: Server, tmp_path: Path) -> None:
    with without_its_file(own) as address:
        done = say(store.backup, tmp_path / "all", home=own)
        assert done.exit_code == 0
        assert f"not in it: traffic.load 1: blob {address} of acme does not exist\n" in done.output
        assert "train their tasks anew" in done.output
        with reachable() as home:
            words = say(store.restore, tmp_path / "all", home=home).output
            launcher.stop(home)
        assert f"it was not in the backup: traffic.load 1: blob {address} of acme does not exist" in words
        done = say(store.doctor, home=own)
        assert (done.exit_code, "all is well" in done.output) == (0, False)  # it does not serve
        assert "missing    the files of 1 model on record: traffic.load 1 of acme\n" in done.output
        with psycopg.connect(server.url("foretell"), autocommit=True) as connection:
            add = "INSERT INTO ml_deployments (tenant_id, model_name, version, deployed_by, reason)"
            connection.execute(f"{add} VALUES ('acme', 'traffic.load', '1', 'me', 'good')".encode())
            done = say(store.doctor, home=own)
            connection.execute("DELETE FROM ml_deployments")
        assert done.exit_code == 1
        assert "wrong:     models that should serve have no files: traffic.load 1 of acme; bring them" in done.output
        assert "or train anew: foretell train traffic.load --tenant acme\n" in done.output
        before = {str(each) for each in own.rglob("*")}
        say(store.doctor, home=own)
        assert {name for name in {str(each) for each in own.rglob("*")} - before if "/blobs" in name} == set()
    assert say(store.doctor, home=own).output.endswith("all is well\n")


def test_the_newest_backup_that_lacks_nothing_outlives_those_that_do(own: Path, tmp_path: Path) -> None:
    settings = ForetellSettings(home=own, backups=tmp_path, backups_kept=2)
    nights = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 7)]
    for night in nights[:2]:
        assert upkeep.nightly(settings, night)["missing"] == 0
    with without_its_file(own):
        for night in nights[2:5]:
            assert upkeep.nightly(settings, night)["missing"] == 1
        assert [each.name[15:17] for each in sorted(tmp_path.iterdir())] == ["02", "04", "05"]
    upkeep.nightly(settings, nights[5])
    assert [each.name[15:17] for each in sorted(tmp_path.iterdir())] == ["05", "06"]


@pytest.mark.parametrize(
    ("at", "runs", "words", "wrong"),
    [
        ("0 2 * * *", [(0.5, {"file": "f.zip", "bytes": 2_000_000, "missing": 3})], "without 3 model files that", None),
        ("0 2 * * *", [(1.5, {"file": "f.zip", "bytes": 1}), (0.5, "the disk is full")], "failed", "failed: the disk"),
        ("0 2 * * *", [(4, {"file": "f.zip", "bytes": 1})], "f.zip (0.0 MB)", "the last backup is of"),
        ("0 2 * * *", [(4, {"file": "f.zip", "bytes": 1}), (2.5, None)], "has not ended", "the last backup is of"),
        ("off", [(4, {"file": "f.zip", "bytes": 1})], "none is scheduled", None),
        ("0 2 * * *", [], "none was made yet", "no backup was ever made"),
        ("off", [], "none was made yet", None),
    ],
)
def test_the_doctor_says_how_the_nightly_backup_went(
    at: str, runs: list[Any], words: str, wrong: str | None, own: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_BACKUP_AT", at)
    with psycopg.connect(server.url("foretell"), autocommit=True) as connection:
        connection.execute("UPDATE tenants SET created_at = now() - interval '9 days'")
        for days, came in runs:
            told, error = (Jsonb(came), None) if isinstance(came, dict) else (None, came)
            connection.execute(
                "INSERT INTO house_runs (name, due, ended_at, told, error)"
                " SELECT 'backup', due, CASE WHEN %s THEN due END, %s, %s"
                " FROM (SELECT now() - %s * interval '1 day') d(due)",
                [came is not None, told, error, days],
            )
        try:
            done = say(store.doctor, home=own)
            say(store.doctor, "--json", home=own)
        finally:
            connection.execute("DELETE FROM house_runs")
            connection.execute("UPDATE tenants SET created_at = now()")
    (line,) = (each for each in done.output.splitlines() if each.startswith("backup "))
    assert words in line
    assert done.exit_code == (1 if wrong else 0), done.output
    assert (wrong or "all is well") in done.output


def test_everything_goes_out_and_comes_back(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "all"
    words = say(store.backup, file, home=own).output
    assert f"{file} (0." in words
    assert "MB): 1 tenant, " in words
    assert "1 model file\n" in words
    with pytest.raises(Refused, match="exists"):
        say(store.backup, file, home=own)
    with reachable() as home:
        words = say(store.restore, file, home=home).output
        assert words.startswith("restored, as of 20")
        assert "UTC: 1 tenant" in words
        seen = json.loads(say(store.doctor, "--json", home=home).output)
        assert (seen["problems"], seen["tenants"]) == ([], 1)
        with pytest.raises(Refused, match=f"type: foretell stop && mv '{home}' '{home}.old'"):
            say(store.restore, file, home=home)
        assert say(store.stop, home=home).output == "stopped\n"
        assert say(store.stop, home=home).output == "nothing was running\n"


def test_who_has_it_open_is_told_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with reachable() as home:
        monkeypatch.setenv("FORETELL_HOME", str(home))
        with App.open("shop", zone="UTC"):
            told = say(store.stop, home=home).output
    assert told.startswith("stopped\n")
    assert f"(process {os.getpid()}) had it open" in told


def test_a_broken_file_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"PK nothing")
    with pytest.raises(Damaged):
        say(store.restore, tmp_path / "file", home=tmp_path / "home")
    with pytest.raises(NotFound, match="nothing is kept in"):
        say(store.backup, tmp_path / "new", home=tmp_path / "home")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_somebody_elses_postgresql(own: Path, other: dict[str, str], tmp_path: Path) -> None:
    blobs = f"file://{tmp_path}/blobs"
    done = say(store.doctor, home=own, blobs=blobs, **other)
    assert done.exit_code == 1
    assert "lodger is no member of foretell_operator" in done.output
    say(store.backup, tmp_path / "all", home=own)
    say(store.restore, tmp_path / "all", home=own, blobs=blobs, **other)
    done = say(store.doctor, home=own, blobs=blobs, **other)
    assert done.exit_code == 0, done.output
    assert "PostgreSQL 18 answers: postgresql://lodger@/Others, " in done.output
    assert "s3cret" not in done.output
    with pytest.raises(Misconfigured, match=r"landlord.*BYPASSRLS"):
        say(store.backup, tmp_path / "again", home=own, blobs=blobs, **other)
    admin = {"database": other["database"], "database_owner": launcher.start(own).url("Others")}
    assert "1 tenant" in say(store.backup, tmp_path / "again", home=own, blobs=blobs, **admin).output


def test_an_empty_database_is_migrated(own: Path, other: dict[str, str], tmp_path: Path) -> None:
    assert say(store.migrate, home=own, **other).output == f"the tables are of version {HEAD}\n"
    assert say(store.doctor, home=own, blobs=f"file://{tmp_path}", **other).exit_code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "type: FORETELL_DATABASE_OWNER=postgresql://owner:…@host:1/one foretell"),
        ({"database_owner": "postgresql://me@host:1/two"}, "names the database 'one', FORETELL_DATABASE_OWNER 'two'"),
    ],
)
def test_the_owner_must_be_named(change: dict[str, str], words: str, tmp_path: Path) -> None:
    settings = {"database": "postgresql://me:secret@host:1/one", "home": str(tmp_path), **change}
    for command, file in ((store.migrate, []), (store.backup, [tmp_path / "x"])):
        with pytest.raises(Misconfigured, match=words.replace(".", r"\.")) as refused:
            say(command, *file, **settings)
        assert "secret" not in str(refused.value)
    with pytest.raises(Misconfigured, match="not ours to stop"):
        say(store.stop, **settings)


def test_a_database_that_does_not_answer_is_wrong_not_raised(tmp_path: Path) -> None:
    done = say(store.doctor, home=tmp_path, database=f"postgresql://me:{quote('p@ss')}@127.0.0.1:1/one?password=again")
    assert done.exit_code == 1
    assert "does not run: postgresql://me@127.0.0.1:1/one\n" in done.output
    assert "is FORETELL_DATABASE right?" in done.output
    assert "again" not in done.output


def test_naming_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys, foretell.cli.store\n"
        "heavy = {'polars', 'psycopg', 'pydantic', 'sqlalchemy', 'alembic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
