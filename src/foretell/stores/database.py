"""A PostgreSQL: a pool of connections, each transaction of which belongs to one tenant."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg_pool import ConnectionPool, PoolTimeout

from foretell.errors import Forbidden, InvalidRequest, Misconfigured, NotFound, Unavailable, first_line
from foretell.stores.access import APP, READER
from foretell.stores.migrations import HEAD

PASSING = ("08", "40", "53", "55", "57")  # classes of errors that may be gone at the next try
UNWRITABLE = ("22021", "22P05")  # errors of texts with NUL or half a character; without a number where we find it
OLDEST = 16  # the PostgreSQL that is still understood
FAR = 1.1  # times what a page in a row costs, a page anywhere
NAME = "foretell"  # of our programs, before the number of the process, where PostgreSQL lists who is connected
WAIT = 10.0  # seconds that a request waits for a connection
BEGIN = {False: "BEGIN", True: "BEGIN ISOLATION LEVEL REPEATABLE READ"}  # by whether it sees one moment
TENANT = "; SELECT set_config('app.current_tenant', {}, true)"
LIGHTLY = ", set_config('synchronous_commit', 'off', true)"
LIMITED = b"; SET LOCAL statement_timeout = %d"
THERE = b"; SELECT FROM public.tenants WHERE tenant_id = current_setting('app.current_tenant')"
READ_ONLY = "the database is open for reading alone (--read-only): predictions are made, and nothing else is changed"


class Database:
    """One role's connections to a database whose schema is ours.

    A transaction belongs to the tenant it was opened for: the database shows it no other tenant's rows.
    """

    def __init__(self, url: str, *, role: str = APP, size: int = 10) -> None:
        """Open up to `size` connections of a login that was `checked`."""
        self.url, self.role = url, role
        told = {"autocommit": True, "fallback_application_name": f"{NAME} {os.getpid()}"}
        self._pool = ConnectionPool(
            url, min_size=1, max_size=size, timeout=WAIT, open=True, configure=self._enter, kwargs=told
        )

    def _enter(self, connection: Connection[Any]) -> None:
        # Pages far apart cost little more than those in a row on today's disks. PostgreSQL's own estimate is of a disk
        # that turns: it then reads what everybody did within a time sooner than what one did, whom an index finds.
        connection.execute(f"SET ROLE {self.role}; SET random_page_cost = {FAR}".encode())

    @contextmanager
    def tenant(
        self,
        tenant: str,
        *,
        snapshot: bool = False,
        durable: bool = True,
        seconds: float | None = None,
        there: bool = False,
    ) -> Iterator[Connection[Any]]:
        """A transaction of one tenant, committed at the end, rolled back on an error.

        With `snapshot` everything in it is read as of its beginning. Not `durable`: a crash of the database, and
        nothing else, may lose the last half second of what was committed so. No statement takes longer than `seconds`,
        where they are given. Raises Unavailable; InvalidRequest for a text that holds NUL or half a character;
        Forbidden for a write by one who only reads; with `there` NotFound, where there is no such tenant.
        """
        with self._connection() as connection:  # which rolls back
            limit = b"" if seconds is None else LIMITED % max(round(seconds * 1000), 1)
            begun = connection.execute(_begun(tenant, snapshot, durable) + limit + (THERE if there else b""))
            while begun.nextset():
                pass
            if there and not begun.rowcount:
                raise nobody(tenant)
            yield connection
            connection.commit()

    @contextmanager
    def nobody(self) -> Iterator[Connection[Any]]:
        """A transaction of no tenant: it sees what belongs to none, and what the role may see of all."""
        with self._connection() as connection:
            connection.execute(BEGIN[False])
            yield connection
            connection.commit()

    @contextmanager
    def _connection(self) -> Iterator[Connection[Any]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            if getattr(error, "sqlstate", None) and not str(error.sqlstate).startswith(PASSING):
                raise
            raise Unavailable(f"the database does not answer ({first_line(error)}); try again") from error
        except psycopg.errors.InsufficientPrivilege as error:
            if self.role != READER:
                raise
            raise Forbidden(READ_ONLY) from error
        except (psycopg.DataError, UnicodeEncodeError) as error:
            if isinstance(error, psycopg.DataError) and error.sqlstate not in (None, *UNWRITABLE):
                raise
            raise InvalidRequest(f"a text holds what the database can't: {first_line(error)}") from error

    def answers(self) -> bool:
        """Whether the server answers, asked over a connection of its own: all others may be in use."""
        try:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def nobody(tenant: str) -> NotFound:
    """What is raised where there is no such tenant; it says what to type."""
    return NotFound(f"there is no tenant {tenant}; type: foretell tenant add {tenant} --zone Europe/Athens")


@lru_cache(maxsize=1000)
def _begun(tenant: str, snapshot: bool, durable: bool) -> bytes:
    """What begins a transaction: one text, for it goes to the server in one trip."""
    told = sql.SQL(BEGIN[snapshot] + TENANT + ("" if durable else LIGHTLY))
    return told.format(tenant).as_bytes()


def schema(url: str, role: str) -> tuple[str | None, Mapping[tuple[str, str], str]]:
    """The version of the engine's tables, None without any, and the fingerprints of declared tables."""
    with _opened(url) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        try:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            told = connection.execute("SELECT domain, name, fingerprint FROM declared_tables").fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            return None, {}
    if version is not None and version > HEAD:
        raise Misconfigured(
            f"the database's tables are of version {version}, newer than this program's {HEAD}; upgrade foretell"
        )
    return version, {(domain, name): fingerprint for domain, name, fingerprint in told}


