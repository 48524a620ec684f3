"""A backup holds one moment of everything, and what comes back is what was there, rights included."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest
from psycopg import sql
from tests.conftest import reachable
from tests.stores.conftest import declared
from tests.stores.toy import DEEDS, THINGS, YEARLY

from foretell.contract import DTYPES, Finding, Frame, Table
from foretell.errors import Damaged, Misconfigured, NotFound, Refused, Unavailable
from foretell.stores import (
    anomalies,
    clients,
    decisions,
    facts,
    imports,
    jobs,
    kept,
    launcher,
    notices,
    opened,
    quarantine,
    records,
    registry,
    schedules,
)
from foretell.stores.access import DATABASE, LOGIN, OPERATOR, OWNER, ROLES, secret, url_of
from foretell.stores.archive import DUMP, MANIFEST, Part, Told
from foretell.stores.backup import backup, restore
from foretell.stores.blobs import Blobs
from foretell.stores.database import Database
from foretell.stores.migrate import embedded, migrate
from foretell.stores.server import Server
from foretell.stores.shape import columns

START = datetime(2024, 3, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
TENANTS = ("acme", "zeta")
DATA_SET = "ml_datasets/global/toy/training_set_20240301.parquet"
ORIGIN = quarantine.Origin(source="a file", zone="UTC", interval=None)
ENGINE = (
    "data_marks", "quarantine", "audit", "ml_models", "ml_deployments", "ml_predictions", "ml_feedback", "answered",
    "settings_changes", "recommendations", "kept_answers", "ml_anomaly_detections", "tenants",
    "jobs", "schedules", "notices", "imports",
)  # fmt: skip
KINDS = {"toy": (THINGS, YEARLY, DEEDS), **{name: tuple(tables) for name, tables in declared().items()}}
TABLES = (*ENGINE, *(f"{domain}.{table.name}" for domain, tables in KINDS.items() for table in tables))


@dataclass(frozen=True)
class Source:
    """A database with something in it, and the blobs it names."""

    server: Server
    name: str
    blobs: Blobs
    root: Path

    @property
    def admin(self) -> str:
        return self.server.url(self.name)

    def url(self, login: str = LOGIN) -> str:
        return self.server.url(self.name, login, secret(self.server, login))


def rows_of(table: Table, tenant: str, shift: float = 0.0, count: int = 40) -> Frame:
    """Made-up facts with every kind of value and with none."""
    filled: dict[str, list[Any]] = {}
    for name, kind in columns(table).items():
        made: dict[str, Any] = {
            "text": lambda i, name=name: f"{tenant} {name} «{i % 3}» \\.\n'\"",
            "number": lambda i: i / 3 + shift,
            "integer": lambda i: i,
            "boolean": lambda i: i % 2 == 0,
            "date": lambda i: START.date() + timedelta(days=i),
            "instant": lambda i: START + timedelta(hours=i),
            "object": lambda i: f'{{"a": {i}}}',
        }
        filled[name] = [made[kind](i) for i in range(count)]
        if name.startswith("maybe") or kind == "object":
            filled[name][0] = None
    schema = {name: pl.String() if kind == "object" else DTYPES[kind] for name, kind in columns(table).items()}
    return pl.DataFrame(filled, schema=schema).unique(table.key, keep="first", maintain_order=True)


def write_all(database: Database, tenant: str, shift: float = 0.0) -> None:
    for domain, tables in KINDS.items():
        for table in tables:
            with database.tenant(tenant) as connection:
                done = facts.write(connection, tenant, domain, table, rows_of(table, tenant, shift))
                imports.put(connection, tenant, uuid4(), f"{domain}.{table.name}", "me", ORIGIN, done, 0)


def read_all(database: Database, tenant: str) -> dict[str, list[Any]]:
    """Every revision that the tenant may see, and what its application reads."""
    with database.tenant(tenant) as connection:
        return {
            name: connection.execute(f"SELECT row::text FROM {name} row ORDER BY 1".encode()).fetchall()
            for name in TABLES
        } | {
            f"as read {table.name}": facts.read(connection, tenant, domain, table, known=LATER).rows()
            for domain, table in (("toy", DEEDS), *(("traffic", table) for table in KINDS["traffic"]))
        }


def a_model(database: Database, blobs: Blobs, tenant: str, folder: Path, version: str) -> str:
    """Keep a model as the engine does, its blob first; the address."""
    folder.mkdir()
    (folder / "model.txt").write_text(f"a model of {tenant}, {version}\n" * 100)
    (folder / "parts").mkdir()
    (folder / "parts" / "weights.bin").write_bytes(os.urandom(2000))
    blob = blobs.put(tenant, folder)
    kept = registry.Kept(
        model_name="toy.task",
        version=version,
        candidate="one",
        card={"score": 1.5},
        blob=blob.address,
        size=blob.size,
        created_at=START,
    )
    with database.tenant(tenant) as connection:
        registry.keep(connection, tenant, kept)
        registry.deploy(connection, tenant, "toy.task", version, "somebody", "it is better")
    return blob.address


def served(note: str) -> records.Served:
    return records.Served(
        model_name="toy.task",
        version="1",
        method="one",
        fallback=None,
        as_of=START,
        request={"note": note},
        answer={"value": 1.0},
        questions={},
        forecast={},
        raw={},
        marks={"toy.things": 1},
        own_facts=False,
        prediction_count=1,
        confidence=None,
        latency_ms=None,
        prediction_id=uuid4(),
    )


def a_recommendation(connection: psycopg.Connection[Any], tenant: str, prediction: UUID) -> None:
    """One that was approved, and one that is open."""
    for state in ("approved", "pending"):
        number = decisions.recommend(
            connection, tenant, "toy.task", "one", prediction=prediction, action={"to": 0.1}, reason="ü", until=LATER
        )
        if state == "approved":
            decisions.decide(connection, tenant, number, "approved", who="me", why="«»", approved={"to": 0.2})


@pytest.fixture(scope="module")
def source(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Two tenants' facts, revisions, quarantine, models, ledger and audit."""
    root = tmp_path_factory.mktemp("source")
    one = Source(server, f"src_{uuid4().hex[:8]}", Blobs(f"file://{root}/blobs"), root)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {one.name} OWNER {OWNER}".encode())
    migrate(one.url(OWNER), declared(), login=LOGIN)
    operator = Database(one.url(), role=OPERATOR)
    database = Database(one.url())
    for tenant in TENANTS:
        with operator.nobody() as connection:
            records.add_tenant(connection, tenant, "Europe/Athens")
        write_all(database, tenant)
        write_all(database, tenant, shift=0.5)
        for version in ("1", "2"):
            a_model(database, one.blobs, tenant, root / f"{tenant}{version}", version)
            one.blobs.write(tenant, f"ml_models/toy/{version}.0.0/20240301_000000/model.joblib", tenant.encode())
        one.blobs.write(tenant, DATA_SET, os.urandom(3000))
        with database.tenant(tenant) as connection:
            bad = pl.DataFrame({"rule": ["value >= 0", "time"], "original": ["{}", "x"]})
            quarantine.reject(connection, tenant, "toy.things", bad, ORIGIN)
            said = served("first")
            records.log(connection, tenant, [said, served("second")])
            records.audit(connection, tenant, "somebody", "import", "toy.things", {"noise": os.urandom(99_999).hex()})
            note = records.Feedback(
                prediction_id=said.prediction_id, given_by="me", outcome="late", helpful=False, note="ü"
            )
            records.say(connection, tenant, note)
            records.answer(connection, tenant, "key", "print", {"of": tenant})
            decisions.change(connection, tenant, "toy", "me", {"one": {"of": [tenant, None]}, "two": None})
            a_recommendation(connection, tenant, said.prediction_id)
            kept.keep(
                connection, tenant, timedelta(days=1),
                [("hash", said.prediction_id, {"things": f"{START:%Y}"}, {"of": tenant}, START)],
            )  # fmt: skip
            amiss = Finding(kind="late", severity="high", words="it is late", evidence={"by": 3})
            anomalies.found(connection, tenant, "toy.health", "one", [amiss], START)
            job, _ = jobs.add(connection, tenant, "train", "toy.demand", {"task": "toy.demand"}, "me", "key")
            jobs.deliver(connection, tenant, job.job_id, "ml_training", "seal", 1)
            schedules.fire(connection, tenant, "clean", START)
            notices.add(connection, tenant, "toy.health", "one", [amiss], START)
    operator.close()
    database.close()
    yield one
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {one.name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def copy(source: Source) -> tuple[Path, Told]:
    """A backup of it."""
    file = source.root / "all.backup"
    return file, backup(source.admin, source.blobs, file)


@contextmanager
def own_server(version: int) -> Iterator[Server]:
    """Another server of our own, with roles and an empty database."""
    with reachable() as home:
        server = launcher.start(home, version=version)
        try:
            embedded(server)
            yield server
        finally:
            launcher.stop(home)


CATALOGUE = {
    "policies": "SELECT schemaname, tablename, policyname, permissive, roles::text, cmd, qual, with_check"
    " FROM pg_policies",
    "tables": "SELECT nspname, relname, relkind, relrowsecurity, relforcerowsecurity, relispartition,"
    " pg_get_expr(relpartbound, c.oid), pg_get_partkeydef(c.oid) FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = relnamespace WHERE {ours}",
    "rights": "SELECT nspname, relname, grantee::regrole::text, privilege_type, is_grantable FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) WHERE {ours} AND grantee <> relowner",
    "column rights": "SELECT nspname, relname, attname, grantee::regrole::text, privilege_type FROM pg_attribute a"
    " JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(attacl) WHERE {ours}",
    "schema rights": "SELECT nspname, grantee::regrole::text, privilege_type FROM pg_namespace n, aclexplode(nspacl)"
    " WHERE {ours} AND grantee <> nspowner",
    "columns": "SELECT nspname, relname, attname, atttypid::regtype::text, attnotnull, attidentity,"
    " pg_get_expr(adbin, adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
    " JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE {ours} AND attnum > 0 AND NOT attisdropped",
    "constraints": "SELECT nspname, conrelid::regclass::text, conname, pg_get_constraintdef(c.oid) FROM pg_constraint c"
    " JOIN pg_namespace n ON n.oid = connamespace WHERE {ours} AND contype <> 'n'",
    "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes JOIN pg_namespace n ON nspname = schemaname"
    " WHERE {ours}",
    "sequences": "SELECT schemaname, sequencename, last_value FROM pg_sequences",
    "owners": "SELECT DISTINCT relowner = datdba FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,"
    " pg_database WHERE datname = current_database() AND {ours}",
    "search_path": "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 0 AND setdatabase ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())",
}
OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def catalogue(admin: str) -> dict[str, list[str]]:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("SET search_path TO pg_catalog")
        return {
            what: sorted(map(str, connection.execute(query.format(ours=OURS).encode()).fetchall()))
            for what, query in CATALOGUE.items()
        }


def counts(admin: str, told: Told) -> dict[str, int]:
    with psycopg.connect(admin) as connection:
        return {
            name: connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name.split(".")))
            ).fetchone()[0]  # type: ignore[index]
            for name in told.rows
        }


