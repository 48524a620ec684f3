"""Who may do what in the database: the roles, and the policy that keeps tenants apart.

    owner      makes tables; serves nobody
    foretell_app       what a server or command does for one tenant
    foretell_reader    the same with `--read-only`: reads all of a tenant, writes predictions alone
    foretell_operator  adds tenants; sees none of their data
    foretell_worker    takes jobs from the queue; sees whose they are and when they are due, none of their data
    foretell_eraser    what takes facts away for good: a person's, and those that are old enough

A login is made a member of the last five and takes one of them on for each connection. Who only reads has a login that
is a member of `foretell_reader` alone: a statement that was slipped in could take on another role. In our own server
the logins are `foretell_owner`, `foretell` and `foretell_readonly`, the database is `foretell`.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlsplit

from psycopg import Connection, sql

from foretell.errors import Misconfigured
from foretell.stores.server import Server

OWNER, LOGIN, VISITOR, DATABASE = "foretell_owner", "foretell", "foretell_readonly", "foretell"

APP, READER, OPERATOR, WORKER = "foretell_app", "foretell_reader", "foretell_operator", "foretell_worker"
ERASER = "foretell_eraser"
ROLES = (APP, READER, OPERATOR, WORKER, ERASER)
QUEUE = "foretell_queue"  # the schema of jobs on their way

# After a transaction the setting is empty, not null: then, as before it is first set, no row is anybody's.
MINE = "tenant_id = nullif(current_setting('app.current_tenant', true), '')"


def closed(table: str) -> str:
    """The statements that close a table to all but the tenant of the transaction, its owner included."""
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
        f"CREATE POLICY tenant_isolation ON {table} USING ({MINE}) WITH CHECK ({MINE})"
    )


def url_of(server: Server, login: str) -> str:
    """The URL of our database in our own server, for one of its logins."""
    return server.url(DATABASE, login, secret(server, login))


def secret(server: Server, login: str) -> str:
    """A login's password: it follows from the superuser's, so that there is one secret to keep instead of three."""
    return hmac.new(server.password.encode(), login.encode(), hashlib.sha256).hexdigest()


def owner_of(database: str, owner: str | None, deed: str) -> str:
    """The URL of who owns the tables of a database that is not ours; raises Misconfigured without a fitting one."""
    if owner is None:
        raise Misconfigured(
            f"to {deed}, the login of FORETELL_DATABASE has too few rights; type:"
            f" FORETELL_DATABASE_OWNER=postgresql://owner:…@{urlsplit(database).netloc.rpartition('@')[2]}"
            f"{urlsplit(database).path} foretell …"
        )
    if urlsplit(owner).path != urlsplit(database).path:
        raise Misconfigured(
            f"FORETELL_DATABASE names the database {urlsplit(database).path[1:]!r}, FORETELL_DATABASE_OWNER"
            f" {urlsplit(owner).path[1:]!r}; give both the same"
        )
    return owner


def make_roles(connection: Connection[Any], login: str | None, *, reads: bool = False) -> None:
    """Make our roles where they are missing, and let `login` take them on; the reader's alone, if it only `reads`."""
    for name in ROLES:
        make_role(connection, name, sql.SQL("NOLOGIN"))
        if login and (name == READER or not reads):
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(name), sql.Identifier(login)))


def make_role(connection: Connection[Any], name: str, rights: sql.Composable) -> None:
    """Make a role where there is none of that name."""
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), rights))
