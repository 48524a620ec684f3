"""Where things are kept: facts, models and the ledger in PostgreSQL, model files in blobs. Only `app` opens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from foretell.contract import Table
from foretell.errors import Misconfigured, Unavailable
from foretell.stores import launcher
from foretell.stores.access import APP, LOGIN, OWNER, READER, VISITOR, url_of
from foretell.stores.blobs import Blobs
from foretell.stores.database import Database, checked, schema
from foretell.stores.migrations import HEAD
from foretell.stores.shape import fingerprint


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Everything that is kept, opened."""

    database: Database
    blobs: Blobs


def opened(
    domains: Mapping[str, Sequence[Table]],
    *,
    database: str | None = None,
    home: Path | None = None,
    blobs: str | None = None,
    role: str = APP,
    size: int = 10,
) -> Stores:
    """Open the stores for the tables of `domains`, with up to `size` connections.

    Without `database` (a `postgresql://` URL) our own PostgreSQL in `home` is started where it does not run, and
    brought up to date. Another one is refused unless it is: Misconfigured says what to type. Raises Unavailable.
    """
    home = home or launcher.default_home()
    url = database or _own(domains, home, role)
    checked(url, role)
    if database and (old := outdated(url, domains, role)):
        raise Misconfigured(f"{old}; type: foretell migrate")
    return Stores(database=Database(url, role=role, size=size), blobs=Blobs(blobs or blobs_in(home)))


def blobs_in(home: Path) -> str:
    """The URL of the blobs that lie in `home`."""
    return f"file://{quote(str(home / 'blobs'))}"


def _own(domains: Mapping[str, Sequence[Table]], home: Path, role: str) -> str:
    """The URL of our own database, up to date."""
    server = launcher.start(home)
    url = url_of(server, VISITOR if role == READER else LOGIN)
    try:
        if not outdated(url, domains, role):
            return url
    except Unavailable:  # no such login or database yet; else the next line says what is wrong
        pass
    from foretell.stores.migrate import embedded, migrate  # SQLAlchemy and Alembic take a third of a second

    embedded(server)
    migrate(url_of(server, OWNER), domains, login=LOGIN, visitor=VISITOR)
    return url


def outdated(url: str, domains: Mapping[str, Sequence[Table]], role: str) -> str | None:
    """In which way a database's tables are not this program's; None where they are."""
    version, there = schema(url, role)
    if version != HEAD:
        return (
            f"the database's tables are of version {version}, not {HEAD}" if version else "the database has no tables"
        )
    wanted = {(domain, table.name): fingerprint(table) for domain, tables in domains.items() for table in tables}
    old = sorted(".".join(name) for name, form in wanted.items() if there.get(name) != form)
    return f"the database's tables are old: {', '.join(old)}" if old else None
