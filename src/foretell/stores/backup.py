"""Everything that is kept, into one file, and the way back into an empty database."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from psycopg import Connection, sql

from foretell.errors import Damaged, Misconfigured, NotFound, Refused, Unavailable
from foretell.stores.access import ROLES, make_roles
from foretell.stores.archive import CHUNK, DUMP, MANIFEST, Told, add, made, opened, verified
from foretell.stores.blobs import Blobs, pack, unpack
from foretell.stores.clients import Clients
from foretell.stores.database import uncut
from foretell.stores.migrate import ALONE
from foretell.stores.registry import SWEEPING

_SHOWN = 10  # of what is wrong with many blobs


def backup(admin: str, blobs: Blobs, file: Path) -> Told:
    """Write the database and the blobs that it names to `file`, which must not exist; returns what is in it.

    Everything is as of one moment, while others go on writing. `admin` is the URL of a role that row security does not
    hold. Raises Misconfigured for another one, NotFound for a database that is not ours, Refused where `file` exists.
    A blob that is nowhere is listed in what is returned: to back up all else is worth more than nothing. Where one is
    broken, Damaged; it is in quarantine then, and the next backup goes without it and lists it.
    """
    with uncut(admin) as connection:
        clients = Clients(connection, admin)
        _sees_all(connection)
        with made(file) as archive:
            connection.execute("SELECT pg_advisory_lock_shared(%s)", [SWEEPING])  # no model file goes meanwhile
            connection.execute("SELECT pg_advisory_lock_shared(%s)", [ALONE])  # and no table is changed
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                told, tenants, named = _counted(connection, clients.version)
                (snapshot,) = _row(connection, "SELECT pg_export_snapshot()")
                with clients.dumped(snapshot) as dump:
                    told.parts[DUMP] = add(archive, DUMP, iter(lambda: dump.read(CHUNK), b""))
            connection.execute("SELECT pg_advisory_unlock_shared(%s)", [ALONE])
            _add_blobs(archive, blobs, named, told)
            _add_files(archive, blobs, tenants, told)
            add(archive, MANIFEST, [told.model_dump_json(indent=1).encode()])
    return told


def verify(file: Path) -> Told:
    """What is in a file, after every part was found to be what was written. Raises Damaged and Misconfigured."""
    with opened(file) as archive:
        return verified(archive, file)


def restore(file: Path, owner: str, blobs: Blobs, *, login: str | None = None, instead: str | None = None) -> Told:
    """Put what is in `file` into an empty database and the store of blobs; returns what was in it.

    The database gets all of it or nothing. `owner` is the URL of the role that is to own the tables and may make roles
    where ours are missing; `login` is let in. Before anything is changed every part is verified (Damaged), and the
    database must have none of these tables (Refused, with `instead` as what to type) and know all roles that have
    rights. A backup of a newer program is Misconfigured.
    """
    with opened(file) as archive:
        told = verified(archive, file)
        with uncut(owner) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [ALONE])
            clients = Clients(connection, owner)
            _ready(connection, told, instead)
            for name in sorted(told.parts.keys() - {DUMP}):
                _put(blobs, name, archive.read(name))
            make_roles(connection, login)
            with archive.open(DUMP) as dump:
                clients.load(dump, made_by=told.postgres, last=_path(connection, told))
    return told


# ---------------------------------------------------------------- out of the database


def _sees_all(connection: Connection[Any]) -> None:
    """Refuse a role to which the policies hide rows."""
    name, sees = _row(connection, "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    if not sees:
        raise Misconfigured(
            f"row security holds {name}, so it would leave rows out; use a role that may read all, made in psql by a"
            " superuser: CREATE ROLE foretell_backup LOGIN BYPASSRLS PASSWORD '…' IN ROLE pg_read_all_data"
        )
    if not _row(connection, "SELECT to_regclass('public.alembic_version') IS NOT NULL")[0]:
        raise NotFound(f"the database {connection.info.dbname} has no tables of foretell; is it the right one?")


def _counted(connection: Connection[Any], postgres: int) -> tuple[Told, list[str], list[tuple[str, str, str]]]:
    """What is in the database at this moment, without parts; its tenants, and the blobs it names with their models."""
    (version,) = _row(connection, "SELECT version_num FROM public.alembic_version")
    tenants = [name for (name,) in connection.execute("SELECT tenant_id FROM public.tenants ORDER BY 1").fetchall()]
    (now,) = _row(connection, "SELECT now()")
    named = connection.execute(
        "SELECT tenant_id, blob, string_agg(model_name || ' ' || version, ', ' ORDER BY model_name, version)"
        " FROM public.ml_models GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    tables = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'"
        " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2"
    ).fetchall()
    rows = {
        f"{schema}.{name}": _row(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name)))[0]
        for schema, name in tables
    }
    roles = connection.execute(
        "SELECT DISTINCT r.rolname FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid"
        " WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype IN ('a', 'r')"
        " AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND r.rolname <> ALL(%s) AND r.rolname !~ '^pg_' ORDER BY 1",
        [list(ROLES)],
    ).fetchall()
    told = Told(
        foretell=importlib.metadata.version("foretell"),
        tables_version=version,
        postgres=postgres,
        made_at=now,
        tenants=len(tenants),
        rows=rows,
        blobs=0,
        quarantined=[],
        roles=[name for (name,) in roles],
        search_path=_search_path(connection),
        parts={},
    )
    return told, tenants, named


def _search_path(connection: Connection[Any]) -> str | None:
    """Where the database looks for tables; a setting of the database is in no dump."""
    found = connection.execute(
        "SELECT substr(each, strpos(each, '=') + 1) FROM pg_db_role_setting, unnest(setconfig) each"
        " WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND starts_with(each, 'search_path=')"
    ).fetchone()
    return found[0] if found else None


def _add_blobs(archive: ZipFile, blobs: Blobs, named: Iterable[tuple[str, str, str]], told: Told) -> None:
    """Add each blob, and list those that are not there; raises Damaged, after a look at all, where some are broken."""
    wrong: list[str] = []
    aside: dict[str, dict[str, str]] = {}
    for tenant, address, models in named:
        try:
            packed = _packed(blobs, tenant, address)
        except Damaged as error:
            wrong.append(str(error))
        except NotFound as error:
            if tenant not in aside:
                aside[tenant] = blobs.quarantined(tenant)
            (told.quarantined if address in aside[tenant] else told.missing).append(f"{models}: {error}")
        else:
            name = f"blobs/{tenant}/{address}"
            told.parts[name] = add(archive, name, [packed])
            told.blobs += 1
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Damaged(
            f"{'; '.join(wrong[:_SHOWN])}{more}: no backup was made; bring the files back, or back up"
            " again: what is in quarantine is then listed and left out"
        )


def _add_files(archive: ZipFile, blobs: Blobs, tenants: Iterable[str], told: Told) -> None:
    """Add the files of tenants that have names of their own; one that is let go meanwhile is left out."""
    for tenant in tenants:
        for within in blobs.files(tenant):
            if (content := blobs.read(tenant, within)) is not None:
                name = f"files/{tenant}/{within}"
                told.parts[name] = add(archive, name, [content])


def _packed(blobs: Blobs, tenant: str, address: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        blobs.get(tenant, address, Path(folder))
        packed = pack(Path(folder))
    if hashlib.sha256(packed).hexdigest() != address:
        raise Damaged(f"blob {address} of {tenant} does not pack into what it was unpacked from")
    return packed


# ---------------------------------------------------------------- into a database


def _ready(connection: Connection[Any], told: Told, instead: str | None) -> None:
    """Refuse a database that has these tables, or lacks a role."""
    name = connection.info.dbname
    there = connection.execute(
        "SELECT each FROM unnest(%s::text[]) each WHERE EXISTS (SELECT FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = each) ORDER BY each",
        [[*told.rows]],
    ).fetchall()
    if there:
        instead = instead or f"restore into an empty one, made in psql: CREATE DATABASE {name}_restored OWNER …"
        raise Refused(f"the database {name} has {there[0][0]} and {len(there) - 1} more of these tables; {instead}")
    missing = connection.execute(
        "SELECT quote_ident(each) FROM unnest(%s::text[]) each"
        " WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = each) ORDER BY each",
        [told.roles],
    ).fetchall()
    if missing:
        make = "; ".join(f"CREATE ROLE {role}" for (role,) in missing)
        raise Refused(f"roles that have rights in the backup are missing here; type in psql: {make}")


def _put(blobs: Blobs, name: str, packed: bytes) -> None:
    kind, tenant, address = name.split("/", maxsplit=2)
    if kind == "files":
        blobs.write(tenant, address, packed)
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(packed, address, Path(folder))
        kept = blobs.put(tenant, Path(folder))
    if kept.address != address:
        raise Damaged(f"blob {address} of {tenant} became {kept.address} when it was put back")


def _path(connection: Connection[Any], told: Told) -> str:
    """The last statements of a restore, in its transaction: what the dump does not know."""
    if told.search_path is None:
        return ""
    return (
        sql.SQL(
            "SELECT pg_catalog.set_config('search_path', {}, false); ALTER DATABASE {} SET search_path FROM CURRENT;"
        )
        .format(told.search_path, sql.Identifier(connection.info.dbname))
        .as_string(connection)
    )


# ---------------------------------------------------------------- both


def _row(connection: Connection[Any], query: str | sql.Composed, *values: Any) -> tuple[Any, ...]:
    found = connection.execute(query.encode() if isinstance(query, str) else query, values or None).fetchone()
    if found is None:
        raise Unavailable("the database gave no row; try again")
    row: tuple[Any, ...] = found
    return row