def is_like(source: Source, admin: str, url: str, blobs: Blobs, root: Path, told: Told) -> None:
    """Whether what came back is what was there, for whoever reads it and whoever must not."""
    assert catalogue(admin) == catalogue(source.admin)
    assert counts(admin, told) == counts(source.admin, told) == told.rows
    stores = opened(declared(), database=url, blobs=f"file://{root}")
    old = Database(source.url())
    try:
        for tenant in TENANTS:
            was = read_all(old, tenant)
            assert read_all(stores.database, tenant) == was
            assert all(was.values())
            with stores.database.tenant(tenant) as connection:
                names = registry.versions(connection, tenant, "toy.task")
                kept = [registry.model(connection, tenant, "toy.task", each.version) for each in names]
            assert len(kept) == 2
            assert blobs.files(tenant) == source.blobs.files(tenant)
            assert len(blobs.files(tenant)) == 3
            for name in blobs.files(tenant):
                assert blobs.read(tenant, name) == source.blobs.read(tenant, name)
            for each in kept:
                folder = root.parent / uuid4().hex
                blobs.get(tenant, each.blob, folder)
                assert (folder / "model.txt").read_text().startswith(f"a model of {tenant}, {each.version}\n")
            for forbidden in ("UPDATE ml_predictions SET method = ''", "DELETE FROM audit", "DELETE FROM toy.things"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), stores.database.tenant(tenant) as connection:
                    connection.execute(forbidden.encode())
        with stores.database.nobody() as connection:
            assert connection.execute("SELECT count(*) FROM toy.things").fetchone() == (0,)
        with stores.database.tenant("acme") as connection:  # what was imported before can be taken back
            second, first = imports.listed(connection, "acme", name="toy.things", limit=9)
            done = imports.take_back(connection, "acme", "toy", THINGS, second.import_id, "me")
            assert (done.removed, done.restored, first.undone_at) == (second.accepted, second.revised, None)
            assert second.revised
        write_all(stores.database, "acme", shift=9.0)  # it goes on: identities, marks, revisions
        with stores.database.tenant("acme") as connection:
            records.audit(connection, "acme", "somebody", "import", "toy.things", {})
            decisions.change(connection, "acme", "toy", "me", {"one": 1})
            (one,) = decisions.recommendations(connection, "acme", state="pending", limit=9, before=None)
            decisions.decide(connection, "acme", one.recommendation_id, "rejected", who="me")
    finally:
        old.close()
        stores.database.close()