# What a login, or whatever it may become, can write and the role taken on can't: any statement can let it.
MORE = (
    "SELECT session_user, format('%I.%I', n.nspname, c.relname)"
    " FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE pg_has_role(session_user, r.oid, 'MEMBER') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (EXISTS ("
    "SELECT FROM unnest(ARRAY['INSERT', 'UPDATE']) deed WHERE has_any_column_privilege(r.oid, c.oid, deed)"
    " AND NOT has_any_column_privilege(c.oid, deed)) OR EXISTS ("
    "SELECT FROM unnest(ARRAY['DELETE', 'TRUNCATE']) deed WHERE has_table_privilege(r.oid, c.oid, deed)"
    " AND NOT has_table_privilege(c.oid, deed))) ORDER BY 2 LIMIT 1"
)


def checked(url: str, role: str) -> None:
    """Refuse a login that no policy would hold, one that can't take the role on, and a reader that can do more."""
    with _opened(url) as connection:
        if connection.info.server_version < OLDEST * 10_000:
            raise Misconfigured(
                f"PostgreSQL {connection.info.server_version // 10_000} is too old; {OLDEST} or newer is needed"
            )
        told = connection.execute(
            "SELECT session_user, string_agg(rolname, ', ') FROM pg_roles"
            " WHERE (rolsuper OR rolbypassrls) AND (rolname = %s OR pg_has_role(session_user, oid, 'MEMBER'))",
            [role],
        ).fetchone()
        name, above = told or ("?", None)
        if above:
            raise Misconfigured(
                f"the database login {name} is, or may become, {above}, whom no row security holds: tenants would not"
                f" be kept apart; use one that is not: CREATE ROLE foretell LOGIN PASSWORD '…' IN ROLE {role}"
            )
        try:
            connection.execute(f"SET ROLE {role}".encode())
        except psycopg.errors.InvalidParameterValue:
            raise Misconfigured(f"the database has no role {role} yet; type: foretell migrate") from None
        except psycopg.errors.InsufficientPrivilege:
            raise Misconfigured(f"{name} is no member of {role}; type in psql: GRANT {role} TO {name}") from None
        if role == READER and (more := connection.execute(MORE).fetchone()):
            raise Misconfigured(
                "the database login {} can write {}: with --read-only it must be a member of {} alone; type in psql:"
                " CREATE ROLE foretell_readonly LOGIN PASSWORD '…' IN ROLE {}".format(*more, READER, READER)
            )


def connected(url: str) -> list[int]:
    """The processes of our programs that are connected to a database. Raises Unavailable."""
    with _opened(url) as connection:
        told = connection.execute(
            "SELECT DISTINCT split_part(application_name, ' ', 2)::int FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ %s ORDER BY 1",
            [f"^{NAME} [0-9]+$"],
        )
        return [process for (process,) in told]


@contextmanager
def uncut(url: str, hint: str = "") -> Iterator[Connection[Any]]:
    """A connection that nothing cuts while it waits for others, each statement of which is committed.

    Raises Unavailable; Misconfigured, with the hint, for what the database refuses.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(
                "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout',"
                " 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')"
            )
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database does not answer ({first_line(error)})") from error
    except psycopg.Error as error:
        raise Misconfigured(f"the database refuses ({first_line(error)}){hint}") from error


@contextmanager
def _opened(url: str) -> Iterator[Connection[Any]]:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database does not answer ({first_line(error)})") from error
