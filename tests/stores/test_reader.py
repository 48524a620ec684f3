"""Who only reads: a login that can't become more, whatever statement is slipped in, and one that can is refused."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from foretell.errors import Misconfigured
from foretell.stores import opened
from foretell.stores.access import APP, DATABASE, LOGIN, OPERATOR, OWNER, READER, VISITOR, url_of
from foretell.stores.database import checked
from foretell.stores.migrate import migrate
from foretell.stores.server import Server

GUEST = "guest"


@pytest.fixture
def guest(server: Server) -> Iterator[str]:
    """The URL of a login of somebody's own that is a reader alone, as the documentation makes it."""
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {GUEST} LOGIN PASSWORD 'g' IN ROLE {READER}")
        yield server.url(DATABASE, GUEST, "g")
        connection.execute(f"DROP OWNED BY {GUEST}")
        connection.execute(f"DROP ROLE {GUEST}")


def above(server: Server, statement: str) -> None:
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.row("I9")
def test_the_readers_login_can_become_nobody_else(server: Server) -> None:
    with psycopg.connect(url_of(server, VISITOR), autocommit=True) as connection:
        connection.execute(f"SET ROLE {READER}")
        for other in (APP, OPERATOR, OWNER, LOGIN):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {other}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET SESSION AUTHORIZATION {other}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"GRANT {APP} TO {VISITOR}")
        connection.execute("RESET ROLE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO data_marks VALUES ('t', 'x', 1)")


def test_a_reader_alone_is_let_in(server: Server, guest: str) -> None:
    checked(url_of(server, VISITOR), READER)
    checked(guest, READER)


@pytest.mark.row("I9")
@pytest.mark.parametrize("right", [
    f"GRANT {APP} TO {GUEST}",
    f"GRANT {OPERATOR} TO {GUEST}",
    f"GRANT {LOGIN} TO {GUEST}",
    f"GRANT pg_write_all_data TO {GUEST}",
    f"GRANT UPDATE ON ml_predictions TO {GUEST}",
    f"GRANT UPDATE (replaced_at) ON traffic.metrics TO {GUEST}",
    f"GRANT INSERT (who) ON audit TO {GUEST}",
    f"GRANT DELETE ON quarantine TO {GUEST}",
    f"GRANT TRUNCATE ON answered TO {GUEST}",
    f"CREATE TABLE diary (entry text); ALTER TABLE diary OWNER TO {GUEST}",
])  # fmt: skip
def test_a_login_that_can_write_more_is_refused(server: Server, guest: str, right: str) -> None:
    above(server, right)
    with pytest.raises(Misconfigured, match=f"the database login {GUEST} can write .*CREATE ROLE .* IN ROLE {READER}"):
        checked(guest, READER)


def test_the_apps_own_login_is_no_reader(server: Server) -> None:
    with pytest.raises(Misconfigured, match=f"the database login {LOGIN} can write"):
        checked(url_of(server, LOGIN), READER)
    checked(url_of(server, LOGIN), APP)


def test_a_home_from_before_there_were_readers_gets_the_login(server: Server) -> None:
    above(server, f"REVOKE {READER} FROM {VISITOR}; DROP ROLE {VISITOR}")
    kept = opened({}, home=server.home, role=READER)
    with kept.database.nobody() as connection:
        assert connection.execute("SELECT session_user, current_user").fetchone() == (VISITOR, READER)
    kept.database.close()


def test_a_migration_lets_who_only_reads_in_as_a_reader_alone(server: Server) -> None:
    above(server, "CREATE ROLE visitor LOGIN PASSWORD 'v'")
    try:
        migrate(url_of(server, OWNER), {}, visitor="visitor")
        checked(
            f"postgresql://visitor:v@/{DATABASE}?host={quote(str(server.socket), safe='')}&port={server.port}", READER
        )
    finally:
        above(server, "DROP OWNED BY visitor; DROP ROLE visitor")
