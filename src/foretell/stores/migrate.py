"""Making the database ours: roles, the engine's tables by Alembic, the domains' tables from their declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg import sql

from foretell.contract import Table
from foretell.errors import Misconfigured
from foretell.stores import declared
from foretell.stores.access import DATABASE, LOGIN, OWNER, VISITOR, make_role, make_roles, secret
from foretell.stores.server import Server

ALONE = 4_072_026  # names the lock under which a database is changed


def embedded(server: Server) -> None:
    """Make the owner, the logins and the database in our own server, where they are not there."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [ALONE])
        make_role(connection, OWNER, sql.SQL("LOGIN CREATEROLE PASSWORD {}").format(secret(server, OWNER)))
        for login in (LOGIN, VISITOR):
            make_role(connection, login, sql.SQL("LOGIN NOINHERIT PASSWORD {}").format(secret(server, login)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )


def migrate(
    owner: str, domains: Mapping[str, Sequence[Table]], *, login: str | None = None, visitor: str | None = None
) -> None:
    """Bring a database up to this program: roles, engine's tables, the tables of `domains`; all of it or nothing.

    `owner` is a URL whose role may make roles and tables; `login` names a role to be let in, `visitor` one that only
    reads. Raises Misconfigured.
    """
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [ALONE])
        make_roles(connection, login)
        make_roles(connection, visitor, reads=True)
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(owner), poolclass=sa.NullPool)
    with engine.begin() as transaction:
        transaction.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": ALONE})
        config = Config()
        config.set_main_option("script_location", "foretell.stores:migrations")
        config.attributes["connection"] = transaction
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise Misconfigured(
                f"the database's tables are newer than this program; upgrade foretell ({error})"
            ) from error
        for domain, tables in domains.items():
            for table in tables:
                declared.make(transaction, domain, table)
        there = sa.inspect(transaction).get_schema_names()
        path = ", ".join(f'"{name}"' for name in ("public", *sorted({*domains} & {*there})))
        transaction.exec_driver_sql(f"ALTER DATABASE {_quoted(transaction)} SET search_path TO {path}")


def _quoted(transaction: sa.Connection) -> str:
    name: str = transaction.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
    return name