@pytest.mark.parametrize("version", [16, 18])
def test_it_comes_back_in_another_server(version: int, source: Source, copy: tuple[Path, Told], tmp_path: Path) -> None:
    blobs = Blobs(f"file://{tmp_path}/blobs")
    with own_server(version) as server:
        told = restore(copy[0], url_of(server, OWNER), blobs, login=LOGIN)
        is_like(source, server.url(DATABASE), url_of(server, LOGIN), blobs, tmp_path / "blobs", told)
    assert told == copy[1]


def test_it_comes_back_under_other_names(source: Source, copy: tuple[Path, Told], tmp_path: Path) -> None:
    """As in somebody's own PostgreSQL: another database, owner and login, none with special rights."""
    server, name = source.server, f"Other db {uuid4().hex[:6]}"
    owner, login, password = f"own {name}", f"log {name}", "a b:/@'%"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for role, rights in ((owner, "CREATEROLE"), (login, "NOINHERIT")):
            connection.execute(
                sql.SQL(f"CREATE ROLE {{}} LOGIN {rights} PASSWORD {{}}").format(sql.Identifier(role), password)
            )
        for role in ROLES:
            connection.execute(sql.SQL(f"GRANT {role} TO {{}} WITH ADMIN OPTION").format(sql.Identifier(owner)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
    blobs = Blobs(f"file://{tmp_path}/blobs")
    told = restore(copy[0], server.url(name, owner, password), blobs, login=login)
    is_like(source, server.url(name), server.url(name, login, password), blobs, tmp_path / "blobs", told)
    with pytest.raises(Misconfigured, match=r"row security holds own Other db .*BYPASSRLS"):
        backup(server.url(name, owner, password), blobs, tmp_path / "no")


def test_the_manifest_says_what_is_in_it(source: Source, copy: tuple[Path, Told]) -> None:
    file, told = copy
    assert file.stat().st_mode & 0o777 == 0o600
    assert told.tenants == 2
    assert told.blobs == 4
    assert told.quarantined == []
    assert told.roles == []
    assert told.postgres == source.server.version
    assert told.rows["toy.things"] == 160
    assert told.rows["public.quarantine"] == 4
    with zipfile.ZipFile(file) as archive:
        for name, part in told.parts.items():
            content = archive.read(name)
            assert (len(content), hashlib.sha256(content).hexdigest()) == (part.size, part.sha256)
    assert not file.with_name("all.backup.part").exists()


def test_an_existing_file_is_never_overwritten(source: Source, copy: tuple[Path, Told]) -> None:
    before = copy[0].read_bytes()
    with pytest.raises(Refused, match="exists; give another name"):
        backup(source.admin, source.blobs, copy[0])
    assert copy[0].read_bytes() == before


def test_a_database_that_is_not_ours_is_not_backed_up(source: Source, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="postgres has no tables of foretell"):
        backup(source.server.url(), source.blobs, tmp_path / "no")
    with pytest.raises(Unavailable, match="does not answer"):
        backup("postgresql://nobody@127.0.0.1:1/x", source.blobs, tmp_path / "no")
    with pytest.raises(Misconfigured, match="can't be written"):
        backup(source.admin, source.blobs, tmp_path / "no" / "folder")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what is refused before anything changes


@pytest.fixture
def empty(source: Source) -> Iterator[str]:
    """The name of an empty database beside the source."""
    name = f"empty_{uuid4().hex[:8]}"
    with psycopg.connect(source.server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}".encode())
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def untouched(source: Source, name: str, blobs: Path) -> bool:
    with psycopg.connect(source.server.url(name)) as connection:
        tables = connection.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()
        settings = connection.execute(
            "SELECT FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s", [name]
        ).fetchall()
    return not tables and not settings and not [each for each in blobs.rglob("*") if each.is_file()]


def test_a_flipped_byte_is_refused(source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path) -> None:
    whole = copy[0].read_bytes()
    with zipfile.ZipFile(copy[0]) as archive:
        starts = [each.header_offset for each in archive.infolist()]
        ends = [*starts[1:], archive.start_dir]
        inside = [(start + end) // 2 for start, end in zip(starts, ends, strict=True)]  # every part, the manifest too
        names = [whole.rindex(each.filename.encode()) for each in archive.infolist()]
    owner, blobs = source.server.url(empty, OWNER, secret(source.server, OWNER)), Blobs(f"file://{tmp_path}/blobs")
    for place in [*inside, *names, 0, archive.start_dir, len(whole) - 20]:
        file = tmp_path / "flipped"
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        with pytest.raises(Damaged, match="flipped"):
            restore(file, owner, blobs)
    assert untouched(source, empty, tmp_path / "blobs")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_file_is_refused(
    kept: float, source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path
) -> None:
    whole, file = copy[0].read_bytes(), tmp_path / "cut"
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(Damaged, match="no whole backup"):
        restore(file, source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    assert untouched(source, empty, tmp_path / "blobs")


def rewritten(file: Path, to: Path, leave: str = "", **manifest: Any) -> Path:
    """The archive without a part, or with another word in its manifest."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w") as new:
        for each in old.infolist():
            content = old.read(each)
            if each.filename == MANIFEST:
                content = Told.model_validate_json(content).model_copy(update=manifest).model_dump_json().encode()
            if not leave or leave not in each.filename:
                new.writestr(each.filename, content)
    return to


@pytest.mark.parametrize(
    ("leave", "manifest", "error", "words"),
    [
        ("blobs/acme", {}, Damaged, "does not hold the parts"),
        (DUMP, {}, Damaged, "does not hold the parts"),
        (MANIFEST, {}, Damaged, "is no backup of foretell"),
        ("", {"tables_version": "9999"}, Misconfigured, "upgrade foretell"),
        ("", {"format": 3}, Misconfigured, "upgrade foretell"),
        ("", {"roles": ["some one"]}, Refused, 'type in psql: CREATE ROLE "some one"'),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    leave: str,
    manifest: dict[str, Any],
    error: type[Exception],
    words: str,
    source: Source,
    copy: tuple[Path, Told],
    empty: str,
    tmp_path: Path,
) -> None:
    file = rewritten(copy[0], tmp_path / "other", leave, **manifest)
    with pytest.raises(error, match=words):
        restore(file, source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    assert untouched(source, empty, tmp_path / "blobs")


@pytest.mark.parametrize("name", ["files/acme/../zeta/x", "files/acme/blobs/x", "files/Acme/ml_models/x", "other/a/b"])
def test_a_part_under_a_strange_name_is_refused(
    name: str, source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path
) -> None:
    parts = {**copy[1].parts, name: Part(size=1, sha256=hashlib.sha256(b"x").hexdigest())}
    file = rewritten(copy[0], tmp_path / "other", "", parts=parts)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(Damaged, match=f"{name} is not what was written"):
        restore(file, source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    assert untouched(source, empty, tmp_path / "blobs")


def test_a_file_that_is_let_go_meanwhile_is_left_out(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(f"file://{source.root}/blobs")
    files = blobs.files
    monkeypatch.setattr(blobs, "files", lambda tenant: {**files(tenant), "ml_models/toy/0.0.0/gone": 1})
    told = backup(source.admin, blobs, tmp_path / "one")
    assert {name.split("/")[1] for name in told.parts if name.startswith("files/")} == {*TENANTS}
    assert not [name for name in told.parts if name.endswith("gone")]


def test_a_database_in_use_is_refused(source: Source, copy: tuple[Path, Told], tmp_path: Path) -> None:
    before = counts(source.admin, copy[1])
    with pytest.raises(Refused, match=r"has agile.assignments and .* more of these tables; type: so and so"):
        restore(copy[0], source.admin, Blobs(f"file://{tmp_path}/blobs"), instead="type: so and so")
    assert counts(source.admin, copy[1]) == before
    with pytest.raises(NotFound, match="there is no file"):
        restore(tmp_path / "none", source.admin, source.blobs)


def test_what_the_database_refuses_leaves_nothing_in_it(
    source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path
) -> None:
    """The last statement but one fails: an index of that name is there, in a schema that is."""
    with psycopg.connect(source.server.url(empty), autocommit=True) as connection:
        connection.execute("CREATE VIEW idx_audit_tenant_at AS SELECT 1")
    with pytest.raises(Refused, match=r"nothing in it was changed.*idx_audit_tenant_at"):
        restore(copy[0], source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    with psycopg.connect(source.server.url(empty), autocommit=True) as connection:
        connection.execute("DROP VIEW idx_audit_tenant_at")
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'toy'").fetchone() is None
    told = restore(copy[0], source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    assert counts(source.server.url(empty), told) == told.rows


def test_half_a_dump_leaves_nothing(source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path) -> None:
    """Were a dump cut short before it was summed, its reader would notice, and what came before is undone."""
    with zipfile.ZipFile(copy[0]) as archive:
        cut = archive.read(DUMP)[:-2000]
    parts = copy[1].parts | {DUMP: Part(size=len(cut), sha256=hashlib.sha256(cut).hexdigest())}
    file = rewritten(copy[0], tmp_path / "half", DUMP, parts=parts)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(DUMP, cut)
    with pytest.raises(Damaged, match=r"nothing in the database was changed: .*end of file"):
        restore(file, source.server.url(empty), Blobs("memory:///"))
    assert untouched(source, empty, tmp_path / "blobs")


def test_a_dump_that_fails_is_no_backup(source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clients, "_DUMP", ("--format=custom", "--table=nothing.of_the_kind"))
    with pytest.raises(Unavailable, match=r"pg_dump gave up: .*no matching tables"):
        backup(source.admin, source.blobs, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- blobs


def test_a_broken_blob_fails_the_backup_and_is_listed_by_the_next(source: Source, tmp_path: Path) -> None:
    shutil.copytree(source.root / "blobs", tmp_path / "blobs")
    blobs, file = Blobs(f"file://{tmp_path}/blobs"), tmp_path / "file"
    address, lost = (next(iter(blobs.sizes(tenant))) for tenant in TENANTS)
    path = tmp_path / "blobs" / "acme" / "blobs" / address[:2] / address
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "blobs" / "zeta" / "blobs" / lost[:2] / lost).unlink()
    with pytest.raises(Damaged, match=f"^blob {address} of acme is damaged.*: no backup was made"):
        backup(source.admin, blobs, file)
    assert [each.name for each in tmp_path.iterdir()] == ["blobs"]
    told = backup(source.admin, blobs, tmp_path / "without")
    assert (len(told.quarantined), len(told.missing)) == (1, 1)
    assert (address in told.quarantined[0], lost in told.missing[0]) == (True, True)
    blobs.put("zeta", next(folder for folder in source.root.glob("zeta?") if is_at(folder, lost, tmp_path)))
    told = backup(source.admin, blobs, file)
    assert told.blobs == 3
    assert len(told.quarantined) == 1
    assert address in told.quarantined[0]
    assert told.missing == []


def test_all_but_a_file_that_is_nowhere_is_backed_up_and_comes_back(source: Source, empty: str, tmp_path: Path) -> None:
    shutil.copytree(source.root / "blobs", tmp_path / "blobs")
    blobs = Blobs(f"file://{tmp_path}/blobs")
    lost = min(blobs.sizes("zeta"))
    (tmp_path / "blobs" / "zeta" / "blobs" / lost[:2] / lost).unlink()
    told = backup(source.admin, blobs, tmp_path / "file")
    (words,) = told.missing
    assert words.startswith("toy.task ")
    assert words.endswith(f": blob {lost} of zeta does not exist")
    assert (told.blobs, told.quarantined) == (3, [])
    back = Blobs(f"file://{tmp_path}/back")
    assert restore(tmp_path / "file", source.server.url(empty), back) == told
    assert [len(back.sizes(tenant)) for tenant in TENANTS] == [2, 1]
    assert counts(source.server.url(empty), told) == told.rows


def is_at(folder: Path, address: str, where: Path) -> bool:
    return Blobs("memory:///").put("x", folder).address == address


# ---------------------------------------------------------------- while others write, and when we are killed


def test_it_is_of_one_moment_while_others_write(source: Source, empty: str, tmp_path: Path) -> None:
    """Each transaction writes to the ledger and the audit alike, and a model names a blob that is there."""
    done, wrote = threading.Event(), 0

    def write() -> None:
        nonlocal wrote
        database = Database(source.url(), size=1)
        while not done.is_set():
            with database.tenant("acme") as connection:
                records.log(connection, "acme", [served("pair")])
                records.audit(connection, "acme", "writer", "pair", "", {})
            if wrote % 20 == 0:
                a_model(database, source.blobs, "acme", tmp_path / f"m{wrote}", f"w{tmp_path.name}{wrote}")
            wrote += 1
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    files = [tmp_path / f"{number}" for number in range(3)]
    told = [backup(source.admin, source.blobs, file) for file in files]
    done.set()
    writer.join()
    assert wrote > 30
    assert told[0].rows["public.audit"] < told[-1].rows["public.audit"]
    blobs = Blobs(f"file://{tmp_path}/blobs")
    restore(files[1], source.server.url(empty), blobs)
    with psycopg.connect(source.server.url(empty)) as connection:
        pairs = connection.execute(
            'SELECT (SELECT count(*) FROM ml_predictions WHERE request @> \'{"note": "pair"}\'),'
            " (SELECT count(*) FROM audit WHERE action = 'pair')"
        ).fetchone()
        named = {each for (each,) in connection.execute("SELECT blob FROM ml_models WHERE tenant_id = 'acme'")}
    assert pairs
    assert pairs[0] == pairs[1]
    assert named == blobs.sizes("acme").keys()
    assert counts(source.server.url(empty), told[1]) == told[1].rows


def test_a_model_let_go_while_a_backup_runs_is_in_it(source: Source, tmp_path: Path) -> None:
    database, tenant = Database(source.url(), size=1), "acme"
    old = START + timedelta(days=1)
    try:
        for number in range(4):  # the first of them is pruned below; none served
            folder = tmp_path / f"model{number}"
            folder.mkdir()
            (folder / "model.txt").write_text(f"{tmp_path}{number}")
            blob = source.blobs.put(tenant, folder)
            file = source.root / "blobs" / tenant / "blobs" / blob.address[:2] / blob.address
            os.utime(file, (old.timestamp(), old.timestamp()))
            kept = registry.Kept(
                model_name="another", version=f"{number}", candidate="c", card={}, blob=blob.address, size=blob.size,
                created_at=START + timedelta(days=number),
            )  # fmt: skip
            with database.tenant(tenant) as connection:
                registry.keep(connection, tenant, kept)

        class Slow(Blobs):
            def get(self, *args: Any) -> None:
                with database.tenant(tenant) as connection:  # what a training does at its end
                    registry.prune(connection, tenant, "another")
                    needed = registry.needed(connection, tenant)
                    if needed is not None:
                        self.sweep(tenant, needed, before=datetime.now(UTC) - timedelta(days=1))
                super().get(*args)

        told = backup(source.admin, Slow(f"file://{source.root}/blobs"), tmp_path / "file")
        assert told.rows["public.ml_models"] > 4
    finally:
        database.close()


KILLED = """
import sys, time
from pathlib import Path
from foretell.stores import backup
from foretell.stores.blobs import Blobs

class Slow(Blobs):
    def get(self, *args):
        print("half", flush=True)
        time.sleep(60)

backup.backup(sys.argv[1], Slow(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_killed_backup_leaves_no_file_and_the_next_one_is_whole(source: Source, tmp_path: Path) -> None:
    file = tmp_path / "file"
    command = [sys.executable, "-c", KILLED, source.admin, f"file://{source.root}/blobs", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"half\n"
        with pytest.raises(Refused, match="another backup is writing"):
            backup(source.admin, source.blobs, file)
        assert not file.exists()
        child.send_signal(signal.SIGKILL)
    assert [each.name for each in tmp_path.iterdir()] == ["file.part"]
    backup(source.admin, source.blobs, file)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


HALF = """
import sys, time, psycopg, zipfile
from foretell.stores.clients import Clients

class Half:
    def __init__(self, whole):
        self.left = whole[:-4000]

    def read(self, size):
        out, self.left = self.left[:size], self.left[size:]
        if not out:
            time.sleep(3)
            print("half", flush=True)
            time.sleep(60)
        return out

connection = psycopg.connect(sys.argv[1], autocommit=True)
whole = zipfile.ZipFile(sys.argv[2]).read("database.dump")
Clients(connection, sys.argv[1]).load(Half(whole), made_by=int(sys.argv[3]), last="")
"""


def test_model_files_are_compressed_and_an_older_backup_that_was_not_comes_back(
    source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(copy[0]) as archive:
        for each in archive.infolist():
            assert each.compress_type == (zipfile.ZIP_STORED if each.filename == DUMP else zipfile.ZIP_DEFLATED)
            assert each.compress_size < each.file_size or each.filename == DUMP or "files/" in each.filename
    old = rewritten(copy[0], tmp_path / "old")
    with zipfile.ZipFile(old) as archive:
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
    blobs = Blobs(f"file://{tmp_path}/blobs")
    assert restore(old, source.server.url(empty), blobs) == copy[1]
    held = {name: part.size for name, part in copy[1].parts.items() if name.startswith("blobs/")}
    assert {
        f"blobs/{tenant}/{address}": size for tenant in TENANTS for address, size in blobs.sizes(tenant).items()
    } == held  # others' tests leave more in the source
    assert held


def test_a_killed_restore_leaves_the_database_empty(
    source: Source, copy: tuple[Path, Told], empty: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", HALF, source.server.url(empty), str(copy[0]), str(copy[1].postgres)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"half\n"
        with psycopg.connect(source.server.url(), autocommit=True) as connection:
            busy = "SELECT query FROM pg_stat_activity WHERE datname = %s AND backend_xid IS NOT NULL"
            assert connection.execute(busy.encode(), [empty]).fetchall()  # it was in the middle
            child.send_signal(signal.SIGKILL)
            child.wait()
            for _ in range(200):
                if not connection.execute(busy.encode(), [empty]).fetchall():
                    break
                time.sleep(0.05)
    assert untouched(source, empty, tmp_path / "blobs")


def test_no_password_is_on_a_command_line(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: str
) -> None:
    seen: list[str] = []
    real = subprocess.Popen

    def popen(command: Any, **how: Any) -> Any:
        seen.append(" ".join(map(str, command)))
        return real(command, **how)

    monkeypatch.setattr(subprocess, "Popen", popen)
    backup(source.admin, source.blobs, tmp_path / "file")
    restore(tmp_path / "file", source.server.url(empty), Blobs(f"file://{tmp_path}/blobs"))
    assert [Path(each.split()[0]).name for each in seen] == ["pg_dump", "pg_restore", "psql"]
    assert not any(source.server.password in each for each in seen)


def test_the_programs_know_tls_where_the_connection_has_it() -> None:
    """The wheel's own client library does not even know the word."""
    command = [str(clients._program("psql", 16)), "host=127.0.0.1 port=1 sslmode=require"]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | extra).stderr
        for extra in ({}, {"LD_PRELOAD": str(clients._with_tls())})
    ]
    assert "not compiled in" in told[0]
    assert "Connection refused" in told[1]
