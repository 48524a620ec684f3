"""A real PostgreSQL of each version, one a test process, with traffic's tables and those of a toy domain."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.conftest import reachable
from tests.stores.toy import TABLES

from foretell.app.declared import domains
from foretell.contract import Table
from foretell.stores import launcher
from foretell.stores.access import LOGIN, OWNER, VISITOR, url_of
from foretell.stores.database import Database
from foretell.stores.migrate import embedded, migrate
from foretell.stores.server import Server


def declared() -> dict[str, list[Table]]:
    """The tables of the installed domains, and the toy's."""
    return {name: [*domain.tables] for name, domain in domains().items()} | {"toy": TABLES}


@pytest.fixture(scope="session", params=[16, 18], ids=["postgresql16", "postgresql18"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Our own server, of both versions in turn, with every table."""
    with reachable() as home:
        running = launcher.start(home, version=request.param)
        embedded(running)
        migrate(url_of(running, OWNER), declared(), login=LOGIN, visitor=VISITOR)
        yield running
        launcher.stop(home)


@pytest.fixture(scope="session")
def database(server: Server) -> Iterator[Database]:
    """What the app sees of it."""
    opened = Database(url_of(server, LOGIN))
    yield opened
    opened.close()


@pytest.fixture
def tenant() -> str:
    """A tenant nobody else has."""
    return f"t{uuid4().hex[:12]}"
