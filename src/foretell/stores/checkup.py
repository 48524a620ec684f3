"""What a doctor asks the stores: how the last backups ended, and which model files on record are not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from psycopg import Connection

from foretell.stores.access import READER
from foretell.stores.blobs import Blobs
from foretell.stores.database import Database

OLD = timedelta(days=2)  # of a backup
STARTING = timedelta(hours=1)  # from when a backup is due until it is missed


@dataclass(frozen=True, kw_only=True)
class Named:
    """A model that is on record, and the address of its files."""

    tenant: str
    task: str
    version: str
    blob: str
    serving: bool  # it is the one that was let serve last


@dataclass(frozen=True, kw_only=True)
class Backups:
    """How the house's own backups went, by the database's clock; None where there was none."""

    now: datetime
    due: datetime | None  # of the last that was begun
    ended_at: datetime | None
    told: dict[str, Any] | None  # what it did, where it was made
    error: str | None  # why it could not be
    good: datetime | None  # when the last that was made was due
    since: datetime | None  # when the oldest tenant was added: before, there was nothing to back up


def backups(connection: Connection[Any]) -> Backups:
    """How the house's own backups went; as operator."""
    row = connection.execute(
        "SELECT now(), r.due, r.ended_at, r.told, r.error,"
        " (SELECT max(due) FROM house_runs WHERE name = 'backup' AND told IS NOT NULL AND error IS NULL),"
        " (SELECT min(created_at) FROM tenants)"
        " FROM (SELECT) nothing LEFT JOIN (SELECT * FROM house_runs WHERE name = 'backup' ORDER BY due DESC LIMIT 1) r"
        " ON true"
    ).fetchone()
    assert row is not None
    names = ("now", "due", "ended_at", "told", "error", "good", "since")
    return Backups(**dict(zip(names, row, strict=True)))


def on_record(url: str, tenants: Iterable[str]) -> list[Named]:
    """Every tenant's models on record, asked as who only reads, one tenant at a time."""
    out = []
    database = Database(url, role=READER, size=1)
    try:
        for tenant in tenants:
            with database.tenant(tenant) as connection:
                found = connection.execute(
                    "SELECT m.model_name, m.version, m.blob, d.version IS NOT NULL FROM ml_models m"
                    " LEFT JOIN (SELECT DISTINCT ON (model_name) model_name, version FROM ml_deployments"
                    " WHERE tenant_id = %(tenant)s ORDER BY model_name, deployment_id DESC) d"
                    " ON d.model_name = m.model_name AND d.version = m.version"
                    " WHERE m.tenant_id = %(tenant)s ORDER BY 1, 2",
                    {"tenant": tenant},
                ).fetchall()
            out += [
                Named(tenant=tenant, task=task, version=version, blob=blob, serving=serving)
                for task, version, blob, serving in found
            ]
    finally:
        database.close()
    return out


def gone(url: str, named: Sequence[Named]) -> list[Named]:
    """Those whose files are nowhere, not even in quarantine; nothing is read, and no place for them is made."""
    if url.startswith("file:"):
        folder = Path(unquote(urlsplit(url).path))
        return [
            one
            for one in named
            if not (folder / one.tenant / "blobs" / one.blob[:2] / one.blob).is_file()
            and not (folder / one.tenant / "quarantine" / one.blob).is_file()
        ]
    blobs, there = Blobs(url), dict[str, set[str]]()
    for tenant in dict.fromkeys(one.tenant for one in named):
        there[tenant] = {*blobs.sizes(tenant), *blobs.quarantined(tenant)}
    return [one for one in named if one.blob not in there[one.tenant]]
